"""docs/index.html in a real browser, over http and opened as a file, with the models that ship."""
import base64
import functools
import http.server
import io
import json
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers import ROOT, WATCH, dreamed, look
from PIL import Image

import data
from capture import policies
from capture.browser import Server
from capture.player import Player
from dream import Model, draw_noise, repeat

MODEL = ROOT / "docs" / "model" / "runner"
PANELS = ("more", "inside", "compare", "keep", "help", "about")

# Does something between two frames, when no graph is running -> what it returns.
BETWEEN = "work => new Promise((done, fail) => loop.queue(() => (0, eval)(work)().then(done, fail)))"
# Everything as after loading.
RESET = """() => new Promise(done => loop.queue(() => {
  for (const watched of ['step', 'restart', 'paint']) delete dream[watched];
  delete loop.draw;
  delete navigator.getGamepads;
  keyboard.releaseAll();
  pause(false);
  for (const panel of document.querySelectorAll('details')) panel.open = panel.id === 'more';
  for (const box of document.querySelectorAll('input[type=checkbox]')) box.checked = box.id === 'smooth';
  byId('speed').value = 0;
  byId('chance').value = 1;
  readOptions();
  loop.setTruth(null);
  loop.restart();
  scrollTo(0, 0);
  done();
}))"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder like docs/, in which a test may add a model."""
    return Path(shutil.copytree(ROOT / "docs", tmp_path_factory.mktemp("site") / "docs"))


@pytest.fixture(scope="module")
def addresses(site):
    server = Server(site)
    yield {"http": f"{server.address}/index.html", "file": (site / "index.html").as_uri()}
    server.http.shutdown()


def load(browser, address, strict=False, before="", tour=False, **options):
    """A new page, once it is ready or has failed. page.troubles is what the console shows, page.requests what
    was asked for. The page's own rules forbid the eval that playwright waits with: strict=True keeps them."""
    page = browser.new_context(bypass_csp=not strict, **options).new_page()
    if not tour:
        before += "; try { localStorage.setItem('dream-tour', 'shown'); } catch {}"
    page.add_init_script(before)
    page.troubles, page.requests = [], []
    page.on("console", lambda message: page.troubles.append(message.text))
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url.removeprefix("blob:")))
    page.goto(address)
    page.wait_for_selector("body:not([data-state=loading])")
    return page


@pytest.fixture
def open_page(browser, addresses):
    """open_page(scheme, query, **options of load()) -> a page of its own for this test."""
    pages = []

    def open_page(scheme="file", query="", **options):
        pages.append(load(browser, addresses[scheme] + query, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.context.close()


@pytest.fixture(scope="module")
def shared_page(browser, addresses):
    page = load(browser, addresses["file"])
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def shared_phone(browser, addresses):
    page = load(browser, addresses["file"], has_touch=True, viewport={"width": 360, "height": 740})
    yield page
    page.context.close()


@pytest.fixture
def phone(shared_phone):
    shared_phone.evaluate(RESET)
    return shared_phone


@pytest.fixture
def page(shared_page):
    """The page that most tests share, as after loading."""
    shared_page.evaluate(RESET)
    yield shared_page
    assert shared_page.troubles == [] and state(shared_page) == "ready"


def add_model(site, name, **changes):
    """A model folder like the runner's, with changes in its meta.json."""
    script = json.loads((MODEL / "model.js").read_text().partition(" = ")[2].rstrip().rstrip(";"))
    script["meta"] |= changes
    (site / "model" / name).mkdir(exist_ok=True)
    (site / "model" / name / "model.js").write_text(f"self.DREAM_MODEL = {json.dumps(script)};")
    return script["meta"]


def state(page):
    return page.evaluate("document.body.dataset.state")


def status(page):
    return page.locator("#status").text_content()


def between(page, work):
    return page.evaluate(BETWEEN, work)


def unfold(page, *panels):
    for panel in panels:
        if page.locator(f"#{panel}").get_attribute("open") is None:
            page.locator(f"#{panel} > summary").click()


def set_range(page, selector, value):
    page.locator(selector).evaluate(f"e => {{ e.value = {value}; e.dispatchEvent(new Event('input')); }}")


def frames_on(page, count):
    """Wait until `count` more frames are dreamed."""
    page.wait_for_function(f"dream.frame >= {page.evaluate('dream.frame') + count}")


def held_keys(page):
    return {step["keys"] for step in dreamed(page, 4)}


# --------------------------------------------------------------------------------------------- opening, words

@pytest.mark.parametrize("scheme", [pytest.param("http", marks=pytest.mark.slow), "file"])
def test_it_plays_without_a_word_in_the_console_or_a_foreign_request(open_page, addresses, scheme):
    page = open_page(scheme, strict=True)
    assert state(page) == "ready" and status(page).startswith("Ready: runner")
    page.keyboard.down("q")
    unfold(page, *PANELS)
    page.get_by_label("Beside the dream").select_option("live")
    with page.expect_download():
        page.get_by_role("button", name="Save the last 30 seconds").click()
    page.wait_for_selector("#pace:has-text('frames/s')")
    home = addresses[scheme].removesuffix("index.html")
    own = (home, "null/", "data:") if scheme == "file" else (home, "data:")
    assert page.troubles == [] and all(url.startswith(own) for url in page.requests)
    assert page.get_by_role("link", name="Play the real thing").get_attribute("href") == "runner/index.html"
    assert "default-src 'none'" in page.locator("meta[http-equiv]").get_attribute("content")


@pytest.mark.parametrize("scheme, name, message", [
    ("http", "nope", 'no dream called "nope"'), ("file", "nope", 'no dream called "nope"'),
    ("file", "../runner", "is not a model name")])
def test_the_page_says_that_there_is_no_such_model(open_page, scheme, name, message):
    page = open_page(scheme, f"?model={name}")
    page.wait_for_timeout(300)  # nothing that still loads may write over it
    assert state(page) == "error" and message in status(page)
    assert not any("runner/model.js" in url for url in page.requests)


@pytest.mark.parametrize("old, new, message", [
    ('"dynamics": "H4sI', '"dynamics": "AAAA', "export the model again"),
    ('"format": 2', '"format": 3', "has format 3"),
    ('"meta"', '"atem"', "is damaged")])
def test_the_page_says_that_a_model_is_damaged(open_page, site, old, new, message):
    (site / "model" / "torn").mkdir(exist_ok=True)
    text = (MODEL / "model.js").read_text()
    assert old in text
    (site / "model" / "torn" / "model.js").write_text(text.replace(old, new, 1))
    page = open_page("file", "?model=torn")
    assert state(page) == "error" and message in status(page)


@pytest.mark.parametrize("before, message", [("delete self.WebAssembly", "no WebAssembly"),
                                             ("delete self.DecompressionStream", "too old")])
def test_the_page_says_what_the_browser_lacks(open_page, before, message):
    page = open_page(before=before)
    assert state(page) == "error" and message in status(page)


class TroubledSite(http.server.SimpleHTTPRequestHandler):
    """docs/ below a folder for each trouble: /cut/index.html is the page whose model breaks off."""
    HEADERS = {"wasm": ("Content-Security-Policy", "script-src 'self' blob:"),
               "blob": ("Content-Security-Policy", "script-src 'self' 'wasm-unsafe-eval'")}

    def log_message(self, *_):
        pass

    def translate_path(self, path):
        return super().translate_path("/" + path.split("/", 2)[2])

    def end_headers(self):
        if header := self.HEADERS.get(self.trouble):
            self.send_header(*header)
        super().end_headers()

    def do_GET(self):
        self.trouble = self.path.split("/")[1]
        answers = {"error": (500, "text/plain", b""), "web": (200, "text/html", b"<!doctype html>"),
                   "pointer": (200, "text/plain", b"version https://git-lfs.github.com/spec/v1"),
                   "cut": (200, "text/plain", b"self.DREAM_MODEL"), "missing": (404, "text/html", b"")}
        if self.path.endswith("frame.html"):
            return self.answer(200, "text/html", b"<iframe sandbox=allow-scripts src=index.html></iframe>")
        if "model.js" not in self.path or self.trouble not in (*answers, "silent"):
            return super().do_GET()
        if self.trouble == "silent":
            return self.connection.close()
        return self.answer(*answers[self.trouble])

    def answer(self, status, kind, content):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) + 1000 * (self.trouble == "cut")))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True


