"""app.py as a visitor meets it: the real server in a process of its own, played over HTTP and in Chromium."""
import hashlib
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from conftest import ROOT, run

NO_KEYS, Q = [0, 0, 0, 0], [1, 0, 0, 0]


class Server:
    """The running app: its address, and how its two server functions are called without a page."""

    def __init__(self, url):
        self.url = url
        with urllib.request.urlopen(f"{url}config") as answer:
            self.component = next(c["id"] for c in json.load(answer)["components"] if c["type"] == "html")

    def call(self, function, data):
        body = {"data": data, "component_id": self.component, "fn_name": function, "session_hash": "test"}
        request = urllib.request.Request(f"{self.url}gradio_api/component_server/", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def dream(self, keys, steps=10):
        """The last picture of a fresh dream in which `keys` are held."""
        visitor = self.call("start", {"start": 0})["visitor"]
        for _ in range(steps):
            answer = self.call("step", {"visitor": visitor, "keys": keys})
        assert answer["step"] == steps, answer
        return answer["picture"]


@pytest.fixture(scope="module")
def loud_model(toy_model, tmp_path_factory):
    """The toy model with z times 300 before the decoder, whose random weights hardly see it otherwise."""
    folder = shutil.copytree(toy_model, tmp_path_factory.mktemp("loud") / "model")
    decoder = onnx.load(folder / "decoder.onnx")
    for node in decoder.graph.node:
        node.input[:] = ["loud" if name == "z" else name for name in node.input]
    decoder.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(300), "gain"))
    decoder.graph.node.insert(0, onnx.helper.make_node("Mul", ["z", "gain"], ["loud"]))
    onnx.save(decoder, folder / "decoder.onnx")
    meta = json.loads((folder / "meta.json").read_text())
    meta["sha256"]["decoder.onnx"] = hashlib.sha256((folder / "decoder.onnx").read_bytes()).hexdigest()
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


@pytest.fixture(scope="module")
def server(loud_model):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, ROOT / "app.py", "--model", loud_model, "--port", str(port),
                                "--visitors", "50", "--no-browser"], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert "playing" in line and time.monotonic() - began < 10, line
        yield Server(re.search(r"http://\S+", line)[0])
        assert process.poll() is None, "the app died"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def page(server, browser):
    """The page, ready; window.seen keeps every picture since the last start by its step."""
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(error))
    page.goto(server.url)
    page.wait_for_selector("canvas[data-step]")
    page.evaluate("""() => {
        const canvas = document.querySelector("canvas");
        window.lives = 0;
        window.seen = {};
        new MutationObserver(() => {
            if (canvas.dataset.step === "0") { window.lives++; window.seen = {}; }
            window.seen[canvas.dataset.step] = canvas.toDataURL();
        }).observe(canvas, { attributeFilter: ["data-step"] });
    }""")
    yield page
    page.close()
    assert not errors


def pressed(page):
    return page.locator(".keys button[aria-pressed=true]").all_inner_texts()


def test_torch_is_not_needed():
    code = "import app, sys; print([m for m in ('torch', 'onnx', 'playwright') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_page_plays_at_the_pace_of_the_game(page):
    page.wait_for_function("document.querySelector('output').textContent === 'playing'")
    before = int(page.locator("canvas").get_attribute("data-frame"))
    page.wait_for_timeout(2000)
    frames = int(page.locator("canvas").get_attribute("data-frame")) - before
    assert 10 <= frames <= 21  # 20 when the machine is quiet
    assert page.locator("a", has_text="browser alone").get_attribute("href") == "plain/?model=played"


def test_held_key_changes_the_dream(page):
    def dream(key):
        lives = page.evaluate("window.lives")
        if key:
            page.keyboard.down(key)
        page.wait_for_timeout(300)
        page.keyboard.press("r")
        page.wait_for_function("lives => window.lives > lives && window.seen[8]", arg=lives)
        if key:
            page.keyboard.up(key)
        return page.evaluate("window.seen[8]")

    still = dream(None)
    assert dream("q") != still
    assert dream("Q") != still  # Caps Lock does not matter
    assert dream(None) == still


def test_keys_are_let_go(page):
    page.keyboard.down("q")
    page.keyboard.down("p")
    assert pressed(page) == ["Q", "P"]
    page.keyboard.up("q")
    assert pressed(page) == ["P"]
    page.evaluate("dispatchEvent(new Event('blur'))")
    assert pressed(page) == []
    page.locator("[data-code=KeyW]").hover()
    page.mouse.down()
    assert pressed(page) == ["W"]
    page.mouse.up()
    assert pressed(page) == []
    page.evaluate("document.body.append(document.createElement('input'))")
    page.locator("body > input").press("q")
    assert pressed(page) == [] and page.locator("body > input").input_value() == "q"


