"""Games that only their descriptions know, tests/games: recorded, checked, described; the guide's commands
made small with one of them, in page and app."""
import contextlib
import json
import re
import shlex
import shutil
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from helpers import ROOT, WATCH, dreamed, refusal, run, running, sharing

import data
from capture import check, policies
from capture.browser import Recorder
from capture.games import load_game
from collect import main

KEYS = ["ArrowLeft", "ArrowRight", "Space"]
NAMES = ["←", "→", "Space"]
# Added to the guide's command of each script
SMALL = {"collect.py": ["--frames", 40], "train_ae.py": ["--epochs", 2, "--batch", 32],
         "encode.py": ["--live", 23], "train_lstm.py": ["--epochs", 2, "--batch", 4],
         "evaluate.py": ["--dream-frames", 40]}
EPISODES = ["--episodes", 21]


@pytest.mark.parametrize("name", ["breakout", "jump", "rocks"])
def test_games_of_three_kinds_record_and_give_the_same_bytes_twice(browser, name):
    """A timer and one move for each drawing, a canvas and WebGL, keys and the mouse, globals and a module."""
    game = load_game(str(ROOT / f"tests/games/{name}.py"))
    playwright = SimpleNamespace(chromium=browser.browser_type) if game.webgl else sharing(browser)
    recorder = Recorder(playwright, game)
    keys = policies.random_keys(200, len(game.keys), np.random.default_rng(1))
    first, second = recorder.play(keys, 3), recorder.play(keys, 3)
    assert all((first[array] == second[array]).all() for array in first)
    assert first["restart"].sum() > 2 and (first["over"][:-1] == first["restart"][1:]).all()
    starts = np.flatnonzero(first["restart"])
    assert np.ptp(first["score"][starts]) < 0.1 and (np.diff(starts) > 3).all()
    recorder.game.fresh = False
    for k in range(len(game.keys)):
        held = np.zeros((20, len(game.keys)), np.uint8)
        held[:, k] = 1
        assert (recorder.play(held, 3)["frames"] != recorder.play(0 * held, 3)["frames"]).any(), game.keys[k]
    if game.webgl:
        recorder.game.webgl = "shown"  # the same, scaled down from what the page shows
        recorder.open()
        shown = recorder.play(keys[:50], 3)["frames"].astype(int)
        assert np.abs(shown - first["frames"][:50]).mean() < 3 and np.ptp(shown) > 200
        recorder.browser.close()
    else:
        recorder.page.close()


PAGE = """<canvas id=game width=96 height=96></canvas><script>
const brush = document.querySelector("#game").getContext("2d");
let x = 0, hue = 0, over = false;
onkeydown = (e) => { if (e.code === "KeyA") x += 9; };
setInterval(() => { x += 1; over = over || x > 60; brush.clearRect(0, 0, 96, 96);
brush.fillStyle = `hsl(${hue},50%,50%)`; brush.fillRect(x, 0, 9, 9); }, 40);</script>"""


@pytest.mark.parametrize(("content", "code", "expected"), [
    ({}, 0, ["canvas", "good to record", "a frame is 3 ticks", "change the picture: a\n"]),
    ({"keys": ["a", "b"], "restart": "x = 0", "tick_ms": 16}, 1, [
        "b changes nothing: check the name", "over is still true after restart",
        "its timers wait 40 ms: is tick_ms one of them?", "to change (!)"]),
    ({"restart": "x = 0; hue += 40; over = false", "fresh": False}, 1, [
        "differs from frame 0 on", "leave out  fresh = False"])])
def test_a_description_is_checked(browser, tmp_path, capsys, monkeypatch, content, code, expected):
    monkeypatch.setattr(check, "LONG", 80)
    monkeypatch.setattr(check, "sync_playwright", lambda: contextlib.nullcontext(sharing(browser)))
    monkeypatch.setattr(Recorder, "close", lambda recorder: recorder.page.close())
    (tmp_path / "index.html").write_text(PAGE)
    content = {"serve": ".", "url": "index.html", "canvas": "#game", "keys": ["a"], "tick_ms": 40,
               "restart": "x = 0; over = false", "over": "over", **content}
    path = tmp_path / "toy.py"
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in content.items()))
    args = SimpleNamespace(supersample=1, timeout=20, ticks_per_frame=3)
    assert check.check(load_game(str(path)), args, tmp_path / "check.png") == code
    output = capsys.readouterr().out
    assert all(words in output for words in expected), output
    assert len(output.splitlines()) < 13 and (tmp_path / "check.png").exists()