@pytest.fixture(scope="module")
def troubled(site):
    """The address of a server of TroubledSite, under a name that is not this machine's."""
    handler = functools.partial(TroubledSite, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://dream.localhost:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("trouble, message", [
    ("missing", 'There is no dream called "runner" here.'), ("error", "it answered 500"),
    ("cut", "The connection broke after"), ("silent", "The server does not answer"),
    ("offline", "You are offline"), ("pointer", "There is a Git LFS pointer in place of model/runner"),
    ("web", "The server sent a web page in place of model/runner"),
    ("wasm", "The Content-Security-Policy of this site forbids"),
    ("blob", "The Content-Security-Policy of this site forbids")])
def test_what_stops_the_loading_is_said_with_ways_out(browser, troubled, trouble, message):
    before = "Object.defineProperty(navigator, 'onLine', { value: false })" if trouble == "offline" else ""
    path = "silent" if trouble == "offline" else trouble
    page = load(browser, f"{troubled}/{path}/index.html", strict=True, before=before)
    assert state(page) == "error" and message in status(page)
    assert "python" not in status(page)  # no visitor can run it
    assert page.get_by_role("link", name="Dream qwop").get_attribute("href") == "?model=qwop"
    assert page.get_by_role("button", name="Try again").is_visible()
    page.context.close()


@pytest.mark.parametrize("headers, total", [({"content-length": "100"}, 100), ({}, None), (
    {"content-length": "10", "content-encoding": "gzip"}, None)])
def test_a_total_is_shown_only_where_it_is_that_of_what_arrives(page, headers, total):
    assert page.evaluate("""async headers => {
      const { fetch } = self;
      self.fetch = async () => new Response('x'.repeat(100), { headers });
      Object.assign(bytes, { arrived: 0, total: 0 });
      await download('some.js');
      self.fetch = fetch;
      return [bytes.arrived, Number.isNaN(bytes.total) ? null : bytes.total];
    }""", headers) == [100, total]


@pytest.mark.slow
def test_it_plays_in_a_sandboxed_frame(browser, troubled):
    page = browser.new_page()
    page.goto(f"{troubled}/plain/frame.html")
    frame = page.frames[1]
    frame.wait_for_selector("body:not([data-state=loading])")
    assert frame.locator("#status").text_content().startswith("Ready")
    frame.wait_for_selector("#pace:has-text('frames/s')")
    page.close()


def test_everything_has_a_name_and_can_be_reached_by_keyboard(page):
    unfold(page, *PANELS)
    nameless = page.evaluate("""() =>
      [...document.querySelectorAll('button, input, select, canvas, img, meter')]
      .filter(e => !(e.labels?.length || e.getAttribute('aria-label') || e.alt || e.textContent.trim()
        || e.closest('label, button')))
      .map(e => e.outerHTML)""")
    assert nameless == []
    reached = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"restart", "pause", "speed", "player", "model", "file", "beside", "gif", "link"} <= reached


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing(page, scheme):
    """axe-core, the checker of accessibility, with all panels open."""
    page.emulate_media(color_scheme=scheme)
    unfold(page, *PANELS)
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()
    page.emulate_media(color_scheme=None)
    page.troubles.clear()  # axe fetches the style sheet, which file:// forbids


@pytest.mark.parametrize("width, height", [(844, 390), (740, 360)])
def test_a_phone_sideways_has_the_keys_left_and_right_of_the_picture(phone, width, height):
    phone.set_viewport_size({"width": width, "height": height})
    picture, first = (phone.locator(name).bounding_box() for name in ("#picture", "#first"))
    keys = [phone.locator(f"#keys button >> nth={n}").bounding_box() for n in range(4)]
    right = picture["x"] + picture["width"]
    assert all(key["x"] + key["width"] <= picture["x"] + 1 for key in keys[:2])
    assert all(key["x"] >= right - 1 for key in keys[2:])
    assert picture["height"] > 0.7 * height and all(key["height"] >= 40 for key in keys)
    assert all(box["y"] >= 0 and box["y"] + box["height"] <= height for box in (picture, first, *keys))


def test_metres_best_and_falls_are_at_the_picture(page):
    text = page.evaluate("""() => new Promise(done => loop.queue(() => {
      const texts = [];
      best = 0;
      for (const [metres, over] of [[3.14, false], [1.25, true]]) {
        Object.assign(loop, { metres, over, isOwn: true });
        showMetres();
        if (over) showFall();
        texts.push(['metres', 'best', 'fell'].map(id => byId(id).textContent));
      }
      done(texts);
    }))""")
    assert text[0][:2] == ["3.1 m", "best 3.1 m"] and "You fell" not in text[0][2]
    assert text[1] == ["1.3 m", "best 3.1 m", "You fell at 1.3 m"]


def test_keys_are_let_go_where_no_keyup_follows(page):
    for event in ("blur", "contextmenu", "fullscreenchange", "visibilitychange"):
        page.keyboard.down("q")
        assert page.evaluate("keyboard.down.size") == 1
        target = "document" if "change" in event else "window"
        page.evaluate(f"{target}.dispatchEvent(new Event('{event}', {{ bubbles: true }}))")
        assert page.evaluate("keyboard.down.size") == 0, event
        page.keyboard.up("q")


def test_a_long_touch_holds_its_key(page):
    """It asks for a menu, which the button prevents."""
    page.locator("[data-code=KeyQ]").dispatch_event("pointerdown", {"pointerId": 1})
    page.locator("[data-code=KeyQ]").dispatch_event("contextmenu")
    held = page.evaluate("keyboard.down.size")
    page.evaluate("keyboard.releaseAll()")
    assert held == 1


def test_best_are_the_metres_of_a_person_alone(page):
    """Not of a life that a player has begun; the next one counts."""
    counted = page.evaluate("""() => new Promise(done => loop.queue(() => {
      const { read } = dream, counted = [];
      dream.read = () => ({ metres: 1, over: false });
      loop.begin(0);
      best = 0;
      for (const [player, over] of [[{}, false], [null, false], [null, true], [null, false]]) {
        Object.assign(loop, { player, over });
        loop.count();
        showMetres();
        counted.push(best > 0);
      }
      Object.assign(dream, { read });
      loop.restart();
      done(counted);
    }))""")
    assert counted == [False, False, False, True]  # its first frame is at 0 m


def test_a_key_button_works_without_a_pointer(page):
    """By Enter, a switch or a voice: it is held for a beat."""
    held = page.evaluate("""async () => {
      keyboard.buttons.get('KeyQ').click();
      const now = keyboard.down.size;
      await new Promise(done => setTimeout(done, 2 * BEAT_MS));
      return [now, keyboard.down.size];
    }""")
    assert held == [1, 0]


