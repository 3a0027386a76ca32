"""A game that only its description knows, tests/paddle: the guide's commands made small, page and app."""
import json
import re
import shlex
import shutil

import numpy as np
import onnxruntime
import pytest
from helpers import ROOT, WATCH, dreamed, run, running

import data

KEYS = ["ArrowLeft", "ArrowRight", "Space"]
NAMES = ["←", "→", "Space"]
# Added to the guide's command of each script
SMALL = {"collect.py": ["--frames", 40], "train_ae.py": ["--epochs", 2, "--batch", 32],
         "encode.py": ["--live", 23], "train_lstm.py": ["--epochs", 2, "--batch", 4],
         "evaluate.py": ["--dream-frames", 40]}
EPISODES = ["--episodes", 21]


def guide():
    """The guide's commands up to a playable model: [(script, its arguments)]."""
    text = (ROOT / "docs" / "own-game.md").read_text()
    block, = (lines for lines in re.findall(r"(?:^python .+\n)+", text, re.M) if "train_ae.py" in lines)
    commands = [shlex.split(line)[1:] for line in block.splitlines()]
    return [(script, args) for script, *args in commands if script != "app.py"]


def play(root, script, args):
    """Run a command of the guide, made small, on a data folder."""
    small = [*SMALL.get(script, []), *(EPISODES if "--episodes" in args else [])]
    result = run(script, *args, "--data", root, *small, cwd=ROOT)
    assert result.returncode == 0, (script, result.stderr)


@pytest.fixture(scope="module")
def recorded_paddle(tmp_path_factory):
    """data/paddle after the guide's first command."""
    root = tmp_path_factory.mktemp("own")
    play(root, *guide()[0])
    return root / "paddle"


@pytest.fixture(scope="module")
def folder(recorded_paddle):
    """data/paddle after all commands of the guide."""
    for script, args in guide()[1:]:
        play(recorded_paddle.parent, script, args)
    return recorded_paddle


def test_a_recorded_episode_shows_the_game(recorded_paddle):
    """The paddle moves as the keys say, in every frame of an episode in which it is not at a wall."""
    path = data.episode_path(recorded_paddle / "frames", 3)
    episode = data.load_episode(path, ("frames", "keys", "restart", "score"))
    frames, keys = episode["frames"].astype(int), episode["keys"]
    assert keys.shape == (40, 3) and episode["score"].shape == (40,) and episode["restart"][0]
    orange = (frames[:, 86, :, 0] > 200) & (frames[:, 86, :, 2] < 100)  # the paddle's row of pixels
    paddle = orange.argmax(1)
    alive = ~(episode["restart"][1:] | (frames[1:, 2, 2, 0] > 100))
    moved = np.sign(np.diff(paddle))[alive]
    pushed = (keys[:-1, 1].astype(int) - keys[:-1, 0])[alive]
    inside = (paddle[1:][alive] > 0) & (orange.sum(1)[1:][alive] + paddle[1:][alive] < 84)
    assert set(np.abs(pushed)) == {0, 1} and (moved == pushed)[inside].all() and inside.sum() > 20


@pytest.mark.slow
def test_the_model_folder_describes_this_game(folder):
    meta = json.loads((folder / "model" / "meta.json").read_text())
    assert (meta["game"], meta["keys"], meta["shape"]) == ("paddle", KEYS, [240, 160])
    assert (meta["tick_ms"], meta["ticks_per_frame"], meta["frame_ms"]) == (20, 2, 40)
    dynamics = onnxruntime.InferenceSession(folder / "model" / "dynamics.onnx")
    assert {x.name: x.shape for x in dynamics.get_inputs()}["keys"] == ["N", 3]


@pytest.mark.slow
def test_the_report_has_the_kinds_of_keys_that_this_game_knows(folder):
    figures, = json.loads((folder / "report" / "report.json").read_text()).values()
    assert set(figures["kinds"]) == {"random", "human", "held"}  # no gaits are known
    # the 30 frames of 40 ms after the context allow no longer rollouts
    assert list(figures["kinds"]["random"]["rollout"]["gain_db_whole"]) == ["0.1", "0.5", "1.0"]


