"""app.py as visitors meet it: the real server and the shipped models; over HTTP, in Chromium, by a script."""
import contextlib
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest import mock

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from helpers import PATIENCE, ROOT, Server, look, refusal, running
from PIL import Image

import app
import dream

NO_KEYS, Q = [0, 0, 0, 0], [1, 0, 0, 0]
HELD_OUT, RUNNER = ROOT / "held_out" / "runner", ROOT / "docs" / "model" / "runner"


def last_image(server, keys, steps=10):
    """The last image of a fresh dream in which `keys` are held."""
    visitor = server.start()["visitor"]
    for _ in range(steps):
        answer = server.call("step", {"visitor": visitor, "keys": keys})
    assert answer["step"] == steps and len(answer["images"]) == 1, answer
    return answer["images"][0]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "runner").mkdir()
    Image.new("RGB", (60, 40), "red").save(folder / "runner" / "ae_curves.png")
    (folder / "runner" / "ae_log.jsonl").write_text('{"epoch": 7, "psnr": 28.5}\n')
    with running("--visitors", 500, "--data", folder) as (process, url, _):
        yield Server(url)
        assert process.poll() is None, "the app died"


@pytest.fixture(scope="module")
def client(server):
    return Client(server.url, verbose=False)


@pytest.fixture
def page(server, browser):
    """The page, ready; window.seen keeps the first image of each step since the last start."""
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
            window.seen[canvas.dataset.step] ??= canvas.toDataURL();
        }).observe(canvas, { attributeFilter: ["data-step", "data-image"] });
    }""")
    yield page
    page.close()
    assert not errors


def pressed(page):
    return [text[0] for text in page.locator(".keys button[aria-pressed=true]").all_inner_texts()]


@pytest.mark.slow
def test_torch_is_not_needed():
    code = ("import app, sys; "
            "print([name for name in ('torch', 'onnx', 'playwright', 'matplotlib') if name in sys.modules])")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_page_plays_and_links_to_the_plain_page(page):
    page.wait_for_function("document.querySelector('output').textContent === 'playing'")
    page.wait_for_function("window.seen[12]")
    link = page.locator("a", has_text="browser alone")
    assert link.get_attribute("href") == f"{page.url}plain/?model=played0"
    with page.expect_popup() as opened:
        link.click()
    opened.value.wait_for_selector("body[data-state=ready]", timeout=30_000)
    opened.value.close()


@pytest.mark.slow
@pytest.mark.parametrize("width, height", [(390, 844), (844, 390), (820, 1180), (1280, 900)])
def test_it_fits_the_screen(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    look(page, f"app, {width} x {height}")
    keys = page.locator(".keys").bounding_box()
    assert keys["y"] + keys["height"] <= height  # without scrolling
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def is_stay(request):
    return '"fn_name":"stay"' in (request.post_data or "")


@pytest.mark.slow
def test_pause_step_and_speed(page):
    def step():
        return int(page.locator("canvas").get_attribute("data-step"))

    def rests():
        """Does the page keep its place, and dream nothing?"""
        for _ in range(2):  # steps may still be on their way at the first
            with page.expect_request(is_stay):
                pass
        before = step()
        with page.expect_request(is_stay):
            pass
        return step() == before and page.locator("output").text_content() == "paused"

    def steps_at(speed):
        page.locator("select.speed").select_option(speed)
        page.wait_for_timeout(500)
        before = step()
        page.wait_for_timeout(1500)
        return step() - before

    page.get_by_role("button", name="Pause").click()
    assert rests()
    before = step()
    page.get_by_role("button", name="Step", exact=True).click()
    page.wait_for_function(f"document.querySelector('canvas').dataset.step === '{before + 1}'")
    assert rests() and step() == before + 1
    page.get_by_role("button", name="Play", exact=True).click()
    assert steps_at("4") > 2 * steps_at("0.25") > 0  # 60 and 4 on a quiet machine
    page.get_by_role("tab", name="Your training").click()
    assert rests()


def test_another_model_has_its_own_keys_and_colours(page):
    page.locator("select.model").select_option("qwop")
    page.wait_for_function("window.lives === 1 && window.seen[2]")
    assert page.locator("h1").text_content() == "QWOP, hallucinated"
    parts = page.locator(".keys button").all_inner_texts()
    assert parts == ["Q\nthighs", "W\nthighs", "O\ncalves", "P\ncalves"]
    pixels = page.evaluate("[...document.querySelector('canvas').getContext('2d')"
                           ".getImageData(0, 80, 96, 10).data]")
    red, _, blue, _ = np.reshape(pixels, (-1, 4)).mean(0)
    assert red > blue + 40  # its track; the runner's is blue


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
    page.evaluate("document.body.append(document.createElement('input'))")  # as in the other tabs
    page.locator("body > input").press("q")
    assert pressed(page) == [] and page.locator("body > input").input_value() == "q"


def test_the_player_runs_until_a_person_takes_over(page):
    from train_player import dream_of
    watch = page.get_by_role("button", name="Watch it run")
    watch.click()
    page.wait_for_function("window.lives === 1 && window.seen[20]")
    assert watch.get_attribute("aria-pressed") == "true"
    page.wait_for_function("document.querySelector('.keys [aria-pressed=true]')")
    page.keyboard.press("q")
    assert watch.get_attribute("aria-pressed") == "false" and pressed(page) == []

    # The same keys as where it learned
    model = dream.Model(RUNNER)
    visitor, player = app.Visitor("a"), app.find_player(model)
    visitor.restart(model, player, model.starts[0])
    frames = np.concatenate([visitor.step(None, 1, 0) for _ in range(60)]).astype(int)
    assert np.abs(frames - dream_of(model, player, 60)).max() <= 1  # painted singly


def test_chosen_start_is_another_dream(page):
    page.keyboard.press("r")
    page.wait_for_function("window.lives === 1")
    first = page.evaluate("window.seen[0]")
    page.locator("select.start").select_option("1")
    page.wait_for_function("window.lives === 2")
    assert page.evaluate("window.seen[0]") != first
    page.keyboard.down("o")
    assert pressed(page) == ["O"]  # the list does not keep the keyboard


def test_visitors_do_not_disturb_each_other(server):
    still, running = last_image(server, NO_KEYS), last_image(server, Q)
    assert still != running
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(partial(last_image, server), [NO_KEYS, Q] * 4)) == [still, running] * 4


@pytest.mark.parametrize("function, call", [
    ("step", {"keys": Q}), ("step", {"keys": Q, "visitor": "me"}), ("step", {"keys": Q, "visitor": ["a"]}),
    ("step", None), ("step", []), ("step", "q"), ("step", {"keys": [1]}), ("step", {"keys": [2, 0, 0, 0]}),
    ("step", {"keys": [float("nan")] * 4}), ("step", {"keys": [[1]] * 4}), ("step", {"keys": "qwop"}),
    ("step", {"keys": [0] * 1_000_000}), ("step", {"keys": ["a", None, {}, 0]}),
    ("step", {"keys": Q, "images": 0}), ("step", {"keys": Q, "images": 10**9}),
    ("step", {"keys": Q, "images": 2.5}), ("step", {"keys": Q, "images": 1, "temperature": 3}),
    ("step", {"keys": Q, "images": 1, "temperature": "1"}), ("step", {"images": 1}),
    ("stay", {}), ("stay", None), ("stay", {"visitor": [1]}),
    ("start", None), ("start", {}), ("start", {"start": -1}), ("start", {"start": 10**30}),
    ("start", {"start": "0"}), ("start", {"start": float("nan")}), ("start", {"start": 1.0}),
    ("start", {"start": [0] * 16}),
    ("start", {"start": 0, "model": "../runner"}), ("start", {"start": 0, "model": None})])
def test_bad_calls_are_answered(server, function, call):
    if function == "start" and call and "model" not in call:
        call = call | {"model": "runner"}
    if isinstance(call, dict) and (call.get("keys", Q) != Q or "images" in call):  # then the visitor is good
        call = call | {"visitor": server.start()["visitor"]}
    assert list(server.call(function, call)) == ["error"]
    assert "images" in server.start()


def test_images_lie_between_two_frames(server):
    def images(answer):
        return np.stack([np.asarray(Image.open(urllib.request.urlopen(url))).astype(float)
                         for url in answer["images"]])

    visitor = server.start()
    before = images(visitor)[0]
    for _ in range(4):
        call = {"visitor": visitor["visitor"], "keys": [1, 0, 0, 1], "images": 4}
        on_the_way = images(server.call("step", call))
        far = [np.square(one - on_the_way[-1]).mean() for one in (before, *on_the_way)]
        assert len(on_the_way) == 4 and far == sorted(far, reverse=True) and far[0] > 0
        before = on_the_way[-1]


def test_hammering_visitor_is_turned_away(server):
    call = {"visitor": server.start()["visitor"], "keys": Q}
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: server.call("step", call), range(200)))
    numbers = [answer["number"] for answer in answers if "number" in answer]
    refusals = [answer["error"] for answer in answers if "error" in answer]
    assert len(set(numbers)) == len(numbers) > 0 and len(numbers) + len(refusals) == 200
    assert set(refusals) == {"more than 4 calls at the same time"}
    assert last_image(server, NO_KEYS)


def test_places_are_limited_and_given_back():
    visitors = app.Visitors({"runner": dream.Model(RUNNER)}, {"runner": None}, places=4)
    call = {"start": 0, "model": "runner"}
    names = [visitors.start(call, address)["visitor"] for address in "aabc"]
    assert len(set(names)) == 4 and min(map(len, names)) > 20
    again = visitors.start({"start": 1, "model": "runner", "visitor": names[0]}, "a")
    assert again["visitor"] == names[0] and again["number"] == 2  # a restart takes no new place
    assert "taken" in visitors.start(call, "d")["error"]
    for n, visitor in enumerate(visitors.playing.values()):
        visitor.seen -= (3 - n) * app.IDLE_S
    assert visitors.stay({"visitor": names[0]}) == {}  # it pauses, the second and third have left
    third = visitors.start(call, "d")["visitor"]
    assert set(visitors.playing) == {names[0], third, *names[2:]}  # the second was silent longest
    assert "unknown visitor" in visitors.step({"visitor": names[1], "keys": Q})["error"]
    visitors.playing[names[0]].seen -= 2 * app.IDLE_S
    assert "images" in visitors.step({"visitor": names[0], "keys": Q})  # nobody needed the place
    assert "images" in visitors.start(call, "a") and names[2] not in visitors.playing
    for visitor in visitors.playing.values():
        visitor.seen -= 2 * app.IDLE_S
    del visitors.playing[names[3]]  # there is a free place, but not for an address with half of all
    visitors.stay({"visitor": third})
    assert "images" in visitors.start(call, "a") and names[0] not in visitors.playing
    for name in visitors.playing:
        visitors.stay({"visitor": name})
    assert len(visitors.playing) == 3 and "half" in visitors.start(call, "a")["error"]


# ---- the truth beside the dream

def test_comparison_is_true():
    from ui import panels
    model = dream.Model(RUNNER)
    with np.load(HELD_OUT / "gait.npz") as arrays:
        frames, keys = arrays["frames"][1], arrays["keys"][1]
    truth, dreamed, difference = panels.compare(model, frames, keys, 5)
    assert (truth == frames[15:165]).all() and dreamed.shape == truth.shape == (150, 96, 96, 3)
    # Nothing dreamed is better than the ceiling
    assert difference["reconstructed"].mean() < difference["dreamed"].mean()
    assert difference["dreamed"][:25].mean() < difference["persistence"][:25].mean()
    same, other, _ = panels.compare(model, frames, 1 - keys, 5)
    assert (same == truth).all() and (other != dreamed).any()  # it is the keys that it dreams


def spoil(kind, path):
    """An upload that cannot be used."""
    episode = {"frames": np.zeros((20, 96, 96, 3), np.uint8), "keys": np.zeros((20, 4), np.uint8),
               "restart": np.zeros(20, bool)}
    if kind == "shape":
        episode["frames"] = episode["frames"][:, :50]
    if kind == "keys":
        episode["keys"] = episode["keys"][:, :3]
    if kind == "short":
        episode = {name: array[:5] for name, array in episode.items()}
    if kind == "pickled":
        episode["keys"] = np.array([{"a": 1}] * 20, object)
    np.savez(path, **episode)
    if kind == "text":
        path.write_text("no episode")
    if kind == "huge":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("frames.npy", bytes(300_000_000))


@pytest.mark.parametrize("kind, words", [
    ("shape", "'frames' is uint8"), ("keys", "3 keys, this dream 4"), ("short", "5 frames, at least 12"),
    ("pickled", "cannot be used"), ("text", "not a zip file"), ("huge", "300 MB when unpacked")])
def test_bad_episodes_get_a_clear_message(kind, words, tmp_path):
    import gradio

    from ui import door, panels
    spoil(kind, tmp_path / "episode.npz")
    with pytest.raises(gradio.Error) as stop:
        panels.compare(dream.Model(RUNNER), *door.open_upload(tmp_path / "episode.npz"), 0)
    assert words in stop.value.message and "\n" not in stop.value.message


def test_uploaded_episode_and_a_bad_one(page, tmp_path):
    with np.load(HELD_OUT / "human.npz") as arrays:
        np.savez(tmp_path / "mine.npz", frames=arrays["frames"][0, :60], keys=arrays["keys"][0, :60],
                 restart=arrays["restart"][0, :60])
    spoil("pickled", tmp_path / "bad.npz")
    page.get_by_role("tab", name="Compare an episode").click()
    page.wait_for_selector("img[src*='.gif']", timeout=60_000)  # of a recorded one
    ready = page.locator("img[src*='.gif']").get_attribute("src")
    chosen = page.locator("input[type=file]").first
    chosen.set_input_files(tmp_path / "bad.npz")
    page.wait_for_selector("text=bad")
    page.get_by_role("button", name="Dream it").click()
    page.wait_for_selector("text=This episode cannot be used", timeout=20_000)
    page.get_by_label("Remove this file").or_(page.get_by_label("Clear")).first.click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "mine.npz")
    page.wait_for_selector("text=mine")
    page.get_by_role("button", name="Dream it").click()
    page.wait_for_selector(f"img[src*='.gif']:not([src='{ready}'])", timeout=60_000)
    assert page.locator("text=persistence").count() == 2  # in the text, and in the legend of the curve
    assert page.locator(".vega-embed, canvas.marks, svg.marks").count()
    with page.expect_download() as download:
        page.get_by_label("Download").click()
    download.value.save_as(tmp_path / "clip.gif")
    with Image.open(tmp_path / "clip.gif") as clip:
        assert clip.n_frames == 50 and clip.size == (960, 200) and clip.info["duration"] == 100


# ---- what training left

def test_training_shows_what_is_there(page):
    page.get_by_role("tab", name="Your training").click()
    page.wait_for_selector('text="psnr": 28.5')
    page.wait_for_selector("text=ae_curves.png")


# ---- for scripts

def test_script_dreams_as_the_readme_says(client):
    code = re.search(r"```python\n(from gradio_client.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    assert "http://127.0.0.1:7860" in code
    code = code.replace("http://127.0.0.1:7860", client.src)
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, timeout=60)
    assert result.returncode == 0, result.stderr


def test_api_is_the_model(client):
    model = dream.Model(RUNNER)
    keys = np.random.default_rng(0).integers(0, 2, (20, 4))
    dreamed = client.predict(keys.tolist(), api_name="/rollout")
    state, z = model.starts[0], []
    for row in keys:
        state, _ = model.step(state, row[None])
        z.append(state[0][0])
    assert np.allclose(dreamed["z"], z, atol=1e-5)
    half = client.predict(keys[:10].tolist(), api_name="/rollout")["state"]
    rest = client.predict(keys[10:].tolist(), half, "runner", api_name="/rollout")
    assert np.allclose(rest["z"], z[10:], atol=1e-5)
    assert np.allclose(client.predict(keys[10].tolist(), half, api_name="/step")["z"], z[10], atol=1e-5)
    image = client.predict(dreamed["z"][-1], "runner", api_name="/decode")
    assert (np.asarray(Image.open(image)) == model.decode(state[0])[0]).all()
    z = client.predict(handle_file(image), "runner", api_name="/encode")
    assert np.allclose(z, model.encode(model.decode(state[0]))[0], atol=1e-4)


@pytest.mark.parametrize("kind", ["turned", "16 bits"])
def test_images_as_cameras_and_scanners_store_them(tmp_path, kind):
    from ui import door
    grey = np.arange(96, dtype=np.uint8).repeat(96).reshape(96, 96) + 80  # lighter to the bottom
    image, exif = Image.fromarray(grey), Image.Exif()
    if kind == "turned":
        exif[0x0112] = 6  # it lies on its side
        image = image.rotate(90)
    else:
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    image.save(tmp_path / "a.png", exif=exif)
    assert np.abs(door.open_image(tmp_path / "a.png")[..., 0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize("name, call, words", [
    ("step", (["q", 0, 0, 0],), "Keys must be"), ("step", (Q, {"z": [1]}), "State must be"),
    ("step", (Q, None, "none"), "Model must be"), ("rollout", ([Q] * 2001,), "at most 2000"),
    ("rollout", ([[0, 0, 0, 7]],), "Keys must be"), ("decode", ([1, 2], "runner"), "16 finite numbers"),
    ("decode", ([None] * 16, "runner"), "finite"), ("encode", ("text", "runner"), "cannot be read"),
    ("encode", ("large", "runner"), "too large: at most 30 megapixels")])
def test_bad_calls_of_a_script(client, tmp_path, name, call, words):
    if name == "encode":
        path = tmp_path / "image.png"
        if call[0] == "text":
            path.write_text("no image")
        else:
            Image.new("1", (6_000, 5_001)).save(path)
        call = handle_file(path), call[1]
    with pytest.raises(AppError, match=words):
        client.predict(*call, api_name=f"/{name}")


@pytest.mark.slow
def test_large_file_is_refused(page):
    page.get_by_role("tab", name="Compare an episode").click()
    assert page.locator("text=50 MB and 10,000 frames").is_visible()
    page.locator("input[type=file]").first.evaluate("""input => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(52 * 1024 * 1024)], "large.npz"));
        input.files = data.files;
        input.dispatchEvent(new Event("change", { bubbles: true }));
    }""")
    page.wait_for_selector("text=/exceed the maximum allowed size of 50/", timeout=30_000)


def test_no_path_outside_the_upload_is_read(server, client):
    number, = (point.fn_index for point in client.endpoints.values() if point.api_name == "/encode")
    for path in ("/etc/passwd", str(ROOT / "docs/growth.png"), "../../docs/growth.png"):
        body = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, "runner"], "fn_index": number,
                "session_hash": "test"}
        request = urllib.request.Request(f"{server.url}gradio_api/run/encode", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as stop:
            urllib.request.urlopen(request, timeout=10)
        body = stop.value.read().decode()
        assert stop.value.code == 500 and "root:" not in body and "PNG" not in body and len(body) < 1000, body
    for path in ("/etc/passwd", str(ROOT / "README.md")):
        with pytest.raises(urllib.error.HTTPError) as stop:
            urllib.request.urlopen(f"{server.url}gradio_api/file={path}", timeout=10)
        assert stop.value.code == 403
    for path in ("..%2fapp.py", "%2e%2e/app.py", "model/played0/..%2f..%2f..%2fapp.py", "..%2f" * 9 + "etc"):
        with pytest.raises(urllib.error.HTTPError) as stop:
            urllib.request.urlopen(f"{server.url}plain/{path}", timeout=10)
        assert stop.value.code == 404


def test_missing_model_and_taken_port(server, tmp_path):
    line = refusal(app.main, "--model", tmp_path / "none")
    assert "no model in" in line and "export.py" in line
    taken = re.search(r":(\d+)/", server.url)[1]
    for port in (taken, "abc", "70000", "0", ""):
        assert "cannot listen on" in refusal(app.main, "--no-browser", "--port", port)
    for name, value in (("GRADIO_SERVER_NAME", "no host"), ("GRADIO_SERVER_PORT", "x"),
                        ("GRADIO_ROOT_PATH", "dream")):
        with mock.patch.dict(app.SETTINGS, {name: value}):
            assert value in refusal(app.main, "--no-browser")


@pytest.mark.slow
def test_settings_of_gradio_in_the_environment(monkeypatch):
    """Bad ones of which it knows more than the app does no harm; behind a proxy links have its address."""
    for name in ("GRADIO_NUM_PORTS", "GRADIO_DEFAULT_CONCURRENCY_LIMIT", "GRADIO_SSR_MODE", "GRADIO_SHARE"):
        monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv("GRADIO_ALLOWED_PATHS", "/")
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/dream")
    with running() as (_, url, _):
        for path in ("", "dream/", "plain/", "dream/plain/", "plain/model/played0/model.js"):
            with urllib.request.urlopen(url + path) as answer:
                assert answer.status == 200
        with urllib.request.urlopen(f"{url}config") as answer:
            assert json.load(answer)["root"] == f"{url}dream"
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{url}gradio_api/file=/etc/hostname")
        assert error.value.code == 403


@pytest.mark.parametrize("spoil, word", [
    (lambda meta: meta | {"format": 99}, "format 99"), (lambda meta: meta | {"starts": []}, "no start state"),
    (lambda meta: meta | {"starts": [{"z": [1, 2]}]}, "reshape"), (lambda meta: {}, "format"),
    (lambda meta: meta | {"sha256": {"decoder.onnx": "0" * 64}}, "sha256"), (lambda meta: [], "TypeError")])
def test_unusable_model_folder(tmp_path, spoil, word):
    folder = shutil.copytree(RUNNER, tmp_path / "model", ignore=shutil.ignore_patterns("*.js"))
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(spoil(meta)))
    with pytest.raises(SystemExit, match=word) as stop:
        dream.Model(folder)
    assert "\n" not in str(stop.value) and "export.py" in str(stop.value)


@pytest.mark.parametrize("path", ["", "config", "plain/", "gradio_api/info", "gradio_api/upload"])
@pytest.mark.parametrize("headers, code", [
    ({"Host": "evil.example"}, 400), ({"Host": "localhost:7860"}, 200), ({"Host": "[::1]:7860"}, 200),
    ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403),
    ({"Origin": "http://127.0.0.1"}, 403),
    ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
    ({"X-Forwarded-Host": "my.example", "Origin": "https://my.example"}, 200),
    ({"Content-Length": "60000000"}, 413), ({"Content-Length": "5000000"}, 413)])
def test_foreign_names_and_sites_and_large_bodies_are_refused(server, path, headers, code):
    """A web site may let its own name point here, or call from a visitor's browser."""
    if path == "gradio_api/upload":
        code = {200: 405, 413: 413 if "6" in str(headers) else 405}.get(code, code)
    request = urllib.request.Request(server.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == code == 200
            assert "frame-ancestors 'self' https://hugg" in answer.headers["content-security-policy"]
    except urllib.error.HTTPError as error:
        assert error.code == code


@pytest.mark.parametrize("megabytes, codes", [(1, (200,)), (6, (400, 413))])
def test_a_large_body_without_its_size_is_refused(server, megabytes, codes):
    body = {"data": {"padding": "x" * megabytes * 10**6}, "component_id": server.component,
            "fn_name": "start", "session_hash": "test"}
    connection = http.client.HTTPConnection(server.url.removeprefix("http://").rstrip("/"), timeout=10)
    connection.request("POST", "/gradio_api/component_server/", iter([json.dumps(body).encode()]),
                       {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status in codes


@pytest.mark.parametrize("path", ["monitoring", "monitoring/summary", "monitoring/key"])
def test_nobody_watches_the_visitors(server, path):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(server.url + path)
    assert error.value.code == 403


@pytest.mark.parametrize("stop", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_it_ends_in_one_line_while_calls_run(tmp_path, monkeypatch, stop):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with running() as (process, url, _):
        server = Server(url)
        call = {"visitor": server.start()["visitor"], "keys": Q}

        def play():
            with contextlib.suppress(OSError):  # the server has gone
                while True:
                    server.call("step", call)

        with ThreadPoolExecutor(3) as pool:
            for _ in range(3):
                pool.submit(play)
            time.sleep(0.5)
            process.send_signal(stop)
            assert process.wait(PATIENCE) == 130
        assert process.stdout.read() == "stopped\n"
    assert not list(tmp_path.glob("dream-*"))