def test_a_forbidden_gamepad_is_none(page):
    assert page.evaluate("""() => {
      navigator.getGamepads = () => { throw new DOMException('no', 'SecurityError'); };
      keyboard.pollGamepad();
      return keyboard.onGamepad.size;
    }""") == 0


def test_buttons_have_the_letters_of_the_keyboard(page):
    """On a French one the key in the place of Q is A."""
    texts = page.evaluate("""async () => {
      const layout = new Map([['KeyQ', 'a'], ['KeyW', 'z'], ['KeyO', 'o'], ['KeyP', 'p']]);
      const value = { getLayoutMap: async () => layout };
      Object.defineProperty(navigator, 'keyboard', { configurable: true, value });
      await keyboard.showLayout();
      return [...keyboard.buttons.values()].map(button => button.textContent);
    }""")
    assert texts == ["Athighs", "Zthighs", "Ocalves", "Pcalves"]
    page.evaluate("delete navigator.keyboard; keyboard.setKeys(dream.meta.keys)")


@pytest.mark.slow
@pytest.mark.parametrize("width, height", [(360, 740), (740, 360), (820, 1180), (1280, 900), (2560, 1440)])
def test_screenshots_are_kept_for_people(phone, page, width, height):
    page = phone if width < 1000 else page
    page.set_viewport_size({"width": width, "height": height})
    look(page, f"page, {width} x {height}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width, height", [(360, 740), (1280, 900)])
def test_it_fits_the_screen(phone, page, width, height):
    if width < 500:
        page = phone
    page.set_viewport_size({"width": width, "height": height})
    assert page.locator("#picture").bounding_box()["y"] >= 0
    box = page.locator("#keys").bounding_box()
    assert box["y"] + box["height"] <= height  # picture and keys without scrolling
    unfold(page, *PANELS)
    page.get_by_label("Beside the dream").select_option("live")
    page.wait_for_selector("#truth-stage:visible")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# ------------------------------------------------------------------------------------------------------- keys

DREAM = """async () => {
  dream.restart(1);
  dream.temperature = 0.5;
  const steps = [];
  for (let n = 0; n < 256; n++) {
    await dream.step([n & 1, n >> 3 & 1, n >> 1 & 1, n >> 5 & 1]);
    const { over } = dream.read(dream.state), rgba = n % 32 ? null : [...await dream.paint()];
    steps.push({ z: [...dream.z], over, rgba });
  }
  return JSON.stringify([steps, dream.seed]);
}"""


def check_dream(page, folder):
    """The page dreams what onnxruntime dreams in Python with the same model folder."""
    steps, seed = json.loads(between(page, DREAM))
    start = json.loads((folder / "meta.json").read_text())["starts"][1]
    model = Model(folder)
    now = model.state(start["z"], start["h"], start["c"])
    for n, step in enumerate(steps):
        keys = np.float32([[n & 1, n >> 3 & 1, n >> 1 & 1, n >> 5 & 1]])
        now, (over,) = model.step(now, keys, draw_noise([seed], n, model.noise_size, 0.5))
        np.testing.assert_allclose(step["z"], now[0][0], atol=1e-3, rtol=1e-3)
        assert step["over"] == over
        if step["rgba"]:
            rgba = np.reshape(step["rgba"], (96, 96, 4))
            np.testing.assert_allclose(rgba[..., :3], model.decode(now[0])[0], atol=1)
            assert (rgba[..., 3] == 255).all()


def test_it_dreams_what_onnxruntime_dreams_in_python(page):
    check_dream(page, MODEL)


@pytest.mark.slow
def test_a_fresh_export_is_dreamed_too(open_page, site, toy_model):
    (site / "model" / "toy").symlink_to(toy_model)
    page = open_page("file", "?model=toy")
    assert state(page) == "ready", status(page)
    check_dream(page, toy_model)
    check_ghosts(page, toy_model)
    assert page.troubles == []


def check_ghosts(page, folder):
    """Ghosts are dreams from the same state under the same keys, with noise of their own."""
    unfold(page, "inside")
    page.evaluate("pause(true)")
    page.get_by_label("what else could happen").check()
    states = json.loads(between(page, """async () => {
      loop.restart(1);
      const states = [];
      for (let t = 0; t < 5; t++) {
        await loop.nextFrame();
        states.push([...loop.ghosts.state.z.data]);
      }
      return JSON.stringify([states, Array.from({ length: GHOSTS }, (_, n) => mix(dream.seed + n + 1))]);
    }"""))
    start, model = json.loads((folder / "meta.json").read_text())["starts"][1], Model(folder)
    now = repeat(model.state(start["z"], start["h"], start["c"]), 4)
    for t, z in enumerate(states[0]):
        now, _ = model.step(now, np.zeros((4, 4)), draw_noise(states[1], t + 1, model.noise_size))
        np.testing.assert_allclose(np.reshape(z, (4, 16)), now[0], atol=1e-3, rtol=1e-3)
    assert "of 4 have fallen" in page.locator("#fallen").text_content()
    page.get_by_label("what else could happen").uncheck()


def test_the_effects_of_keys_are_where_the_dream_would_go(page):
    """All 16 combinations from here, one of them against the dream itself."""
    count, keys, same = json.loads(between(page, """async () => {
      dream.temperature = 0;
      const effects = await effectsOf(dream, 3), { here } = dream, { keys, rgba } = effects[9];
      for (let t = 0; t < 3; t++) await dream.step(keys);
      const alone = await dream.paint();
      dream.goTo(here);
      return JSON.stringify([effects.length, keys, differenceOf(alone, rgba)]);
    }"""))
    assert (count, keys) == (16, [1, 0, 0, 1]) and same < 0.5
    unfold(page, "inside")
    page.get_by_role("button", name="What would the keys do").click()
    page.wait_for_function("byId('effects').children.length === 16")
    assert page.locator("#effects span").nth(9).text_content() == "Q P"


def test_dreams_side_by_side_are_each_the_dream_alone(page):
    gap = between(page, """async () => {
      const rows = [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], alone = [];
      let together = dream.stateOf(dream.meta.starts[1], 3);
      for (let t = 0; t < 10; t++) together = await dream.advance(together, rows.flat());
      for (const row of rows) {
        let state = dream.stateOf(dream.meta.starts[1]);
        for (let t = 0; t < 10; t++) state = await dream.advance(state, row);
        alone.push(...state.z.data);
      }
      return Math.max(...together.z.data.map((x, i) => Math.abs(x - alone[i])));
    }""")
    assert gap < 1e-4


def test_a_held_key_changes_the_dream_and_only_it(page):
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


def test_a_short_tap_counts_for_one_frame(page):
    page.evaluate(WATCH)
    dreamed(page, 1)
    page.keyboard.press("p")  # far shorter than a frame
    page.wait_for_function("seen.length > 5")
    assert sorted(page.evaluate("seen.map(s => s.keys)"))[-2:] == ["0000", "0001"]


def test_two_fingers_hold_two_buttons(phone):
    page = phone
    page.evaluate(WATCH)
    boxes = [page.get_by_role("button", name=f"Key {k}").bounding_box() for k in "QP"]
    fingers = [{"x": b["x"] + 9, "y": b["y"] + 9, "id": i} for i, b in enumerate(boxes)]
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": fingers})
    assert held_keys(page) == {"1001"}
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": fingers[:1]})
    assert held_keys(page) == {"0001"}
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": fingers[1:]})
    assert held_keys(page) == {"0000"}


