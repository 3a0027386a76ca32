"""Nothing but its description is about a game: the whole chain, the page and the app with tests/paddle, by the real
scripts in a real Chromium."""
import json
import os
import shutil

import numpy as np
import onnxruntime
import pytest
from benchmark_app import running
from helpers import ROOT, run
from test_page import WATCH, dreamed

import data

GAME = ROOT / "tests" / "paddle" / "paddle.py"
KEYS = ["ArrowLeft", "ArrowRight", "Space"]
NAMES = ["←", "→", "Space"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """data/paddle after every script of the README, each as small as it can be."""
    root = tmp_path_factory.mktemp("own")
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # on a busy machine two threads wait for each other most of the time
    for script, *args in (("collect.py", "--episodes", 21, "--frames", 48, "--ticks-per-frame", 2),
                          ("collect.py", "--held-out", "--frames", 48, "--ticks-per-frame", 2),
                          ("train_ae.py", "--epochs", 3, "--batch", 16, "--run", 4, "--lr", 2e-3, "--dropout", 0),
                          ("encode.py", "--frames", 48, "--ticks-per-frame", 2, "--live", 23),
                          ("train_lstm.py", "--epochs", 3, "--batch", 4),
                          ("export.py",), ("evaluate.py", "--dream-frames", 100)):
        result = run(script, "--game", GAME, "--data", root, *args, env=alone)
        assert result.returncode == 0, (script, result.stderr)
    return root / "paddle"


def test_the_readme_shows_the_whole_description():
    assert f"```python\n{GAME.read_text()}```" in (ROOT / "README.md").read_text()


def test_a_recorded_episode_shows_the_game(folder):
    episode = data.load_episode(data.episode_path(folder / "frames", 3), ("frames", "keys", "restart", "score"))
    frames, keys = episode["frames"].astype(int), episode["keys"]
    assert keys.shape == (48, 3) and episode["score"].shape == (48,) and episode["restart"][0]
    orange = (frames[:, 86, :, 0] > 200) & (frames[:, 86, :, 2] < 100)  # the row of pixels that the paddle moves in
    paddle = orange.argmax(1)
    alive = ~(episode["restart"][1:] | (frames[1:, 2, 2, 0] > 100))
    moved = np.sign(np.diff(paddle))[alive]
    pushed = (keys[:-1, 1].astype(int) - keys[:-1, 0])[alive]
    inside = (paddle[1:][alive] > 0) & (orange.sum(1)[1:][alive] + paddle[1:][alive] < 84)
    assert set(np.abs(pushed)) == {0, 1} and (moved == pushed)[inside].all()


def test_the_model_folder_tells_of_this_game(folder):
    meta = json.loads((folder / "model" / "meta.json").read_text())
    assert (meta["game"], meta["keys"], meta["shape"]) == ("paddle", KEYS, [240, 160])
    assert (meta["tick_ms"], meta["ticks_per_frame"], meta["frame_ms"]) == (20, 2, 40)
    dynamics = onnxruntime.InferenceSession(folder / "model" / "dynamics.onnx")
    assert {x.name: x.shape for x in dynamics.get_inputs()}["keys"] == ["N", 3]
    figures, = json.loads((folder / "report" / "report.json").read_text()).values()
    assert set(figures["kinds"]) == {"random", "human", "held"}  # no gaits are known
    # what 38 frames of 40 ms allow:
    assert list(figures["kinds"]["random"]["rollout"]["gain_db_whole"]) == ["0.1", "0.5", "1.0"]


@pytest.fixture(scope="module")
def page(browser, folder, tmp_path_factory):
    """docs/index.html, opened as a file, with the model as docs/model/paddle."""
    site = shutil.copytree(ROOT / "docs", tmp_path_factory.mktemp("site") / "docs",
                           ignore=shutil.ignore_patterns("model"))
    shutil.copytree(folder / "model", site / "model" / "paddle")
    page = browser.new_page(bypass_csp=True)
    page.goto((site / "index.html").as_uri() + "?model=paddle")
    page.wait_for_selector("body:not([data-state=loading])")
    assert page.evaluate("document.body.dataset.state") == "ready", page.locator("#status").text_content()
    page.evaluate(WATCH)
    yield page
    page.close()


def shape(canvas):
    box = canvas.bounding_box()
    return box["width"] / box["height"]


def lit(page):
    return page.locator("#keys [aria-pressed=true]").all_inner_texts()


def test_the_page_names_the_game_and_its_keys(page):
    assert page.locator("#keys button").all_inner_texts() == NAMES
    assert page.title() == page.locator("h1").text_content() == "paddle, hallucinated"
    assert page.locator("#status").text_content().startswith("Ready: paddle")
    assert page.get_by_role("link").count() == 0  # nobody else has the real paddle
    assert shape(page.locator("#picture")) == pytest.approx(1.5, rel=0.01)


def test_every_key_changes_the_dream_in_the_page(page):
    still = dreamed(page)
    assert dreamed(page) == still
    for n, (key, name) in enumerate(zip(KEYS, NAMES)):
        page.keyboard.down(key)
        assert lit(page) == [name]
        held = dreamed(page)
        page.keyboard.up(key)
        assert lit(page) == []
        assert {step["keys"] for step in held} == {"".join(str(int(n == k)) for k in range(3))}
        assert held[0]["z"] != still[0]["z"], f"{key}: the very next z"
        assert np.abs(np.subtract(held[-1]["z"], still[-1]["z"])).max() > 1e-4, key


def test_space_is_a_key_of_the_game_and_clicks_no_button(page):
    page.get_by_role("button", name="Restart").focus()
    dreamed(page)
    page.keyboard.press("Space")
    page.wait_for_function("seen.some(step => step.keys === '001')")
    assert page.evaluate("seen.find(step => step.keys === '001').frame") > 8  # it was not restarted


def test_the_page_keeps_the_pace_of_the_model(page):
    frame_ms = page.evaluate("""async () => {
        const [time, frame] = [performance.now(), dream.frame];
        await new Promise(done => setTimeout(done, 2000));
        return (performance.now() - time) / (dream.frame - frame);
    }""")
    assert 39 < frame_ms < 80  # 40 on a quiet machine


@pytest.fixture
def app(folder):
    """app.py with the model -> its address."""
    with running("--model", folder / "model") as (_, url, _):
        yield url


def test_the_app_plays_it_and_so_does_its_plain_page(app, browser):
    page = browser.new_page()
    page.goto(app)
    page.wait_for_selector("canvas[data-step]")
    assert page.locator(".keys button").all_inner_texts() == NAMES
    assert page.title() == page.locator("h1").text_content() == "paddle, hallucinated"
    assert shape(page.locator("canvas")) == pytest.approx(1.5, rel=0.01)
    picture = "document.querySelector('canvas').toDataURL()"
    page.keyboard.press("r")
    page.wait_for_function("document.querySelector('canvas').dataset.step < 5")
    before = page.evaluate(picture)
    page.keyboard.down("ArrowRight")
    assert page.locator(".keys [aria-pressed=true]").all_inner_texts() == ["→"]
    page.wait_for_function(f"{picture} !== {before!r}")
    page.keyboard.up("ArrowRight")
    assert page.locator(".keys [aria-pressed=true]").count() == 0
    page.goto(app + page.locator("a", has_text="browser alone").get_attribute("href"))
    page.wait_for_selector("body:not([data-state=loading])")
    assert page.locator("#status").text_content().startswith("Ready: paddle")
    page.close()
