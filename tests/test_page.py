"""docs/index.html in a real browser, over http and opened as a file, with a model of random weights."""
import functools
import http.server
import shutil
import threading

import numpy as np
import onnxruntime
import pytest
from conftest import ROOT

# Notes of every step which keys went in and which z came out, from the start state on.
WATCH = """() => {
  window.seen = [];
  const step = dream.step.bind(dream), restart = dream.restart.bind(dream);
  dream.step = async keys => {
    const rgba = await step(keys);
    seen.push({ frame: dream.frame, keys: keys.join(''), z: [...dream.z], rgba: [...rgba.slice(0, 4)] });
    return rgba;
  };
  dream.restart = number => { seen.length = 0; restart(number); };
}"""


@pytest.fixture(scope="module")
def site(toy_model, tmp_path_factory):
    """A copy of docs/ with the toy model as docs/model/runner."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("model"))
    shutil.copytree(toy_model, folder / "model" / "runner")
    return folder


@pytest.fixture(scope="module")
def addresses(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"http": f"http://127.0.0.1:{server.server_port}/index.html",
           "file": (site / "index.html").as_uri()}
    server.shutdown()


@pytest.fixture
def open_page(browser, addresses):
    """open_page(way, query, **context options) -> the page once it is ready or has failed.

    page.troubles is what the console said, page.requests what was asked for.
    """
    contexts = []

    def open_page(way="file", query="", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.troubles, page.requests = [], []
        page.on("console", lambda message: page.troubles.append(message.text))
        page.on("pageerror", lambda error: page.troubles.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url.removeprefix("blob:")))
        page.goto(addresses[way] + query)
        page.wait_for_function("document.body.dataset.state !== 'loading'")
        return page

    yield open_page
    for context in contexts:
        context.close()


def state(page):
    return page.evaluate("document.body.dataset.state")


def words(page):
    return page.locator("#status").text_content()


def dreamed(page, frames=8):
    """Restart the dream -> what WATCH notes of the first frames."""
    page.evaluate("seen.length = 0")
    page.keyboard.press("r")
    page.wait_for_function(f"seen.length >= {frames} && seen[0].frame === 1")
    return page.evaluate(f"seen.slice(0, {frames})")


@pytest.mark.parametrize("way", ["http", "file"])
def test_it_plays_without_a_word_in_the_console_or_a_foreign_request(open_page, addresses, site, way):
    page = open_page(way)
    assert state(page) == "ready" and words(page).startswith("Ready: runner")
    page.wait_for_function("dream.frame > 3 && byId('pace').textContent.includes('frames/s')")
    home = addresses[way].removesuffix("index.html")
    own = (home, "null/") if way == "file" else (home,)
    assert page.troubles == [] and all(url.startswith(own) for url in page.requests)
    assert page.get_by_role("link", name="Play the real thing").get_attribute("href") == "runner/index.html"


def test_it_dreams_what_onnxruntime_dreams_in_python(open_page, toy_model):
    page = open_page()
    start = page.evaluate("dream.meta.starts[0].z")
    page.evaluate(WATCH)
    page.keyboard.down("w")
    seen = dreamed(page, 10)
    dynamics = onnxruntime.InferenceSession(toy_model / "dynamics.onnx")
    decoder = onnxruntime.InferenceSession(toy_model / "decoder.onnx")
    z, h, c = np.float32([start]), *np.zeros((2, 3, 1, 128), np.float32)
    for step in seen:
        assert step["keys"] == "0100"
        z, h, c = dynamics.run(None, {"z": z, "keys": np.float32([[0, 1, 0, 0]]), "h": h, "c": c})
        np.testing.assert_allclose(step["z"], z[0], atol=1e-4, rtol=1e-4)
        rgba = decoder.run(None, {"z": z})[0][0, 0, 0]
        np.testing.assert_allclose(step["rgba"], rgba, atol=1)


def test_a_held_key_changes_the_dream_and_only_it(open_page):
    page = open_page()
    page.evaluate(WATCH)
    nothing, again = dreamed(page), dreamed(page)
    page.keyboard.down("CapsLock")
    page.keyboard.down("Q")
    assert page.get_by_role("button", name="Key Q").get_attribute("aria-pressed") == "true"
    holding = dreamed(page)
    assert nothing == again
    assert {s["keys"] for s in nothing} == {"0000"} and {s["keys"] for s in holding} == {"1000"}
    assert np.abs(np.subtract(nothing[-1]["z"], holding[-1]["z"])).max() > 1e-3
    page.keyboard.up("Q")
    assert dreamed(page) == nothing


def test_a_short_tap_counts_for_one_frame(open_page):
    page = open_page()
    page.evaluate(WATCH)
    dreamed(page, 1)
    page.keyboard.press("p")  # far shorter than a frame
    page.wait_for_function("seen.length > 5")
    assert sorted(page.evaluate("seen.map(s => s.keys)"))[-2:] == ["0000", "0001"]


def test_two_fingers_hold_two_buttons(open_page):
    page = open_page(has_touch=True, viewport={"width": 360, "height": 740})
    page.evaluate(WATCH)
    boxes = [page.get_by_role("button", name=f"Key {k}").bounding_box() for k in "QP"]
    fingers = [{"x": b["x"] + 9, "y": b["y"] + 9, "id": i} for i, b in enumerate(boxes)]
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": fingers})
    assert {s["keys"] for s in dreamed(page, 4)} == {"1001"}
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": fingers[:1]})
    assert {s["keys"] for s in dreamed(page, 4)} == {"0001"}
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": fingers[1:]})
    assert {s["keys"] for s in dreamed(page, 4)} == {"0000"}
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_mouse_may_slide_off_its_button(open_page):
    page = open_page()
    page.evaluate(WATCH)
    page.get_by_role("button", name="Key O").hover()
    page.mouse.down()
    page.mouse.move(5, 5)
    assert {s["keys"] for s in dreamed(page, 4)} == {"0010"}
    page.mouse.up()
    assert {s["keys"] for s in dreamed(page, 4)} == {"0000"}


def test_blur_lets_go_of_all_keys(open_page):
    page = open_page()
    page.evaluate(WATCH)
    page.keyboard.down("q")
    page.keyboard.down("o")
    assert {s["keys"] for s in dreamed(page, 4)} == {"1010"}
    page.evaluate("dispatchEvent(new Event('blur'))")
    assert page.locator("#keys [aria-pressed=true]").count() == 0
    assert {s["keys"] for s in dreamed(page, 4)} == {"0000"}


def test_a_hidden_tab_waits(open_page):
    page = open_page()
    hide = "value => { Object.defineProperty(document, 'hidden', { value, configurable: true }); " \
           "document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    page.wait_for_timeout(300)
    frame = page.evaluate("dream.frame")
    page.wait_for_timeout(500)
    assert page.evaluate("dream.frame") == frame
    page.evaluate(hide, False)
    page.wait_for_function(f"dream.frame > {frame}")
    assert page.evaluate("dream.frame") < frame + 4  # no jump to make up for the time away


def test_start_mid_run_goes_through_the_warm_starts(open_page):
    page = open_page()
    page.evaluate("() => { window.asked = []; const f = dream.restart.bind(dream);"
                  " dream.restart = n => { asked.push(n); f(n); }; }")
    for _ in range(8):
        count = page.evaluate("asked.length")
        page.get_by_role("button", name="Start mid-run").click()
        page.wait_for_function(f"asked.length > {count}")
    assert page.evaluate("asked") == [1, 2, 3, 4, 5, 6, 7, 1]


@pytest.mark.parametrize("way", ["http", "file"])
@pytest.mark.parametrize("name, told", [("nope", 'no dream called "nope"'), ("../runner", "is no name")])
def test_a_model_that_is_not_there_is_said_in_words(open_page, way, name, told):
    page = open_page(way, f"?model={name}")
    page.wait_for_timeout(300)  # nothing that still loads may talk over it
    assert state(page) == "error" and told in words(page)
    assert not any("runner/model.js" in url for url in page.requests)


def test_a_damaged_model_is_said_in_words(open_page, site):
    (site / "model" / "torn").mkdir()
    text = (site / "model" / "runner" / "model.js").read_text()
    (site / "model" / "torn" / "model.js").write_text(text.replace('"dynamics": "H4sI', '"dynamics": "AAAA'))
    page = open_page("file", "?model=torn")
    assert state(page) == "error" and "export the model again" in words(page)


def test_a_browser_without_webassembly_is_told_so(browser, addresses):
    context = browser.new_context()
    context.add_init_script("delete self.WebAssembly")
    page = context.new_page()
    page.goto(addresses["file"])
    page.wait_for_function("document.body.dataset.state === 'error'")
    assert "no WebAssembly" in words(page)
    context.close()