def test_chosen_start_is_another_dream(page):
    page.keyboard.press("r")
    page.wait_for_function("window.lives === 1")
    first = page.evaluate("window.seen[0]")
    page.locator("select").select_option("1")
    page.wait_for_function("window.lives === 2")
    assert page.evaluate("window.seen[0]") != first
    page.keyboard.down("o")
    assert pressed(page) == ["O"]  # the list does not keep the keyboard


def test_visitors_do_not_disturb_each_other(server):
    still, running = server.dream(NO_KEYS), server.dream(Q)
    assert still != running
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(server.dream, [NO_KEYS, Q] * 4)) == [still, running] * 4


@pytest.mark.parametrize("function, call", [
    ("step", {"keys": Q}), ("step", {"keys": Q, "visitor": "me"}), ("step", {"keys": Q, "visitor": ["a"]}),
    ("step", None), ("step", []), ("step", "q"), ("step", {"keys": [1]}), ("step", {"keys": [2, 0, 0, 0]}),
    ("step", {"keys": [float("nan")] * 4}), ("step", {"keys": [[1]] * 4}), ("step", {"keys": "qwop"}),
    ("step", {"keys": [0] * 1_000_000}), ("step", {"keys": ["a", None, {}, 0]}),
    ("start", None), ("start", {}), ("start", {"start": -1}), ("start", {"start": 10**30}),
    ("start", {"start": "0"}), ("start", {"start": float("nan")}), ("start", {"start": 1.0})])
def test_bad_calls_are_answered(server, function, call):
    if isinstance(call, dict) and call.get("keys", Q) != Q:  # the visitor is good where the keys are bad
        call = call | {"visitor": server.call("start", {"start": 0})["visitor"]}
    assert list(server.call(function, call)) == ["error"]
    assert "picture" in server.call("start", {"start": 0})


def test_hammering_visitor_is_turned_away(server):
    call = {"visitor": server.call("start", {"start": 0})["visitor"], "keys": Q}
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: server.call("step", call), range(200)))
    frames = [answer["frame"] for answer in answers if "frame" in answer]
    assert len(set(frames)) == len(frames) and all("frame" in a or "more than" in a["error"] for a in answers)
    assert server.dream(NO_KEYS)


def test_places_are_limited_and_given_back(toy_model):
    import app
    visitors = app.Visitors(app.Model(toy_model), places=2)
    names = [visitors.start({"start": 0})["visitor"] for _ in range(2)]
    assert len(set(names)) == 2 and min(map(len, names)) > 20
    again = visitors.start({"start": 1, "visitor": names[0]})
    assert again["visitor"] == names[0] and again["frame"] == 2  # a restart takes no new place
    assert "taken" in visitors.start({"start": 0})["error"]
    for _ in range(11):
        time.sleep(0.5)
        assert "frame" in visitors.step({"visitor": names[0], "keys": Q})
    assert list(visitors.playing) == names[:1]  # who was silent for 5 seconds has left
    assert "unknown visitor" in visitors.step({"visitor": names[1], "keys": Q})["error"]
    assert "visitor" in visitors.start({"start": 0})


def test_missing_model_and_taken_port(toy_model, server, tmp_path):
    result = run("app.py", "--model", tmp_path / "none")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert "no model in" in result.stderr and "python export.py" in result.stderr
    port = re.search(r":(\d+)/", server.url)[1]
    result = run("app.py", "--model", toy_model, "--no-browser", "--port", port)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1 and "in use" in result.stderr


@pytest.mark.parametrize("spoil, word", [
    (lambda meta: meta | {"format": 99}, "format 99"), (lambda meta: meta | {"starts": []}, "no start state"),
    (lambda meta: meta | {"starts": [{"z": [1, 2]}]}, "reshape"), (lambda meta: {}, "format"),
    (lambda meta: meta | {"sha256": {"decoder.onnx": "0" * 64}}, "sha256"), (lambda meta: [], "TypeError")])
def test_unusable_model_folder(toy_model, tmp_path, spoil, word):
    import app
    folder = shutil.copytree(toy_model, tmp_path / "model", ignore=shutil.ignore_patterns("*.js", "encoder*"))
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(spoil(meta)))
    with pytest.raises(SystemExit, match=word) as stop:
        app.Model(folder)
    assert "\n" not in str(stop.value) and "export.py" in str(stop.value)