@pytest.fixture(scope="module")
def page(browser, folder, tmp_path_factory):
    """docs/index.html, opened as a file, with the model as docs/model/paddle."""
    site = shutil.copytree(ROOT / "docs", tmp_path_factory.mktemp("site") / "docs",
                           ignore=shutil.ignore_patterns("model", "report"))
    shutil.copytree(folder / "model", site / "model" / "paddle")
    page = browser.new_page(bypass_csp=True)
    page.goto((site / "index.html").as_uri() + "?model=paddle")
    page.wait_for_selector("body:not([data-state=loading])")
    assert page.evaluate("document.body.dataset.state") == "ready", page.locator("#status").text_content()
    page.evaluate(WATCH)
    yield page
    page.close()


def aspect(canvas):
    box = canvas.bounding_box()
    return box["width"] / box["height"]


def pressed(page):
    return page.locator("#keys [aria-pressed=true]").all_inner_texts()


@pytest.mark.slow
def test_the_page_names_the_game_and_its_keys(page):
    assert page.locator("#keys button").all_inner_texts() == NAMES
    assert page.title() == page.locator("h1").text_content() == "paddle, hallucinated"
    assert page.locator("#status").text_content().startswith("Ready: paddle")
    assert page.get_by_role("link").count() == 0  # there is no page of the real paddle
    assert aspect(page.locator("#picture")) == pytest.approx(1.5, rel=0.01)


@pytest.mark.slow
def test_every_key_changes_the_dream_in_the_page(page):
    page.evaluate("dream.temperature = 0")  # no lots: the same keys give the same dream
    still = dreamed(page)
    assert dreamed(page) == still
    for n, (key, name) in enumerate(zip(KEYS, NAMES)):
        page.keyboard.down(key)
        assert pressed(page) == [name]
        held = dreamed(page)
        page.keyboard.up(key)
        assert pressed(page) == []
        assert {step["keys"] for step in held} == {"".join(str(int(n == k)) for k in range(3))}
        assert held[0]["z"] != still[0]["z"], f"{key}: the very next z"
        assert np.abs(np.subtract(held[-1]["z"], still[-1]["z"])).max() > 1e-4, key


@pytest.mark.slow
def test_space_is_a_key_of_the_game_and_clicks_no_button(page):
    page.get_by_role("button", name="Restart").focus()
    dreamed(page)
    page.keyboard.press("Space")
    page.wait_for_function("seen.some(step => step.keys === '001')")
    assert page.evaluate("seen.find(step => step.keys === '001').frame") > 8  # it was not restarted


@pytest.mark.slow
def test_the_page_keeps_the_pace_of_the_model(page):
    frame_ms = page.evaluate("""async () => {
        const [time, frame] = [performance.now(), dream.frame];
        await new Promise(done => setTimeout(done, 2000));
        return (performance.now() - time) / (dream.frame - frame);
    }""")
    assert 39 < frame_ms < 80  # 40 on a quiet machine; the shipped models' pace is 100


@pytest.mark.slow
def test_the_app_plays_it_and_serves_the_page_with_it(folder, browser):
    with running("--model", folder / "model") as (_, url, _):
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("canvas[data-step]")
        assert page.locator(".keys button").all_inner_texts() == NAMES
        assert page.title() == page.locator("h1").text_content() == "paddle, hallucinated"
        assert aspect(page.locator("canvas")) == pytest.approx(1.5, rel=0.01)
        image = "document.querySelector('canvas').toDataURL()"
        page.keyboard.press("r")
        page.wait_for_function("document.querySelector('canvas').dataset.step < 5")
        before = page.evaluate(image)
        page.keyboard.down("ArrowRight")
        assert page.locator(".keys [aria-pressed=true]").all_inner_texts() == ["→"]
        page.wait_for_function(f"{image} !== {before!r}")
        page.keyboard.up("ArrowRight")
        assert page.locator(".keys [aria-pressed=true]").count() == 0
        page.goto(url + page.locator("a", has_text="browser alone").get_attribute("href"))
        page.wait_for_selector("body:not([data-state=loading])")
        assert page.locator("#status").text_content().startswith("Ready: paddle")
        page.close()