def test_a_mouse_may_slide_off_its_button(page):
    page.evaluate(WATCH)
    page.get_by_role("button", name="Key O").hover()
    page.mouse.down()
    page.mouse.move(5, 5)
    assert held_keys(page) == {"0010"}
    page.mouse.up()
    assert held_keys(page) == {"0000"}


def test_a_gamepad_holds_keys_and_restarts(page):
    page.evaluate(WATCH)
    page.evaluate("""() => {
      window.down = [4];
      const buttons = () => Array.from({ length: 17 }, (_, n) => ({ pressed: down.includes(n) }));
      navigator.getGamepads = () => [null, { buttons: buttons() }];
    }""")
    assert held_keys(page) == {"1000"}
    page.evaluate("down = [9]")
    page.wait_for_function("seen.length < 4")
    page.wait_for_function("seen.length > 3")
    assert {s["keys"] for s in page.evaluate("seen")} == {"0000"}


def test_blur_lets_go_of_all_keys(page):
    page.evaluate(WATCH)
    page.keyboard.down("q")
    page.keyboard.down("o")
    assert held_keys(page) == {"1010"}
    page.evaluate("dispatchEvent(new Event('blur'))")
    assert page.locator("#keys [aria-pressed=true]").count() == 0
    assert held_keys(page) == {"0000"}
    page.keyboard.up("q")
    page.keyboard.up("o")


def test_a_shortcut_is_no_key_and_command_lets_go(page):
    press = """options => dispatchEvent(new KeyboardEvent('keydown', { cancelable: true, ...options }))"""
    assert page.evaluate(press, {"code": "KeyP", "ctrlKey": True})
    assert page.evaluate("keyboard.down.size") == 0
    assert not page.evaluate(press, {"code": "KeyP"}) and page.evaluate("keyboard.down.size") == 1
    page.evaluate(press, {"code": "MetaLeft", "metaKey": True})
    assert page.evaluate("keyboard.down.size") == 0


def test_arrows_belong_to_the_slider_that_has_the_focus(page):
    page.evaluate("keyboard.setKeys(['ArrowLeft', 'r', '1', 'ShiftLeft'])")
    try:
        assert page.locator("#keys button").all_inner_texts() == ["←", "R", "1", "Shift Left"]
        page.keyboard.down("ArrowLeft")
        page.keyboard.down("r")
        assert page.evaluate("[...keyboard.down]") == ["ArrowLeft", "KeyR"]  # R is a key of this game
        page.locator("#speed").focus()
        page.keyboard.up("ArrowLeft")
        assert page.evaluate("(keyboard.held(), [...keyboard.down])") == ["KeyR"]  # no frame took it yet
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("[loop.speed < 1, ...keyboard.held()]") == [True, 0, 1, 0, 0]
        page.keyboard.up("r")
    finally:
        page.evaluate("keyboard.setKeys(dream.meta.keys)")


# ------------------------------------------------------------------------------------------------------- time

def test_a_hidden_tab_waits(page):
    page.evaluate("""() => {
      const paint = requestAnimationFrame.bind(window), waiting = [];
      // as browsers do
      window.requestAnimationFrame = call => document.hidden ? waiting.push(call) : paint(call);
      window.hide = value => {
        Object.defineProperty(document, 'hidden', { value, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
        if (!value) waiting.splice(0).forEach(paint);
      };
      hide(true);
    }""")
    page.wait_for_timeout(300)
    frame = page.evaluate("dream.frame")
    page.wait_for_timeout(4000)
    assert page.evaluate("dream.frame") == frame
    jump = page.evaluate("""async () => {
      const { frame } = dream;
      hide(false);
      while (dream.frame === frame) await new Promise(requestAnimationFrame);
      return dream.frame - frame;
    }""")
    assert jump == 1  # nothing makes up for the time away
    page.evaluate("byId('pace').textContent = ''")
    page.wait_for_function("byId('pace').textContent")
    assert "slower" not in page.locator("#pace").text_content()  # nor is the machine called slow


def test_speed_sets_the_pace(page):
    frames = {}
    for value in (-2, 1):  # 1/4 and 2
        set_range(page, "#speed", value)
        frames_on(page, 1)
        frames[value] = page.evaluate("""async () => {
          const { frame } = dream;
          await new Promise(done => setTimeout(done, 2000));
          return dream.frame - frame;
        }""")
    assert 5 < frames[1] / frames[-2] < 11, frames


def test_pictures_lie_between_frames(page):
    paints = """async () => {
      let count = 0;
      const paint = dream.paint.bind(dream), { frame } = dream;
      dream.paint = z => { count += 1; return paint(z); };
      await new Promise(done => setTimeout(done, 1500));
      delete dream.paint;
      return count / (dream.frame - frame);
    }"""
    set_range(page, "#speed", -2)
    page.keyboard.down("q")
    assert page.evaluate(paints) > 4
    page.get_by_label("smooth motion").uncheck()
    assert page.evaluate(paints) <= 1.5
    page.keyboard.up("q")


def test_nothing_lies_between_two_lives_and_all_else_does(page):
    """However large a step is: only the end of a life is a cut."""
    cuts = between(page, """async () => {
      const cuts = [], { step, read } = dream;
      let ended = false;
      dream.read = () => ({ metres: 0, over: ended });
      dream.step = async () => { dream.z = dream.z.map((x, n) => x + 20 * dream.meta.dz_std[n]); };
      for (ended of [false, false, true, false, false]) {
        await loop.nextFrame();
        cuts.push(loop.before === null);
      }
      delete dream.read;
      delete dream.step;
      return cuts;
    }""")
    assert cuts == [False, False, True, True, False]


@pytest.mark.slow
def test_reduced_motion_paints_frames_only(open_page):
    assert not open_page(reduced_motion="reduce").get_by_label("smooth motion").is_checked()


@pytest.mark.slow
def test_a_slow_machine_slows_time_and_says_so(open_page):
    page = open_page()
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 60})
    page.wait_for_selector("#pace:has-text('this machine is slow')", timeout=60_000)
    assert not page.troubles


def test_a_key_does_not_wait_for_the_whole_frame(page):
    """Of a frame of 800 ms, a key that is pressed right after its begin waits for half."""
    waits = page.evaluate("""async () => {
      loop.speed = 1 / 8;
      const waits = [], step = dream.step.bind(dream);
      let started = 0, onStep = () => {};
      dream.step = async keys => { await step(keys); onStep(keys); };
      const nextStep = () => new Promise(done => { onStep = done; });
      for (let n = 0; n < 3; n++) {
        await nextStep();
        await nextStep();
        started = performance.now();
        dispatchEvent(new KeyboardEvent('keydown', { code: 'KeyQ' }));
        while (!(await nextStep())[0]);
        waits.push((performance.now() - started) * loop.speed / dream.meta.frame_ms);
        dispatchEvent(new KeyboardEvent('keyup', { code: 'KeyQ' }));
      }
      return waits;
    }""")
    assert np.median(waits) < 0.75, waits  # of a frame


def test_it_stops_goes_back_and_goes_on_differently(page):
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
    page.get_by_role("button", name="One frame forward").click()
    page.wait_for_function(f"dream.frame === {frame}")
    assert page.evaluate("[...dream.z]") == z
    set_range(page, "#past", 5)
    page.wait_for_function("dream.frame === 5")
    page.keyboard.up("w")
    page.get_by_role("button", name="Resume").click()
    page.wait_for_function(f"dream.frame >= {frame}")
    page.get_by_role("button", name="Pause").click()
    other, log = page.evaluate("""frame => [
      [...loop.past.find(moment => moment.frame === frame).state.z.data], dream.log]""", frame)
    assert np.abs(np.subtract(other, z)).max() > 1e-4
    assert 2 in log[:5] and not any(log[5:])


