"""docs/index.html in a real browser, over http and opened as a file, with a model of random weights."""
import base64
import functools
import http.server
import io
import json
import shutil
import threading

import numpy as np
import onnxruntime
import pytest
from helpers import ROOT
from PIL import Image

from capture import policies

# Notes of every step which keys went in and which z came out, from the start state on.
WATCH = """() => {
  window.seen = [];
  const step = dream.step.bind(dream), restart = dream.restart.bind(dream);
  dream.step = async keys => {
    await step(keys);
    seen.push({ frame: dream.frame, keys: keys.join(''), z: [...dream.z] });
  };
  dream.restart = number => { seen.length = 0; restart(number); };
}"""
# Does something between two frames, when no graph is running, and gives back what it gives.
BETWEEN = "work => new Promise((done, wrong) => loop.queue(() => (0, eval)(work)().then(done, wrong)))"


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

    page.troubles is what the console said, page.requests what was asked for. The page's own rules forbid the eval that
    playwright waits with: strict=True keeps them.
    """
    contexts = []

    def open_page(way="file", query="", strict=False, before="", **options):
        contexts.append(browser.new_context(bypass_csp=not strict, **options))
        contexts[-1].add_init_script(before)
        page = contexts[-1].new_page()
        page.troubles, page.requests = [], []
        page.on("console", lambda message: page.troubles.append(message.text))
        page.on("pageerror", lambda error: page.troubles.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url.removeprefix("blob:")))
        page.goto(addresses[way] + query)
        page.wait_for_selector("body:not([data-state=loading])")
        return page

    yield open_page
    for context in contexts:
        context.close()


def state(page):
    return page.evaluate("document.body.dataset.state")


def words(page):
    return page.locator("#status").text_content()


def told(page):
    return page.locator("#notice").text_content()


def between(page, work):
    return page.evaluate(BETWEEN, work)


def unfold(page, name):
    page.locator(f"#{name} > summary").click()


def frames_on(page, count):
    """Wait until `count` more frames are dreamed."""
    page.wait_for_function(f"dream.frame >= {page.evaluate('dream.frame') + count}")


def dreamed(page, frames=8):
    """Restart the dream -> what WATCH notes of the first frames."""
    page.evaluate("seen.length = 0")
    page.keyboard.press("r")
    page.wait_for_function(f"seen.length >= {frames} && seen[0].frame === 1")
    return page.evaluate(f"seen.slice(0, {frames})")


# --------------------------------------------------------------------------------------------------- opening, words

@pytest.mark.parametrize("way", ["http", "file"])
def test_it_plays_without_a_word_in_the_console_or_a_foreign_request(open_page, addresses, way):
    page = open_page(way, strict=True)
    assert state(page) == "ready" and words(page).startswith("Ready: runner")
    page.keyboard.down("q")
    for panel in ("inside", "compare", "keep", "help", "about"):
        unfold(page, panel)
    page.get_by_label("Beside the dream").select_option("live")
    with page.expect_download():
        page.get_by_role("button", name="Save the last 30 seconds").click()
    page.wait_for_selector("#pace:has-text('frames/s')")
    home = addresses[way].removesuffix("index.html")
    own = (home, "null/", "data:") if way == "file" else (home, "data:")
    assert page.troubles == [] and all(url.startswith(own) for url in page.requests)
    assert page.get_by_role("link", name="Play the real thing").get_attribute("href") == "runner/index.html"
    assert "default-src 'none'" in page.locator("meta[http-equiv]").get_attribute("content")


@pytest.mark.parametrize("way", ["http", "file"])
@pytest.mark.parametrize("name, said", [("nope", 'no dream called "nope"'), ("../runner", "is no name")])
def test_a_model_that_is_not_there_is_said_in_words(open_page, way, name, said):
    page = open_page(way, f"?model={name}")
    page.wait_for_timeout(300)  # nothing that still loads may talk over it
    assert state(page) == "error" and said in words(page)
    assert not any("runner/model.js" in url for url in page.requests)


@pytest.mark.parametrize("old, new, said", [
    ('"dynamics": "H4sI', '"dynamics": "AAAA', "export the model again"),
    ('"decoder.onnx": "', '"decoder.onnx": "0', "checksum of decoder is wrong"),
    ('"format": 1', '"format": 2', "has format 2"),
    ('"meta"', '"atem"', "is damaged")])
def test_a_damaged_model_is_said_in_words(open_page, site, old, new, said):
    (site / "model" / "torn").mkdir(exist_ok=True)
    text = (site / "model" / "runner" / "model.js").read_text()
    (site / "model" / "torn" / "model.js").write_text(text.replace(old, new, 1))
    page = open_page("file", "?model=torn")
    assert state(page) == "error" and said in words(page)


@pytest.mark.parametrize("missing, said", [("WebAssembly", "no WebAssembly"), ("DecompressionStream", "too old")])
def test_a_browser_that_cannot_is_told_so(open_page, missing, said):
    page = open_page(before=f"delete self.{missing}")
    assert state(page) == "error" and said in words(page)


def test_everything_has_a_name_and_can_be_reached_by_keyboard(open_page):
    page = open_page()
    for panel in ("inside", "compare", "keep", "help", "about"):
        unfold(page, panel)
    nameless = page.evaluate("""() => [...document.querySelectorAll('button, input, select, canvas, img, meter')]
      .filter(e => !(e.labels?.length || e.getAttribute('aria-label') || e.alt || e.textContent.trim()
        || e.closest('label, button')))
      .map(e => e.outerHTML)""")
    assert nameless == []
    reached = set()
    for _ in range(70):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"restart", "pause", "speed", "player", "model", "file", "beside", "gif", "link", "bench"} <= reached


@pytest.mark.parametrize("width, height", [(360, 740), (1280, 900)])
def test_it_fits_the_screen(open_page, tmp_path_factory, width, height):
    page = open_page(viewport={"width": width, "height": height}, has_touch=width < 500)
    page.screenshot(path=tmp_path_factory.getbasetemp() / f"page-{width}.png")
    assert page.locator("#picture").bounding_box()["y"] >= 0
    box = page.locator("#keys").bounding_box()
    assert box["y"] + box["height"] <= height  # picture and keys without scrolling
    for panel in ("inside", "compare", "keep", "help", "about"):
        unfold(page, panel)
    page.get_by_label("Beside the dream").select_option("live")
    page.wait_for_selector("#truth-stage:visible")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# ------------------------------------------------------------------------------------------------------------- keys

def test_it_dreams_what_onnxruntime_dreams_in_python(open_page, toy_model):
    page = open_page()
    start = page.evaluate("dream.meta.starts[0].z")
    page.evaluate("keyboard.releaseAll()")
    seen = between(page, """async () => {
      dream.restart(0);
      const seen = [];
      for (let n = 0; n < 256; n++) {
        await dream.step([n & 1, n >> 3 & 1, n >> 1 & 1, n >> 5 & 1]);
        seen.push({ z: [...dream.z], rgba: [...(await dream.paint()).slice(0, 4)] });
      }
      return seen;
    }""")
    dynamics = onnxruntime.InferenceSession(toy_model / "dynamics.onnx")
    decoder = onnxruntime.InferenceSession(toy_model / "decoder.onnx")
    z, h, c = np.float32([start]), *np.zeros((2, 3, 1, 128), np.float32)
    for n, step in enumerate(seen):
        keys = np.float32([[n & 1, n >> 3 & 1, n >> 1 & 1, n >> 5 & 1]])
        z, h, c = dynamics.run(None, {"z": z, "keys": keys, "h": h, "c": c})
        np.testing.assert_allclose(step["z"], z[0], atol=1e-3, rtol=1e-3)
        np.testing.assert_allclose(step["rgba"], decoder.run(None, {"z": z})[0][0, 0, 0], atol=1)


def test_a_held_key_changes_the_dream_and_only_it(open_page):
    page = open_page()
    page.evaluate(WATCH)
    nothing, again = dreamed(page), dreamed(page)
    page.keyboard.down("CapsLock")
    page.keyboard.down("Q")
    assert page.get_by_role("button", name="Key Q").get_attribute("aria-pressed") == "true"
    holding = dreamed(page)
    assert nothing == again
    assert {s["keys"] for s in nothing} == {"0000"}
    # R restarts and lets go of nothing: Q still counts
    assert {s["keys"] for s in holding} == {"1000"}
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


def test_a_mouse_may_slide_off_its_button(open_page):
    page = open_page()
    page.evaluate(WATCH)
    page.get_by_role("button", name="Key O").hover()
    page.mouse.down()
    page.mouse.move(5, 5)
    assert {s["keys"] for s in dreamed(page, 4)} == {"0010"}
    page.mouse.up()
    assert {s["keys"] for s in dreamed(page, 4)} == {"0000"}


def test_a_gamepad_holds_keys_and_restarts(open_page):
    page = open_page()
    page.evaluate(WATCH)
    page.evaluate("""() => {
      window.down = [4];
      const buttons = () => Array.from({ length: 17 }, (_, n) => ({ pressed: down.includes(n) }));
      navigator.getGamepads = () => [null, { buttons: buttons() }];
    }""")
    assert {s["keys"] for s in dreamed(page, 4)} == {"1000"}
    page.evaluate("down = [9]")
    page.wait_for_function("seen.length < 4")
    page.wait_for_function("seen.length > 3")
    assert {s["keys"] for s in page.evaluate("seen")} == {"0000"}


def test_blur_lets_go_of_all_keys(open_page):
    page = open_page()
    page.evaluate(WATCH)
    page.keyboard.down("q")
    page.keyboard.down("o")
    assert {s["keys"] for s in dreamed(page, 4)} == {"1010"}
    page.evaluate("dispatchEvent(new Event('blur'))")
    assert page.locator("#keys [aria-pressed=true]").count() == 0
    assert {s["keys"] for s in dreamed(page, 4)} == {"0000"}


# ------------------------------------------------------------------------------------------------------------- time

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


def test_speed_sets_the_pace_and_pictures_lie_between_frames(open_page):
    page = open_page()
    rates = {}
    for value in (-2, 2):
        page.locator("#speed").evaluate(f"e => {{ e.value = {value}; e.dispatchEvent(new Event('input')); }}")
        frames_on(page, 1)
        rates[value] = page.evaluate("""async () => {
          const frame = dream.frame, begun = performance.now();
          await new Promise(done => setTimeout(done, 2000));
          return 1000 * (dream.frame - frame) / (performance.now() - begun);
        }""")
    assert 1.5 < rates[-2] < 3.5 and rates[2] > 6 * rates[-2]  # 2.5 and 40 frames a second of a model of 10
    page.locator("#speed").evaluate("e => { e.value = -2; e.dispatchEvent(new Event('input')); }")
    page.keyboard.down("q")
    paints = """async () => {
      let count = 0;
      const paint = dream.paint.bind(dream), frame = dream.frame;
      dream.paint = z => { count += 1; return paint(z); };
      await new Promise(done => setTimeout(done, 2000));
      dream.paint = paint;
      return count / (dream.frame - frame);
    }"""
    assert page.evaluate(paints) > 4
    page.get_by_label("smooth motion").uncheck()
    assert page.evaluate(paints) <= 1.5


def test_reduced_motion_paints_frames_only(open_page):
    assert not open_page(reduced_motion="reduce").get_by_label("smooth motion").is_checked()


def test_a_slow_machine_slows_time_and_says_so(open_page):
    page = open_page()
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 60})
    page.wait_for_selector("#pace:has-text('this machine is slow')", timeout=60_000)
    assert not page.troubles


def test_a_key_is_seen_at_once(open_page):
    page = open_page()
    waits = page.evaluate("""async () => {
      const waits = [], step = dream.step.bind(dream), paint = loop.draw.bind(loop);
      let pressed = false, done = null;
      dream.step = keys => { pressed = Boolean(keys[0]); return step(keys); };
      loop.draw = rgba => { paint(rgba); if (pressed) done?.(performance.now()); };
      for (let n = 0; n < 20; n++) {
        await new Promise(rest => setTimeout(rest, 300 + 13 * n));
        const begun = performance.now(), seen = new Promise(resolve => { done = resolve; });
        dispatchEvent(new KeyboardEvent('keydown', { code: 'KeyQ' }));
        waits.push(await seen - begun);
        dispatchEvent(new KeyboardEvent('keyup', { code: 'KeyQ' }));
      }
      return waits;
    }""")
    assert np.median(waits) < 60 and max(waits) < 300, waits  # it does not wait for the frame's 100 ms to pass


def test_it_stops_goes_back_and_goes_on_differently(open_page):
    page = open_page()
    page.keyboard.down("w")
    page.keyboard.press("r")
    frames_on(page, 12)
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(100)
    frame, z = page.evaluate("[dream.frame, [...dream.z]]")
    page.wait_for_timeout(300)
    assert page.evaluate("dream.frame") == frame
    page.get_by_role("button", name="One frame back").click()
    page.wait_for_function(f"dream.frame === {frame - 1}")
    page.get_by_role("button", name="One frame on").click()
    page.wait_for_function(f"dream.frame === {frame}")
    assert page.evaluate("[...dream.z]") == z
    page.locator("#past").evaluate("e => { e.value = 5; e.dispatchEvent(new Event('input')); }")
    page.wait_for_function("dream.frame === 5")
    page.keyboard.up("w")
    page.get_by_role("button", name="Go on").click()
    page.wait_for_function(f"dream.frame === {frame}")
    page.get_by_role("button", name="Pause").click()
    other, log = page.evaluate("[[...dream.z], dream.log]")
    assert np.abs(np.subtract(other, z)).max() > 1e-4
    assert 2 in log[:5] and not any(log[5:])


# ----------------------------------------------------------------------------------------------- where it begins

def test_start_states_are_shown_and_begun_with(open_page):
    page = open_page()
    thumbnails = page.locator("#starts button")
    assert thumbnails.count() == 8
    for n in (3, 7):
        thumbnails.nth(n).click()
        page.wait_for_function(f"dream.start === {n} && dream.frame < 5")
        page.wait_for_function("dream.frame > 1")
    page.keyboard.press("r")
    page.wait_for_function("dream.start === 0")


def test_it_goes_on_from_a_picture_of_ones_own(open_page, toy_model):
    page = open_page()
    frame = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    png = io.BytesIO()
    Image.fromarray(frame).save(png, "PNG")
    page.evaluate(WATCH)
    page.evaluate("pause(true)")
    page.locator("#file").set_input_files({"name": "mine.png", "mimeType": "image/png", "buffer": png.getvalue()})
    page.wait_for_selector("#notice:has-text('goes on from your picture')")
    wanted = onnxruntime.InferenceSession(toy_model / "encoder.onnx").run(None, {"frames": frame[None]})[0][0]
    np.testing.assert_allclose(page.evaluate("[...dream.z]"), wanted, atol=1e-3, rtol=1e-3)
    page.locator("#file").set_input_files({"name": "my.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    page.wait_for_selector("#notice:has-text('\"my.txt\" is no picture')")
    frames_before = page.evaluate("dream.frame")
    page.evaluate("""async url => {
      const data = new DataTransfer();
      data.items.add(new File([await (await fetch(url)).blob()], 'dropped.png', { type: 'image/png' }));
      document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    }""", "data:image/png;base64," + base64.b64encode(png.getvalue()).decode())
    page.wait_for_selector("#notice:has-text('goes on from your picture')")
    assert page.evaluate("dream.frame") <= frames_before and page.troubles == []


# ------------------------------------------------------------------------------------------------------- the inside

def test_a_dragged_number_changes_the_dream_and_a_locked_one_stays(open_page):
    page = open_page()
    unfold(page, "inside")
    assert page.locator("#sliders label").count() == 16
    frames_on(page, 2)
    middle = page.evaluate("(dream.meta.z_low[4] + dream.meta.z_high[4]) / 2 + 0.4")
    page.get_by_label("Lock number 5").check()
    page.get_by_label("Number 5", exact=True).evaluate(
        f"e => {{ e.value = {middle}; e.dispatchEvent(new Event('input')); }}")
    frames_on(page, 3)
    locked = page.evaluate("loop.past.slice(-2).map(m => m.state.z.data[4])")
    assert np.allclose(locked, middle, atol=0.05) and page.evaluate("dream.start") is None
    page.get_by_label("Lock number 5").uncheck()
    frames_on(page, 4)
    page.wait_for_function("Number(byId('rate').textContent) > 1 && Number(byId('p50').textContent) > 0")
    page.wait_for_function("byId('drift').value > 0")
    assert "wasm" in page.locator("#backend").text_content()


def test_a_drifting_dream_is_pulled_back_when_asked(open_page):
    page = open_page()
    unfold(page, "inside")
    page.get_by_label("pull a drifting dream").check()
    between(page, "async () => { dream.z = dream.meta.z_high.map((high, n) => 3 * high - 2 * dream.meta.z_low[n]); }")
    page.wait_for_selector("#notice:has-text('pulled back')")
    page.wait_for_function("""() => {
      const { z_low: low, z_high: high } = dream.meta;
      return dream.z.every((x, n) => x < 2 * high[n] - low[n]);
    }""")


def test_the_benchmark_tells_times_and_leaves_the_dream_alone(open_page):
    page = open_page()
    unfold(page, "about")
    page.evaluate("pause(true)")
    frame = between(page, "async () => dream.frame")
    page.get_by_role("button", name="Benchmark").click()
    page.wait_for_selector("#bench-result:has-text('frame    ')", timeout=60_000)
    lines = page.locator("#bench-result").text_content().splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["dynamics", "decoder", "paint", "frame"]
    assert all(0 <= float(x) < 5000 for line in lines[1:5] for x in line.split()[1:])
    assert page.evaluate("dream.frame") == frame


# -------------------------------------------------------------------------------------------------------- the truth

def test_the_real_runner_runs_beside_the_dream_under_the_same_keys(open_page):
    page = open_page()
    unfold(page, "compare")
    page.keyboard.down("q")
    page.get_by_label("Beside the dream").select_option("live")
    page.wait_for_selector("#truth-stage:visible")
    page.wait_for_function("loop.truth.frame > 12 && loop.truth.differences.length > 5")
    page.evaluate("pause(true)")
    same = between(page, """async () => {
      const here = new Runner(), keys = { q: true };
      for (let tick = 0; tick < 3; tick++) here.tick();
      for (const row of loop.truth.played) {
        if (here.over) here.restart();
        dream.meta.keys.forEach((key, n) => { here.keys[key] = Boolean(row[n]); });
        for (let tick = 0; tick < 3; tick++) here.tick();
      }
      const small = surface();
      drawRunner(small, here);
      const wanted = small.getImageData(0, 0, SIDE, SIDE).data;
      const shown = loop.truth.rgba;
      const pressed = loop.truth.played.some(row => row[0]);
      return [wanted.every((x, i) => x === shown[i]), pressed, dream.frame, loop.truth.frame];
    }""")
    assert same[:2] == [True, True] and same[2] == same[3]
    page.get_by_role("button", name="Set the dream to the truth").click()
    gap = between(page, """async () => {
      const z = await dream.encode(loop.truth.rgba);
      return Math.max(...z.map((x, n) => Math.abs(x - dream.z[n])));
    }""")
    assert gap < 1e-4
    before = page.evaluate("loop.truth.frame")
    page.get_by_role("button", name="One frame back").click()
    page.evaluate("pause(false)")
    page.wait_for_function(f"loop.truth.frame > {before}")
    page.get_by_label("as a ghost").check()
    page.get_by_label("Beside the dream").select_option("")
    page.wait_for_selector("#truth-stage", state="hidden")
    assert page.troubles == []


def test_a_recorded_clip_plays_with_its_keys_until_somebody_takes_over(open_page, toy_data):
    page = open_page()
    recorded = np.load(toy_data / "runner" / "held_out" / "gait.npz")
    unfold(page, "compare")
    page.evaluate("pause(true)")
    page.get_by_label("Beside the dream").select_option(label="recorded: gait keys")
    page.wait_for_selector("#truth-stage:visible")
    for _ in range(5):
        page.get_by_role("button", name="One frame on").click()
    page.wait_for_function("loop.truth.frame === 5")
    shown, log = page.evaluate("[[...loop.truth.rgba], dream.log]")
    truth = recorded["frames"][0, 15].astype(int)
    assert np.abs(np.reshape(shown, (96, 96, 4))[..., :3] - truth).mean() < 12  # WebP
    assert log == (recorded["keys"][0, 10:15] << np.arange(4)).sum(1).tolist()
    page.evaluate("pause(false)")
    page.wait_for_function("loop.truth.frame > 8")
    page.wait_for_function("loop.truth.frame < 5")  # from the beginning
    page.keyboard.press("o")
    page.wait_for_selector("#truth-stage", state="hidden")
    assert page.troubles == []


# --------------------------------------------------------------------------------------------------- keep and share

def test_a_link_dreams_the_same_again(open_page, addresses):
    page = open_page("http")
    page.keyboard.down("o")
    frames_on(page, 9)
    page.keyboard.up("o")
    page.keyboard.down("q")
    frames_on(page, 9)
    page.evaluate("pause(true)")
    frame, total = between(page, "async () => [dream.frame, sumToText(dream.sum)]")
    unfold(page, "keep")
    page.get_by_role("button", name="Copy a link").click()
    link = page.locator("#kept a").get_attribute("href")
    assert link.startswith(addresses["http"]) and f"sum={total}" in link
    assert page.locator("#sum").text_content() == total
    again = open_page("http", link.removeprefix(addresses["http"]))
    again.wait_for_selector(f"#notice:has-text('{frame} frames dreamed again. Checksum {total}: the same pictures')",
                            timeout=30_000)
    wrong = open_page("http", link.removeprefix(addresses["http"]).replace(total, "01234567"))
    wrong.wait_for_selector("#notice:has-text('so these are other pictures')", timeout=30_000)
    damaged = open_page("http", "?model=runner#start=0&keys=a5z9&sum=0&dream=0")
    assert "cannot be played" in told(damaged) and state(damaged) == "ready"
    again.keyboard.press("r")
    again.wait_for_function("dream.frame < 5")
    for text in (page, again, wrong, damaged):
        assert text.troubles == []


def test_a_dream_that_was_changed_by_hand_has_no_link(open_page):
    page = open_page()
    between(page, "async () => loop.setNumbers([[0, 0.5]])")
    unfold(page, "keep")
    page.get_by_role("button", name="Copy a link").click()
    assert "no link can repeat it" in page.locator("#kept").text_content()


@pytest.mark.parametrize("keys, log", [(4, [0, 0, 5, 5, 5, 15, 0]), (6, [0, 33, 33, 63]), (2, [])])
def test_keys_as_text_come_back(open_page, keys, log):
    page = open_page()
    text = page.evaluate(f"logToText({json.dumps(log)}, {keys})")
    assert page.evaluate(f"textToLog('{text}', {keys})") == log
    assert len(text) <= 2 * len(log) + 2


def test_the_last_seconds_are_saved_as_a_gif(open_page):
    page = open_page()
    frames_on(page, 10)
    page.evaluate("pause(true)")
    count = between(page, "async () => loop.past.length")
    unfold(page, "keep")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the last 30 seconds").click()
    gif = Image.open(download.value.path())
    assert (gif.n_frames, gif.width, gif.info["duration"]) == (count, 288, 100)
    rgba = between(page, "async () => [...await dream.paint()]")
    gif.seek(count - 1)
    rgb = Image.fromarray(np.reshape(np.uint8(rgba), (96, 96, 4))[..., :3])
    error = np.abs(np.asarray(gif.convert("RGB"), int) - np.asarray(rgb.resize(gif.size, Image.Resampling.BILINEAR)))
    assert error.mean() < 12  # of noise in 128 colours


# -------------------------------------------------------------------------------------------------- it plays itself

def test_random_keys_and_gaits_play_until_somebody_takes_over(open_page):
    page = open_page()
    page.evaluate(WATCH)
    page.get_by_label("Player").select_option("random")
    page.wait_for_function("new Set(seen.map(s => s.keys)).size > 2", timeout=60_000)
    page.wait_for_function("document.querySelector('#keys [aria-pressed=true]')")
    page.get_by_label("Player").select_option("gait0")
    page.wait_for_function("loop.player && dream.frame < 9")
    page.wait_for_function("dream.frame > 8")
    held = page.evaluate("[dream.meta.gaits[0], dream.log.slice(0, 8)]")
    assert held[1] == (policies.gait_keys(held[0], 8, 3).astype(int) << np.arange(4)).sum(1).tolist()
    page.keyboard.press("p")
    page.wait_for_function("loop.player === null && byId('player').value === 'you'")