def test_a_first_draft_is_written(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "sync_playwright", lambda: contextlib.nullcontext(sharing(browser)))
    monkeypatch.setattr(Recorder, "close", lambda recorder: recorder.page.close())
    text, draft = check.describe(str(ROOT / "tests/games/breakout.html")), {}
    exec(text, draft)
    assert draft["canvas"] == "#game" and draft["url"] == "breakout.html"
    assert "newGame" in text and "lost" in text
    assert set(draft["keys"]) == {"ArrowLeft", "ArrowRight", "Space", "Enter"}
    draft = check.describe(str(ROOT / "tests/games/rocks.html"))
    assert "webgl = True" in draft and "mouse:click" in draft and "tick_ms = 16 " in draft
    assert "no page" in refusal(main, "--describe", tmp_path)
    (tmp_path / "index.html").write_text("<canvas></canvas><script src=none.js></script>"
                                         "<script src=http://127.0.0.1:9/a.js></script>")
    assert "allow = ['127.0.0.1:9']" in check.describe(str(tmp_path))
    (tmp_path / "index.html").write_text("<iframe src=game.html></iframe>")
    assert "has no canvas canvas, but 1 iframe" in refusal(main, "--describe", tmp_path)


def test_names_of_games_and_keys(tmp_path):
    text = 'serve = "."\nurl = "page.html"\ncanvas = "c"\ntick_ms = 20\nrestart = over = "1"\n'
    (tmp_path / "runner.py").write_text(f"{text}keys = ['a']\n")
    assert "a game that ships is called runner" in refusal(main, "--game", tmp_path / "runner.py")
    (tmp_path / "toy.py").write_text(f"{text}keys = ['mouse:middle']\n")
    assert "no key is called 'mouse:middle'" in refusal(main, "--game", tmp_path / "toy.py")
    (tmp_path / "toy.py").write_text(f"{text}keys = ['a', 'mouse:click', 'touch:left', 'pointer:.2,1']\n")
    digests = set()
    for page in ("one", "another"):  # two games with the same name and description are not the same
        (tmp_path / "page.html").write_text(page)
        digests.add(load_game(str(tmp_path / "toy.py")).digest)
    assert len(digests) == 2


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
def recorded_breakout(tmp_path_factory):
    """data/breakout after the guide's first command."""
    root = tmp_path_factory.mktemp("own")
    play(root, *guide()[0])
    return root / "breakout"


@pytest.fixture(scope="module")
def folder(recorded_breakout):
    """data/breakout after all commands of the guide."""
    for script, args in guide()[1:]:
        play(recorded_breakout.parent, script, args)
    return recorded_breakout


def test_recorded_episodes_show_the_game(recorded_breakout):
    """The paddle moves as the keys say, in every frame in which it is not at a wall."""
    seen, pushes = 0, set()
    names = ("frames", "keys", "restart", "score")
    for _, episode in data.load_episodes(recorded_breakout / "frames", names):
        frames, keys = episode["frames"].astype(int), episode["keys"]
        assert keys.shape == (40, 3) and episode["score"].shape == (40,) and episode["restart"][0]
        orange = (frames[:, 86, :, 0] > 200) & (frames[:, 86, :, 2] < 100)  # the paddle's row of pixels
        paddle = orange.argmax(1)
        alive = ~(episode["restart"][1:] | (frames[1:, 2, 2, 0] > 100))
        moved = np.sign(np.diff(paddle))[alive]
        pushed = (keys[:-1, 1].astype(int) - keys[:-1, 0])[alive]
        inside = (paddle[1:][alive] > 0) & (orange.sum(1)[1:][alive] + paddle[1:][alive] < 84)
        assert (moved == pushed)[inside].all()
        seen, pushes = seen + inside.sum(), pushes | set(pushed[inside].tolist())
    assert seen > 200 and pushes == {-1, 0, 1}


@pytest.mark.slow
def test_the_model_folder_describes_this_game(folder):
    meta = json.loads((folder / "model" / "meta.json").read_text())
    assert (meta["game"], meta["keys"], meta["shape"]) == ("breakout", KEYS, [240, 160])
    assert (meta["tick_ms"], meta["ticks_per_frame"], meta["frame_ms"]) == (20, 3, 60)
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
    """docs/index.html, opened as a file, with the model as docs/model/breakout."""
    site = shutil.copytree(ROOT / "docs", tmp_path_factory.mktemp("site") / "docs",
                           ignore=shutil.ignore_patterns("model", "report"))
    shutil.copytree(folder / "model", site / "model" / "breakout")
    page = browser.new_page(bypass_csp=True)
    page.goto((site / "index.html").as_uri() + "?model=breakout")
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
    assert page.title() == page.locator("h1").text_content() == "breakout, hallucinated"
    assert page.locator("#status").text_content().startswith("Ready: breakout")
    assert page.get_by_role("link").count() == 0  # there is no page of the real breakout
    assert aspect(page.locator("#picture")) == pytest.approx(1.5, rel=0.01)


@pytest.mark.slow
def test_every_key_changes_the_dream_in_the_page(page):
    page.evaluate("dream.temperature = 0")  # no noise: the same keys give the same dream
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
        assert page.title() == page.locator("h1").text_content() == "breakout, hallucinated"
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
        page.goto(page.locator("a", has_text="browser alone").evaluate("a => a.href"))
        page.wait_for_selector("body:not([data-state=loading])")
        assert page.locator("#status").text_content().startswith("Ready: breakout")
        page.close()