# -------------------------------------------------------------------------------------------- where it begins

def test_the_dream_starts_from_any_start_state(page):
    thumbnails = page.locator("#starts button")
    assert thumbnails.count() == 8
    for n in (3, 7):
        thumbnails.nth(n).click()
        page.wait_for_function(f"dream.start === {n} && dream.frame < 5")
        page.wait_for_function("dream.frame > 1")
    page.keyboard.press("r")
    page.wait_for_function("dream.start === 0")


def take(page, image, name="mine.png", **options):
    """Give the page a picture of one's own -> what it says of it."""
    if not isinstance(image, bytes):
        file = io.BytesIO()
        image.save(file, name.partition(".")[2].upper().replace("JPG", "JPEG"), **options)
        image = file.getvalue()
    page.evaluate("notice('')")
    page.locator("#file").set_input_files({"name": name, "mimeType": "", "buffer": image})
    page.wait_for_function("!byId('notice').hidden")
    return page.locator("#notice").text_content()


@pytest.fixture(scope="module")
def game_picture():
    """A frame of the real runner, as large as its canvas."""
    with np.load(ROOT / "held_out" / "runner" / "human.npz") as file:
        return Image.fromarray(file["frames"][0, 60]).resize((640, 400), Image.Resampling.BICUBIC)


def on_sheet(picture, width, height, colour):
    sheet = Image.new("RGB", (width, height), colour)
    sheet.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return sheet


def turned(picture):
    """A photo that lies on its side, and says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture.rotate(90, expand=True), "turned.jpg", {"exif": exif, "quality": 95}


WELL, PART, STRANGE = "as well as 16", "Only the part", "does not look like a frame"
OWN_PICTURES = {
    "small": (WELL, lambda x: x.resize((96, 96), Image.Resampling.BOX)), "alone": (WELL, lambda x: x),
    "turned": (WELL, turned), "cmyk": (WELL, lambda x: (x.convert("CMYK"), "cmyk.jpg", {})),
    "moving": (WELL, lambda x: (x, "moving.webp", {"save_all": True, "append_images": [x.rotate(90)]})),
    "margin of 3%": (PART, lambda x: on_sheet(x, 680, 424, "white")),
    "margin of 10%": (PART, lambda x: on_sheet(x, 768, 480, "white")),
    "screen": (PART, lambda x: on_sheet(x, 1920, 1080, (245, 245, 245))),
    "phone": (PART, lambda x: on_sheet(x, 1170, 2532, "black")),
    "letterbox": (PART, lambda x: on_sheet(x, 640, 480, "black")),
    "other shape": (STRANGE, lambda x: x.crop((0, 0, 420, 400))), "grey": (STRANGE, lambda x: x.convert("L")),
    "one colour": (STRANGE, lambda x: Image.new("RGB", (640, 400), "red")),
    "noise": (STRANGE, lambda x: Image.effect_noise((96, 96), 90))}


@pytest.mark.parametrize("kind", OWN_PICTURES)
def test_a_picture_is_cut_to_the_game_and_judged(page, game_picture, kind):
    page.evaluate("pause(true)")
    expected, make = OWN_PICTURES[kind]
    made = make(game_picture)
    assert expected in take(page, *(made[:2] if isinstance(made, tuple) else (made,)),
                            **(made[2] if isinstance(made, tuple) else {}))
    if expected != STRANGE:
        painted = np.reshape(between(page, "async () => [...await dream.paint()]"), (96, 96, 4))[..., :3]
        true = np.asarray(game_picture.resize((96, 96), Image.Resampling.BOX), int)
        assert np.abs(painted - true).mean() < 5


def test_a_person_shows_where_the_game_is(page, game_picture):
    page.evaluate("pause(true)")
    sheet = Image.effect_noise((1280, 960), 90).convert("RGB")
    sheet.paste(game_picture, (320, 240))
    assert STRANGE in take(page, sheet)
    page.get_by_role("button", name="Show it where the game is").click()
    box = page.locator("#notice canvas").bounding_box()
    for step, (x, y) in enumerate([(320, 240), (700, 500), (320 + 640, 240 + 400)]):
        page.mouse.move(box["x"] + x * box["width"] / 1280, box["y"] + y * box["height"] / 960)
        if step == 0:
            page.mouse.down()
    page.mouse.up()
    painted = np.reshape(between(page, "async () => [...await dream.paint()]"), (96, 96, 4))[..., :3]
    true = np.asarray(game_picture.resize((96, 96), Image.Resampling.BOX), int)
    assert np.abs(painted - true).mean() < 5


def test_it_goes_on_from_a_picture_of_ones_own(page, game_picture):
    frame = np.array(game_picture.resize((96, 96), Image.Resampling.BOX))
    page.evaluate(WATCH)
    page.evaluate("pause(true)")
    png = io.BytesIO()
    Image.fromarray(frame).save(png, "PNG")
    take(page, png.getvalue())
    expected = onnxruntime.InferenceSession(MODEL / "encoder.onnx").run(None, {"frames": frame[None]})[0][0]
    np.testing.assert_allclose(page.evaluate("[...dream.z]"), expected, atol=1e-3, rtol=1e-3)
    assert '"my.txt" is not a picture' in take(page, b"no picture", "my.txt")
    frames_before = page.evaluate("dream.frame")
    drop = """async ([url, text]) => {
      const data = new DataTransfer();
      const picture = url && await (await fetch(url)).blob();
      if (url) data.items.add(new File([picture], 'dropped.png', { type: 'image/png' }));
      else data.setData('text/uri-list', text);
      const event = { dataTransfer: data, bubbles: true, cancelable: true };
      document.body.dispatchEvent(new DragEvent('drop', event));
    }"""
    page.evaluate(drop, ["data:image/png;base64," + base64.b64encode(png.getvalue()).decode(), ""])
    page.wait_for_selector("#notice:has-text('continues from your picture')")
    assert page.evaluate("dream.frame") <= frames_before
    page.evaluate(drop, ["", "https://example.com/a.png"])
    page.wait_for_selector("#notice:has-text('address of a picture')")


@pytest.mark.slow
def test_a_browser_that_adds_noise_to_canvases_is_noticed(open_page, page):
    """As Firefox does with resistFingerprinting."""
    assert page.locator("#noise").is_hidden()
    page = open_page(before="""const { getImageData } = CanvasRenderingContext2D.prototype;
      CanvasRenderingContext2D.prototype.getImageData = function (...box) {
        const image = getImageData.apply(this, box);
        image.data[7] ^= 1;
        return image;
      };""")
    assert page.locator("#noise").is_visible() and state(page) == "ready"


@pytest.mark.slow
def test_controls_that_the_browser_restores_are_applied_or_reset(open_page):
    page = open_page("http")
    page.select_option("#player", "random")
    unfold(page, "more", "compare")
    page.get_by_label("crisp pixels").check()
    page.get_by_label("Beside the dream").select_option("live")
    set_range(page, "#speed", 1)
    page.goto("about:blank")
    page.go_back()
    page.wait_for_selector("body[data-state=ready]")
    shown = page.evaluate("""() => [byId('player').value, byId('beside').value, byId('crisp').checked,
        2 ** byId('speed').value, Number(byId('past').value)]""")
    real = page.evaluate("""() => [loop.player ? 'player' : 'you', loop.truth ? 'live' : '',
        getComputedStyle(byId('picture')).imageRendering === 'pixelated', loop.speed, loop.at]""")
    assert shown[:4] == real[:4] and shown[:2] == ["you", ""]


def test_the_tour_comes_once(open_page):
    page = open_page(tour=True)
    for place in ("keys", "inside", "compare", "keep"):
        assert page.locator(".pointed").get_attribute("id") == place
        page.locator("#tour-next").dispatch_event("click")
    assert page.locator("#tour").is_hidden() and page.locator(".pointed").count() == 0
    page.evaluate("startTour()")
    assert page.locator("#tour").is_hidden()


def test_screen_readers_are_told_at_most_once_a_second(page):
    page.evaluate("pause(true)")
    heard = page.evaluate("""async () => {
      const heard = [], spoken = byId('spoken');
      const watcher = new MutationObserver(() => heard.push([performance.now(), spoken.textContent]));
      watcher.observe(spoken, { childList: true });
      for (let n = 0; n < 7; n++) {
        notice(`text ${n}`);
        await new Promise(done => setTimeout(done, 100));
      }
      await new Promise(done => setTimeout(done, SPEAK_MS));
      watcher.disconnect();
      return heard;
    }""")
    times, texts = zip(*heard)
    assert len(texts) > 1 and texts[-1] == "text 6" and min(np.diff(times)) > 950
    assert page.locator("[role=status], [aria-live], [role=alert], output").count() == 1


def test_forced_colours_show_held_keys_and_text_grows(page):
    page.emulate_media(forced_colors="active")
    page.keyboard.down("q")
    colours = page.evaluate("""[...document.querySelectorAll('#keys button')].map(
      button => getComputedStyle(button).backgroundColor)""")
    page.keyboard.up("q")
    page.emulate_media(forced_colors=None)
    assert colours[0] != colours[1] == colours[2]
    sizes = page.evaluate("""() => ['16px', '32px'].map(size => {
      document.documentElement.style.fontSize = size;
      return ['body', 'button', '#hint', 'small', '#metres'].map(name =>
        parseFloat(getComputedStyle(document.querySelector(name)).fontSize));
    })""")
    page.evaluate("document.documentElement.style.fontSize = ''")
    assert all(large >= 1.5 * small for small, large in zip(*sizes))


# ------------------------------------------------------------------------------------------------- the inside

def test_a_dragged_number_changes_the_dream_and_a_locked_one_stays(page):
    unfold(page, "inside")
    assert page.locator("#sliders label").count() == 16
    frames_on(page, 2)
    middle = page.evaluate("(dream.meta.z_low[4] + dream.meta.z_high[4]) / 2 + 0.4")
    page.get_by_label("Lock number 5").check()
    page.get_by_label("number 5", exact=True).evaluate(
        f"e => {{ e.value = {middle}; e.dispatchEvent(new Event('input')); }}")
    frames_on(page, 3)
    locked = page.evaluate("loop.past.slice(-2).map(m => m.state.z.data[4])")
    assert np.allclose(locked, middle, atol=0.05) and page.evaluate("dream.start") is None
    page.get_by_label("Lock number 5").uncheck()
    frames_on(page, 4)
    figures = r"/^[1-9][\d.]* ms a frame \(95% within [1-9][\d.]*\) · [1-9][\d.]* frames/"
    page.wait_for_function(f"{figures}.test(byId('pace').textContent)")
    page.wait_for_function("byId('drift').value > 0")


@pytest.fixture(scope="module")
def read_page(browser, addresses, site):
    """A page whose model has readings of the body, a map and the sizes of its layers."""
    rng = np.random.default_rng(0)
    readings = [{"name": name, "unit": unit, "weights": rng.normal(size=17).tolist(), "low": -30, "high": 30,
                 "r2": 0.9, "correlation": (np.eye(16)[n] * -0.8).tolist()}
                for n, (name, unit) in enumerate([("leans forward", "°"), ("trunk is high", "m")])]
    sizes = {"encoder": [[96, 96, 3], [6, 6, 64], [16]], "dynamics": [[384], [16]], "decoder": [[96, 96, 3]]}
    axes = [[50, *np.eye(16)[n] * 9] for n in (2, 5)]
    changes = {"map": {"axes": axes, "points": [[50, 50]]}, "readings": readings, "sizes": sizes}
    add_model(site, "read", **changes)
    page = load(browser, addresses["file"] + "?model=read")
    unfold(page, "inside", "about")
    yield page
    page.context.close()


def test_a_reading_is_moved_with_the_least_change_of_the_numbers(read_page):
    page = read_page
    page.evaluate("pause(true)")
    z = np.array(between(page, "async () => [...dream.z]"))
    set_range(page, "#readings input[type=range] >> nth=0", 12)
    page.wait_for_function("loop.queued.length === 0 && dream.start === null")
    moved = np.array(between(page, "async () => [...dream.z]")) - z
    meta = page.evaluate("dream.meta")
    bias, *weights = meta["readings"][0]["weights"]
    assert bias + weights @ (z + moved) == pytest.approx(12, abs=0.2)
    pull = np.array(weights) * np.square(meta["z_std"])
    np.testing.assert_allclose(moved / np.linalg.norm(moved), np.sign(weights @ moved) * pull
                               / np.linalg.norm(pull), atol=1e-3)


def test_a_locked_reading_stays_while_the_dream_goes_on(read_page):
    page = read_page
    page.evaluate("pause(false)")
    page.get_by_label("Lock leans forward").check()
    value = float(page.locator("#readings input[type=range] >> nth=0").input_value())
    frames_on(page, 3)
    bias, *weights = page.evaluate("dream.meta.readings[0].weights")
    assert bias + weights @ np.array(page.evaluate("[...dream.z]")) == pytest.approx(value, abs=0.05)
    page.get_by_label("Lock leans forward").uncheck()
    assert page.locator("#sliders small").all_inner_texts()[:3] == ["− leans forward", "− trunk is high", ""]
    text = page.locator("#readings small").all_inner_texts()
    assert re.fullmatch(r"[+−]\d+ °", text[0]) and re.fullmatch(r"[+−]\d+\.\d\d m", text[1])


def test_the_map_shows_the_way_of_the_dream(read_page):
    page = read_page
    page.evaluate("pause(false)")
    frames_on(page, 2)
    page.evaluate("pause(true)")
    lit, here = between(page, """async () => {
      const canvas = byId('map'), { width, height } = canvas, { axes } = dream.meta.map;
      const [x, y] = axes.map(axis => linear(axis, dream.z));
      const brush = canvas.getContext('2d');
      const at = (x, y) => [...brush.getImageData(Math.round(x), Math.round(y), 1, 1).data];
      return [at(width / 2 + 1, height / 2 + 1), at(width * (0.05 + 0.009 * x), height * (0.95 - 0.009 * y))];
    }""")
    assert lit[3] == here[3] == 255 and lit != here


def test_the_networks_are_drawn_in_their_real_sizes(read_page):
    rows = read_page.locator("#networks > div").all_inner_texts()
    assert [row.split() for row in rows] == [
        ["encoder", "96×96×3", "6×6×64", "16"], ["LSTM,", "then", "linear", "layers", "20", "384", "16"],
        ["decoder", "16", "96×96×3"]]
    assert read_page.evaluate("""() => {  // of an earlier model none are known
      const box = document.createElement('div');
      drawNetworks(box, { ...dream.meta, sizes: undefined });
      return box.children.length;
    }""") == 0
    boxes = read_page.evaluate("""[...document.querySelectorAll('#networks span')].map(e => {
      const { left, right, top, bottom } = e.getBoundingClientRect();
      return [left, right, top, bottom];
    })""")
    for n, (left, right, top, bottom) in enumerate(boxes):
        for a, b, c, d in boxes[:n]:
            assert right < a or b < left or bottom <= c or d <= top  # nothing touches


def test_a_drifting_dream_is_pulled_back_when_asked(page):
    unfold(page, "inside")
    page.get_by_label("when the dream drifts").check()
    between(page, "async () => { dream.z = dream.meta.z_high.map("
                  "(high, n) => 3 * high - 2 * dream.meta.z_low[n]); }")
    page.wait_for_selector("#pulled:has-text('pulled back')")
    page.wait_for_function("""() => {
      const { z_low: low, z_high: high } = dream.meta;
      return dream.z.every((x, n) => x < 2 * high[n] - low[n]);
    }""")


# -------------------------------------------------------------------------------------------------- the truth

def test_the_real_runner_runs_beside_the_dream_under_the_same_keys(page):
    unfold(page, "compare")
    page.keyboard.down("q")
    page.get_by_label("Beside the dream").select_option("live")
    page.wait_for_selector("#truth-stage:visible")
    page.wait_for_function("loop.truth.frame > 12 && loop.past.at(-1).difference > 0")
    assert page.get_by_label("Beside the dream").input_value() == "live"  # so "nothing" can be chosen
    page.evaluate("pause(true)")
    same = between(page, """async () => {
      const here = new Runner();
      for (let tick = 0; tick < 3; tick++) here.tick();
      for (const row of loop.truth.played) {
        if (here.over) here.restart();
        dream.meta.keys.forEach((key, n) => { here.keys[key] = Boolean(row[n]); });
        for (let tick = 0; tick < 3; tick++) here.tick();
      }
      const small = surface();
      drawRunner(small, here);
      const expected = small.getImageData(0, 0, SIDE, SIDE).data, { rgba, played, frame } = loop.truth;
      return [expected.every((x, i) => x === rgba[i]), played.some(row => row[0]), dream.frame, frame];
    }""")
    assert same[:2] == [True, True] and same[2] == same[3]
    page.get_by_role("button", name="Move the dream to where the game is").click()
    gap = between(page, """async () => {
      const z = await dream.encode(loop.truth.rgba);
      return Math.max(...z.map((x, n) => Math.abs(x - dream.z[n])));
    }""")
    assert gap < 1e-4
    before = page.evaluate("loop.truth.frame")
    page.get_by_role("button", name="One frame back").click()
    page.evaluate("pause(false)")
    page.wait_for_function(f"loop.truth.frame > {before}")
    page.get_by_label("faintly over").check()
    page.get_by_label("Beside the dream").select_option("")
    page.wait_for_selector("#truth-stage", state="hidden")
    page.keyboard.up("q")


def test_a_recorded_clip_plays_with_its_keys_until_a_person_takes_over(page):
    with np.load(ROOT / "held_out" / "runner" / "human.npz") as file:
        frame, keys = file["frames"][0, 15].astype(int), file["keys"][0, 10:15]
    unfold(page, "compare")
    page.evaluate("pause(true)")
    page.get_by_label("Beside the dream").select_option(label="recorded: human-like keys")
    page.wait_for_selector("#truth-stage:visible")
    for _ in range(5):
        page.get_by_role("button", name="One frame forward").click()
    page.wait_for_function("loop.truth.frame === 5")
    shown, log = page.evaluate("[[...loop.truth.rgba], dream.log]")
    assert np.abs(np.reshape(shown, (96, 96, 4))[..., :3] - frame).mean() < 3  # WebP
    assert log == (keys << np.arange(4)).sum(1).tolist()
    assert page.get_by_label("Who plays").input_value() == "clip"
    page.evaluate("pause(false)")
    page.wait_for_function("loop.truth.frame > 8")
    page.evaluate("loop.truth.source.next = () => null")
    page.wait_for_function("loop.truth.frame < 5")  # the clip has ended and begins again
    page.evaluate("loop.truth.recordedKeys = () => [1, 1, 1, 1]")
    page.wait_for_function("document.querySelectorAll('#keys [aria-pressed=true]').length === 4")
    page.get_by_label("Beside the dream").select_option("")
    page.wait_for_selector("#truth-stage", state="hidden")
    assert page.locator("#keys [aria-pressed=true]").count() == 0
    assert page.get_by_label("Who plays").input_value() == "you"
    page.get_by_label("Beside the dream").select_option(label="recorded: human-like keys")
    page.wait_for_selector("#truth-stage:visible")
    page.keyboard.press("o")
    page.wait_for_selector("#truth-stage", state="hidden")


# --------------------------------------------------------------------------------------------- keep and share

@pytest.mark.slow
def test_a_link_dreams_the_same_again(page, open_page, addresses):
    page.keyboard.down("o")
    frames_on(page, 5)
    page.keyboard.up("o")
    page.keyboard.down("q")
    frames_on(page, 5)
    page.keyboard.up("q")
    page.evaluate("pause(true)")
    frame, total = between(page, "async () => [dream.frame, sumToText(dream.sum)]")
    unfold(page, "keep")
    page.get_by_role("button", name="Copy a link").click()
    link = page.locator("#kept a").get_attribute("href")
    assert link.startswith(addresses["file"]) and f"sum={total}" in link
    assert page.locator("#sum").text_content() == total
    again = open_page("file", link.removeprefix(addresses["file"]))
    repeated = f"#notice:has-text('{frame} frames repeated. Checksum {total}: the same frames')"
    again.wait_for_selector(repeated)
    between(again, "async () => { notice(''); loop.goBack(0); }")  # to its beginning: the same dream again
    again.get_by_label("Lock number 1", exact=True).evaluate("box => { box.checked = true; }")
    between(again, "async () => openLink(readLink(dream.meta))")
    again.wait_for_selector(repeated)
    assert again.evaluate("loop.past[0].seed === readLink(dream.meta).seed")
    again.keyboard.press("r")
    again.wait_for_function("dream.frame < 5")
    link = link.replace(total, "01234567")
    again.evaluate("link => { location.href = link; }", link)  # another # alone: the page loads again
    again.wait_for_selector("#notice:has-text('so this is another dream')")
    again.evaluate("link => { location.href = link; }", link[:-1])
    again.wait_for_selector("#notice:has-text('its end is missing')")
    assert state(again) == "ready" and again.troubles == []


@pytest.mark.parametrize("address", [
    "?model=qwop#start=2&keys=a5p3&sum=0a&dream=ff",
    "?model=qwop%23start=2&keys=a5p3&sum=0a&dream=ff",
    "?model%3Dqwop%2523start%3D2%26keys%3Da5p3%26sum%3D0a%26dream%3Dff",
    "?model=qwop#start=2&amp;keys=a5p3&amp;sum=0a&amp;dream=ff",
    "?model=qwop#start=2&keys=a5p3&sum=0a&dream=ff).",
    "?model=qwop#start=2&keys=a5p3&sum=0a&dream=ff%22%3E",
    "?model=qwop#start=2&keys=a5p3&sum=0a&dream=ff?si=abc",
    "?utm_source=x&model=qwop&fbclid=y%25#start=2&keys=a5p3&sum=0a&dream=ff&utm_medium=z"])
def test_a_link_survives_what_programs_make_of_it(page, address):
    read = page.evaluate("text => readAddress(text)", address)
    assert {name: read[name] for name in ("model", "start", "keys", "sum", "dream")} == {
        "model": "qwop", "start": "2", "keys": "a5p3", "sum": "0a", "dream": "ff"}


@pytest.mark.parametrize("damage", ["keys=a5z9", "keys=a5&chance=x"])
def test_a_damaged_link_is_named(page, damage):
    message = page.evaluate("""damage => {
      const address = location.href;
      history.replaceState(null, '', `#start=0&sum=0&dream=01234567&${damage}`);
      try {
        return String(readLink(dream.meta));
      } catch (error) {
        return error.message;
      } finally {
        history.replaceState(null, '', address);
      }
    }""", damage)
    assert message == "This link cannot be played: it is damaged."


def test_a_link_of_another_version_is_offered_from_its_start(page):
    page.evaluate("""() => {
      const link = { start: 2, log: [1, 1, 9], sum: '0', mark: 'deadbeef', seed: 5, temperature: 1 };
      loop.queue(() => openLink(link));
    }""")
    page.wait_for_selector("#notice:has-text('version deadbeef')")
    assert page.evaluate("dream.start") == 0 and page.evaluate("loop.player") is None
    page.get_by_role("button", name="Play its keys").click()
    page.wait_for_function("dream.start === 2 && dream.log.length > 3")
    assert page.evaluate("dream.log.slice(0, 3)") == [1, 1, 9]


def test_a_dream_that_was_changed_by_hand_has_no_link(page):
    between(page, "async () => { dream.z = dream.z.with(0, 0.5); }")
    unfold(page, "keep")
    page.get_by_role("button", name="Copy a link").click()
    assert "no link can repeat it" in page.locator("#kept").text_content()


@pytest.mark.parametrize("keys, log", [(4, [0, 0, 5, 5, 5, 15, 0]), (6, [0, 33, 33, 63]), (2, [])])
def test_keys_as_text_come_back(page, keys, log):
    text = page.evaluate(f"logToText({json.dumps(log)}, {keys})")
    assert page.evaluate(f"textToLog('{text}', {keys})") == log
    assert len(text) <= 2 * len(log) + 2


def test_the_last_seconds_are_saved_as_a_gif(page):
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
    error = np.abs(np.asarray(gif.convert("RGB"), int)
                   - np.asarray(rgb.resize(gif.size, Image.Resampling.BILINEAR)))
    assert error.mean() < 4  # of 128 colours


# -------------------------------------------------------------------------------------------- it plays itself

def test_random_keys_and_gaits_play_until_a_person_takes_over(page):
    page.evaluate(WATCH)
    page.get_by_label("Who plays").select_option("random")
    page.wait_for_function("new Set(seen.map(s => s.keys)).size > 2", timeout=60_000)
    page.wait_for_function("document.querySelector('#keys [aria-pressed=true]')")
    page.get_by_label("Who plays").select_option("gait0")
    page.wait_for_function("loop.player && dream.frame < 9")
    page.wait_for_function("dream.frame > 8")
    gait, log = page.evaluate("[dream.meta.gaits[0], dream.log.slice(0, 8)]")
    assert log == (policies.gait_keys(gait, 8, 3).astype(int) << np.arange(4)).sum(1).tolist()
    page.keyboard.press("p")
    page.wait_for_function("loop.player === null && byId('player').value === 'you'")


# ----------------------------------------------------------------------- what Python and JavaScript both know

def test_noise_are_the_same_and_standard_normal(page):
    seeds = [0, 1, 4_000_000_000]
    drawn = page.evaluate("""seeds => seeds.map(seed => Array.from({ length: 300 }, (_, frame) =>
        [...drawNoise(seed, frame, 2, 0.5)]))""", seeds)
    expected = np.stack([draw_noise(seeds, frame, 2, 0.5) for frame in range(300)], 1)
    assert np.array_equal(np.float32(drawn), expected)
    assert abs(expected.mean()) < 0.05 and abs(expected.std() - 0.5) < 0.03
    assert np.abs(np.corrcoef(expected.reshape(3, -1))[np.triu_indices(3, 1)]).max() < 0.15


def test_constants_are_the_same(page):
    assert page.evaluate("[PRESS, LET_GO, GRID]") == [policies.PRESS, policies.LET_GO, policies.GRID]
    assert page.evaluate("SYNC_FRAMES") == data.CONTEXT


@pytest.mark.parametrize("ticks", [1, 2, 3])
def test_gaits_hold_the_same_keys(page, ticks):
    rng = np.random.default_rng(ticks)
    gaits = [gait for game in ("qwop", "runner")
             for gait in policies.load_gaits(ROOT / f"games/{game}_gaits.json")][:9]
    gaits += [{"period": rng.uniform(8, 48), "on": rng.random((4, 2)).tolist()} for _ in range(9)]
    gaits.append({"period": 24, "on": [[0.75, 0.25], [0, 0.5], [0.5, 0], [0.25, 0.25]]})
    keys = page.evaluate("""([gaits, ticks]) => gaits.map(gait =>
      Array.from({ length: 200 }, (_, frame) => gaitKeys(gait, frame, ticks)))""", [gaits, ticks])
    assert keys == [policies.gait_keys(gait, 200, ticks).tolist() for gait in gaits]


def test_random_keys_are_the_same_for_the_same_random_numbers(page):
    numbers = np.random.default_rng(0).random((500, 4))
    keys = page.evaluate("""numbers => {
      const { random } = Math, rows = [];
      Math.random = () => numbers.shift();
      const player = randomPlayer(4);
      while (numbers.length) rows.push(player());
      Math.random = random;
      return rows;
    }""", numbers.ravel().tolist())
    assert keys == policies.random_keys(500, 4, np.random.default_rng(0)).tolist()


def test_the_learned_player_is_the_same(page):
    """Twelve frames, a life ends in the sixth: what capture/player.py would choose."""
    rng = np.random.default_rng(0)
    numbers, z = rng.normal(size=141), rng.normal(size=(12, 16))
    dz_std = page.evaluate("dream.meta.dz_std")
    keys = page.evaluate("""async ([numbers, z]) => {
      const player = learnedPlayer({ numbers }, dream.meta), rows = [];
      for (const [n, row] of z.entries()) rows.push(await player(n, () => ({ z: row, over: n === 5 })));
      return rows;
    }""", [numbers.tolist(), z.tolist()])
    step = np.diff(z, axis=0, prepend=z[:1])
    step[6] = 0
    life = [*range(6), *range(6)]
    player = Player(numbers[None], dz_std)
    assert keys == [player.choose(z[n:n + 1], step[n:n + 1], life[n])[0].tolist() for n in range(12)]


def test_a_dream_in_which_nobody_learned_says_so(open_page, site):
    shutil.copytree(MODEL, site / "model" / "lone", ignore=shutil.ignore_patterns("player.*"))
    page = open_page("file", "?model=lone")
    page.select_option("#player", "learned")
    page.wait_for_function("!byId('notice').hidden")
    assert "run train_player.py" in page.locator("#notice").text_content()
    assert page.locator("#player").input_value() == "you"
    page.troubles.clear()  # the browser reports the missing file


@pytest.mark.parametrize("count", [2, 4, 6, 9])
def test_the_text_of_keys_is_the_same(page, count):
    keys = np.random.default_rng(count).integers(0, 2, (50, count)).astype(np.uint8)
    rows = page.evaluate("""async ([text, count]) => {
      const clip = { keys: text, frames: 50, picture: surface().canvas.toDataURL() };
      const source = await recordedClip(clip, { keys: Array(count).fill('q') });
      return Array.from({ length: 50 }, (_, t) => source.keys(t));
    }""", [policies.to_text(keys), count])
    assert rows == keys.tolist()
