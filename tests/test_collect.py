"""collect.py as a user runs it: on the real runner, stopped, on a full disk, on pages it cannot play."""
import base64
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
import wave
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock
from helpers import PATIENCE, ROOT, collect, complaint, episodes, family, left_over, refusal, sharing
from PIL import Image

import data
from capture import policies, workers
from capture.browser import GameError, Recorder, Server, find_browser
from capture.games import load_game
from collect import main

SLOW = pytest.mark.slow
EPISODES, FRAMES = 6, 80
SIZES = ["--policy", "random", "--episodes", EPISODES, "--frames", FRAMES, "--seed", 3]

PAGE = """<canvas id="canvas" width="200" height="100"></canvas>
<script>
  const context = canvas.getContext("2d");
  let x = 0;
  function frame() {
    context.clearRect(0, 0, 200, 100);  // to transparent
    context.fillRect(8 * x++, 50, 20, 20);
    requestAnimationFrame(frame);
  }
  requestAnimationFrame(frame);
</script>"""


# -------------------------------------------------------------------------------------------- what is written

def test_the_files_keep_the_contract(recorded):
    folder = recorded / "runner" / "frames"
    assert sorted(path.name for path in folder.iterdir()) == [
        "clip.gif", "contact_sheet.png", *(f"episode_00000{n}.npz" for n in range(EPISODES)),
        "keys.json", "meta.json"]
    for n, path in data.episode_files(folder).items():
        with np.load(path) as archive:
            arrays = dict(archive)
        assert {name: (a.dtype.name, a.shape) for name, a in arrays.items()} == {
            "frames": ("uint8", (FRAMES, 96, 96, 3)), "keys": ("uint8", (FRAMES, 4)),
            "restart": ("bool", (FRAMES,)), "over": ("bool", (FRAMES,)), "pose": ("float32", (FRAMES, 12, 3)),
            "score": ("float32", (FRAMES,))}
        assert (arrays["over"][:-1] == arrays["restart"][1:]).all()
        assert (arrays["keys"] == policies.random_keys(FRAMES, 4, np.random.default_rng([3, n]))).all()
        assert np.isfinite(arrays["pose"]).all() and (np.ptp(arrays["frames"], axis=(1, 2, 3)) > 100).all()
    meta = data.read_json(folder / "meta.json")
    assert meta.pop("browser").startswith("Chromium ") and len(meta.pop("description")) == 12
    assert meta == {"game": "runner", "url": "runner/index.html", "shape": [640, 400],
                    "keys": list("qwop"), "tick_ms": 1000 / 30,
                    "ticks_per_frame": 3, "frames": FRAMES, "seed": 3, "viewport": [96, 96],
                    "version": workers.VERSION,
                    "policy": {"name": "random", "press": 0.10, "let_go": 0.22}}


def test_the_pictures_can_be_looked_at(recorded):
    folder = recorded / "runner" / "frames"
    with Image.open(folder / "contact_sheet.png") as sheet, Image.open(folder / "clip.gif") as clip:
        sheet.load()
        assert sheet.format == "PNG" and sheet.size == (12 * 96, EPISODES * 96)
        assert clip.format == "GIF" and clip.n_frames == FRAMES


def test_a_life_starts_in_the_first_frame_and_after_each_fall(recorded):
    falls, first = 0, []
    for _, e in data.load_episodes(recorded / "runner" / "frames", tuple(GOOD)):
        assert e["restart"][0]
        first.append(e["pose"][0])
        dusk = (e["frames"][:, 2, 2, 0] > e["frames"][:, 2, 2, 2])  # the sky is red while the runner lies
        assert (e["restart"][1:] == dusk[:-1]).all()  # a new life after every fall, and only there
        step = np.abs(np.diff(e["pose"][:, :, :2], axis=0)).max((1, 2))
        for t in np.flatnonzero(e["restart"]):
            assert abs(e["score"][t] - 0.3) < 0.11 and np.abs(e["pose"][t] - e["pose"][0]).max() < 0.8
            assert t == 0 or step[t - 1] > 3  # the body jumps back to the start
        assert step[~e["restart"][1:]].max() < 4
        falls += e["restart"][1:].sum()
    assert falls > 3
    assert all((pose == first[0]).all() for pose in first)  # it starts without keys, always the same


def test_the_same_seed_gives_the_same_bytes_with_one_worker_and_with_two(recorded, tmp_path):
    assert collect(tmp_path, *SIZES, workers=1).returncode == 0
    assert episodes(tmp_path) == episodes(recorded)
    assert len(set(episodes(recorded).values())) == EPISODES


def test_what_is_complete_is_left_alone_and_frames_are_those_of_the_folder(copy):
    before = {path: path.stat().st_mtime_ns for path in (copy / "runner" / "frames").glob("*.npz")}
    result = collect(copy, "--policy", "random", "--seed", 3, "--episodes", EPISODES)  # no --frames
    assert result.returncode == 0 and "6 episodes" in result.stdout and "0 to record" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before


# ---------------------------------------------------------------------------------------------- being stopped

def start(folder, mark, *args):
    """Start collect.py, as a shell does, in a group of its own. family() finds its processes by `mark`."""
    command = [sys.executable, ROOT / "collect.py", "--data", folder, "--workers", 2, *SIZES, *args]
    return subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, env={**os.environ, "COLLECT_MARK": mark})


def wait_for_an_episode(folder, process):
    while not episodes(folder):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


@pytest.mark.parametrize("stop", ["Ctrl-C", pytest.param("kill", marks=SLOW),
                                  pytest.param("kill -9", marks=SLOW),
                                  pytest.param("kill -9 of all", marks=SLOW)])
def test_a_stopped_run_leaves_no_process_and_resumes_to_the_same_bytes(recorded, tmp_path, stop):
    mark = uuid.uuid4().hex
    process = start(tmp_path, mark)
    wait_for_an_episode(tmp_path, process)
    running = " ".join(family(mark).values())
    assert "collect.py" in running and "--headless" in running  # else its being empty below means nothing
    if stop == "kill -9 of all":
        os.killpg(process.pid, signal.SIGKILL)
    elif stop == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGKILL if "-9" in stop else signal.SIGTERM)
    process.wait(PATIENCE)
    assert left_over(mark) == {}
    assert len(episodes(tmp_path)) < EPISODES, "it was stopped too late to test anything"
    _, stderr = process.communicate()
    assert "Traceback" not in stderr
    if stop in ("Ctrl-C", "kill"):
        assert process.returncode == 130 and "stopped: what was recorded is kept" in stderr

    (tmp_path / "runner" / "frames" / "episode_000005.part").write_bytes(b"half an episode")
    result = collect(tmp_path, *SIZES)
    assert result.returncode == 0, result.stderr
    assert episodes(tmp_path) == episodes(recorded)
    assert not list((tmp_path / "runner" / "frames").glob("*.part"))


def test_browsers_have_a_temporary_folder_and_those_of_killed_runs_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("killed", "running"):
        (tmp_path / f"dream-browsers-{name}").mkdir()
        os.utime(tmp_path / f"dream-browsers-{name}", (0, 0))
    with FileLock(tmp_path / "dream-browsers-running" / ".lock"):
        os.utime(tmp_path / "dream-browsers-running", (0, 0))
        with workers.temporary_folder():
            own = Path(os.environ["TMPDIR"])
            assert own.parent == tmp_path and own.is_dir()
            (own / "profile").mkdir()
        assert [path.name for path in tmp_path.iterdir()] == ["dream-browsers-running"]
    assert os.environ["TMPDIR"] == str(tmp_path)


@SLOW
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_run_stopped_while_its_browsers_start_leaves_no_process(tmp_path, stop):
    mark = uuid.uuid4().hex
    process = start(tmp_path, mark)
    while "--headless" not in " ".join(family(mark).values()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    if stop == signal.SIGINT:
        os.killpg(process.pid, stop)
    else:
        process.send_signal(stop)
    assert left_over(mark) == {}
    _, stderr = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in stderr
    if stop == signal.SIGINT:
        assert "stopped: what was recorded is kept" in stderr


@SLOW
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_page_that_hangs_does_not_outlive_a_stopped_run(tmp_path, stop):
    mark = uuid.uuid4().hex
    process = start(tmp_path / "data", mark, "--game", game(tmp_path, restart="for (;;)"), "--workers", 1)
    while "--headless" not in " ".join(family(mark).values()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    time.sleep(3)
    assert process.poll() is None  # it hangs
    if stop == signal.SIGINT:
        os.killpg(process.pid, stop)
    else:
        process.send_signal(stop)
    assert left_over(mark) == {}
    process.communicate(timeout=PATIENCE)


# --------------------------------------------------------------------------------------------- damage on disk

def test_a_truncated_episode_is_named_set_aside_and_recorded_again(copy, recorded):
    folder = copy / "runner" / "frames"
    path = data.episode_path(folder, 2)
    path.write_bytes(path.read_bytes()[:50_000])
    result = collect(copy, *SIZES)
    assert result.returncode == 0 and "1 to record" in result.stdout
    assert f"set aside as episode_000002.damaged: {path}: damaged" in result.stdout
    assert path.with_suffix(".damaged").stat().st_size == 50_000
    assert episodes(copy) == episodes(recorded)


GOOD = {"frames": np.zeros((5, 96, 96, 3), np.uint8), "keys": np.zeros((5, 4), np.uint8),
        "restart": np.zeros(5, bool), "over": np.zeros(5, bool), "pose": np.zeros((5, 12, 3), np.float32),
        "score": np.zeros(5, np.float32)}


@pytest.mark.parametrize("change, expected", [
    ({"frames": None}, "no array 'frames'"),
    ({"restart": None}, "no array 'restart'"),
    ({"frames": np.zeros((5, 96, 96, 3))}, "'frames' is float64"),
    ({"frames": np.zeros((5, 64, 64, 3), np.uint8)}, "'frames' is uint8 (5, 64, 64, 3)"),
    ({"frames": np.uint8(0)}, "an episode of 0 frames"),
    ({"frames": np.zeros((0, 96, 96, 3), np.uint8)}, "an episode of 0 frames"),
    ({"keys": np.zeros((6, 4), np.uint8)}, "'keys' is uint8 (6, 4)"),
    ({"keys": np.zeros(5, np.uint8)}, "'keys' is uint8 (5,)"),
    ({"restart": np.zeros(5, np.uint8)}, "'restart' is uint8"),
    ({"over": np.zeros(4, bool)}, "'over' is bool (4,)"),
    ({"keys": np.array([{}] * 5)}, "damaged or not an .npz file"),
    ({"pose": np.zeros((5, 36), np.float32)}, "'pose' is float32 (5, 36)"),
    ({"score": np.zeros(5)}, "'score' is float64"),
    ({"score": np.float32([0, 1, np.nan, 2, 3])}, "'score' has numbers that are not finite"),
    ({"keys": np.full((5, 4), 2, np.uint8)}, "'keys' has other numbers than 0 and 1")])
def test_a_foreign_npz_is_refused_in_words(tmp_path, change, expected):
    path = tmp_path / "episode_000000.npz"
    np.savez(path, **GOOD)
    assert set(data.load_episode(path, tuple(GOOD))) == set(GOOD)
    np.savez(path, allow_pickle=True, **{k: v for k, v in {**GOOD, **change}.items() if v is not None})
    with pytest.raises(ValueError) as caught:
        data.load_episode(path, tuple(GOOD))
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_no_damage_is_more_than_a_value_error(recorded, tmp_path):
    path, good = tmp_path / "episode_000000.npz", next(iter(episodes(recorded).values()))
    np.save(tmp_path / "array.npy", GOOD["keys"])
    array = (tmp_path / "array.npy").read_bytes()
    broken = [b"", b"PK", b"<html>404</html>", array, bytes(1000), good[:-1], good[30:]]
    rng = np.random.default_rng(0)
    end = len(good) - 700  # the table of contents is where a flipped bit does most
    for at in [*rng.integers(0, 200, 60), *rng.integers(end, len(good), 200)]:
        broken.append(good[:at] + bytes([good[at] ^ 1 << rng.integers(8)]) + good[at + 1:])
    refused = 0
    for content in broken:
        path.write_bytes(content)
        try:
            data.load_episode(path, tuple(GOOD))  # a flipped date harms nothing
        except ValueError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("option, value", [("--ticks-per-frame", 4), ("--seed", 4), ("--frames", 81)])
def test_other_settings_for_a_folder_are_refused_and_nothing_is_lost(copy, recorded, option, value):
    line = refusal(main, "--data", copy, *SIZES, option, value)
    assert option.strip("-").replace("-", "_") in line and "name another --data" in line
    assert episodes(copy) == episodes(recorded)
    meta = "runner/frames/meta.json"
    assert data.read_json(copy / meta) == data.read_json(recorded / meta)


def test_another_description_is_refused(copy):
    path = copy / "runner/frames/meta.json"
    data.write_json(path, data.read_json(path) | {"description": "0" * 12})
    assert "recorded with description" in refusal(main, "--data", copy, *SIZES)


STOPS = """import os, signal, data
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
def main():
    os.kill(os.getpid(), signal.SIGHUP)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        raise ValueError("of a library")
data.run(main, "all is kept")"""


def test_a_stop_that_a_library_turns_into_an_error_is_a_stop():
    result = subprocess.run([sys.executable, "-c", STOPS], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (130, "\nstopped: all is kept\n")


def test_two_runs_do_not_write_into_one_folder(copy):
    with data.lock(copy / "runner/frames"):
        assert "another process writes to" in refusal(main, "--data", copy, *SIZES)


def test_a_damaged_meta_is_named(copy):
    (copy / "runner" / "frames" / "meta.json").write_text(json.dumps({"game": "runner"})[:-1])
    assert "meta.json is not valid JSON" in refusal(main, "--data", copy, *SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["episode_000003.part", "meta.json.part", "contact_sheet.png"])
def test_a_full_disk_is_one_line_and_what_is_recorded_stays(copy, recorded, victim):
    folder = copy / "runner" / "frames"
    kept = episodes(copy)
    for n in (3, 4):
        kept.pop(data.episode_path(folder, n).name)
        data.episode_path(folder, n).unlink()
    (folder / victim).unlink(missing_ok=True)
    (folder / victim).symlink_to("/dev/full")  # Linux: full for whoever writes
    line = complaint(collect(copy, *SIZES, workers=1))
    assert line.startswith(f"cannot write to {folder}: No space left on device")
    assert "same command again" in line
    assert kept.items() <= episodes(copy).items()
    (folder / victim).unlink(missing_ok=True)
    assert collect(copy, *SIZES).returncode == 0
    assert episodes(copy) == episodes(recorded)


# -------------------------------------------------------------------------------- games that cannot be played

def game(folder, page=PAGE, **content):
    """Write a page and its description into a folder -> the path of the description."""
    (folder / "page.html").write_text(f"<!doctype html>\n{page}")
    content = {"serve": ".", "url": "page.html", "canvas": "#canvas", "keys": ["a"], "tick_ms": 20,
               "restart": "x = 0", "over": "false", **content}
    path = folder / "toy.py"
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in content.items()))
    return path


def play(path, **options):
    return collect(path.parent / "data", "--game", path, "--episodes", 1, "--frames", 6, workers=1, **options)


def test_a_small_game_of_ones_own_is_recorded(tmp_path):
    result = play(game(tmp_path))
    assert result.returncode == 0, result.stderr
    episode = data.load_episode(tmp_path / "data/toy/frames/episode_000000.npz", tuple(GOOD))
    assert set(episode) == {"frames", "keys", "restart", "over"}
    assert episode["restart"].tolist() == [True] + [False] * 5
    dark = (episode["frames"] < 128).all(-1)  # the square, no trail; white where it is transparent
    assert (episode["frames"][:, 0] == 255).all() and (np.abs(dark.mean((1, 2)) - 0.02) < 0.005).all()
    assert (np.diff(dark.any(1).argmax(1)) > 5).all()


CANVAS = ("<canvas id=canvas width=96 height=96 {}></canvas><script>"
          "const canvas = document.querySelector('#canvas');")
DRAW = ("const brush = canvas.getContext('2d'); let x = 0, heard = 0; function draw() {"
        "brush.clearRect(0, 0, 96, 96); brush.fillStyle = 'red'; brush.fillRect(x, 0, 9, 9); x += 2; }")
LOOP = "(function loop() { draw(); requestAnimationFrame(loop); })();"
SOUND = io.BytesIO()
with wave.open(SOUND, "wb") as file:
    file.setparams((1, 1, 8000, 0, "NONE", ""))
    file.writeframes(bytes(2400))
SOUND = base64.b64encode(SOUND.getvalue()).decode()
HELD = np.array([[1]] * 31 + [[0], [1], [0], [1], [0]], np.uint8)  # for 620 ms, then tapped


@pytest.mark.parametrize(("page", "content", "score", "corner"), [
    # A colour and a picture from CSS, another canvas over it
    (f"<style>body {{ background: navy; }}</style>{CANVAS}{DRAW}{LOOP}", {}, None, (0, 0, 128)),
    (f"<style>canvas {{ background: black; }}</style>{CANVAS}{DRAW}{LOOP}</script>"
     "<canvas id=over width=50 height=50></canvas><script>const over = document.querySelector('#over');"
     "over.getContext('2d').fillStyle = 'lime'; over.getContext('2d').fillRect(40, 40, 10, 10);",
     {"canvas": "canvas"}, None, (0, 255, 0)),
    # The canvas is made anew with each life
    (f"{CANVAS}{DRAW.replace('const brush', 'let brush')}{LOOP}"
     "function anew() { const old = document.querySelector('#canvas'), now = old.cloneNode();"
     "old.replaceWith(now); brush = now.getContext('2d'); x = 0; }", {"restart": "anew()"}, None,
     (255, 255, 255)),
    # A loop that awaits
    (f"{CANVAS}{DRAW}const sleep = ms => new Promise(done => setTimeout(done, ms));"
     "(async () => { for (;;) { draw(); await sleep(20); } })();", {}, None, (255, 255, 255)),
    # A timer that fails, beside a loop that does not
    (f"{CANVAS}{DRAW}{LOOP}onerror = () => {{ heard += 1; }}; setInterval(() => {{ throw Error(); }}, 100);",
     {}, 7, (255, 255, 255)),
    # Date as a function, and by a date's constructor; an animation that repeats
    (f"{CANVAS}{DRAW}{LOOP}const day = new Date();"
     "heard = Date().includes('2023') && new day.constructor() - day < 1e4 ? 0 : NaN;", {}, 0, None),
    (f"<style>@keyframes go {{ to {{ opacity: 0.5; }} }}</style>{CANVAS}{DRAW}{LOOP}"
     "canvas.onanimationiteration = () => { heard += 1; };",
     {"restart": "const { style } = canvas; x = 0; style.animation = 'none'; canvas.offsetWidth;"
                 "style.animation = 'go 0.1s 3'"}, 2, None),
    # Keys on the focused canvas; keypress; repeats: 3 keydown events, and 4 more while it is held
    (f"{CANVAS.replace('{}', 'tabindex=0')}{DRAW}{LOOP}"
     "canvas.onkeydown = e => { heard += !e.repeat; };", {}, 3, None),
    (f"{CANVAS}{DRAW}{LOOP}onkeypress = e => {{ heard += e.charCode === 97 && !e.repeat; }};", {}, 3, None),
    (f"{CANVAS}{DRAW}{LOOP}onkeydown = e => {{ heard += e.keyCode === 65; }};", {}, 7, None),
    (f"{CANVAS}{DRAW}{LOOP}onkeydown = e => {{ heard += e.keyCode === 65; }};", {"repeats": False}, 3, None),
    (f"{CANVAS}{DRAW}{LOOP}onkeydown = e => {{ heard += e.key === 'Shift' && e.shiftKey; }};",
     {"keys": ["ShiftLeft"], "repeats": False}, 3, None),
    # A menu behind which something is loaded; one that makes the canvas; a life that ends with a reload
    (f"{CANVAS}{DRAW}let level = 0; const frame = () => new Promise(requestAnimationFrame);"
     "async function begin() { for (let n = 0; n < 5; n++) await frame(); level = 1;"
     "(function loop() { draw(); requestAnimationFrame(loop); })(); }",
     {"start": "begin()", "started": "level"}, None, (255, 255, 255)),
    (f"<script>function begin() {{ const canvas = document.createElement('canvas'); canvas.id = 'canvas';"
     "canvas.width = canvas.height = 96; document.body.append(canvas);"
     f"{DRAW.replace('x += 2', 'x = (x + 2) % 80')}{LOOP} }}",
     {"start": "begin()", "restart": "", "score": ""}, None, (255, 255, 255)),
    (f"{CANVAS}{DRAW.replace('x += 2;', 'x += 2; if (x > 60) { alert(1); location.reload(); }')}{LOOP}",
     {"over": "recorder.left"}, None, None),
    # A CSS animation ends in time; idle times and messages drive the game; a menu and a wait before each life
    (f"<style>@keyframes go {{ to {{ opacity: 0.5; }} }}</style>{CANVAS}{DRAW}{LOOP}"
     "canvas.onanimationend = () => { heard += 1; };",
     {"restart": "const { style } = canvas; x = 0; style.animation = 'none'; canvas.offsetWidth;"
                 "style.animation = 'go 0.3s'"}, 1, None),
    (f"{CANVAS}{DRAW.replace('x += 2', 'x = (x + 2) % 88')}const {{ port1, port2 }} = new MessageChannel();"
     "port1.onmessage = () => { draw(); requestIdleCallback(() => port2.postMessage(0)); };"
     "port2.postMessage(0);", {}, None, None),
    (f"{CANVAS}{DRAW}{LOOP}let level;"
     "onkeydown = e => { if (e.code === 'Enter') setTimeout(() => level = 1, 300); };",
     {"restart": "level = x = 0; press('Enter')", "skip_until": "level", "score": "level"}, 0, None),
    # A sound of 0.3 s plays and ends in time, even if it has not loaded yet
    (f"{CANVAS}{DRAW}{LOOP}const sound = new Audio('data:audio/wav;base64,{SOUND}');"
     "sound.onended = () => { heard += 1; }; sound.play();", {"started": "heard"}, 0, None),
    (f"{CANVAS}{DRAW}{LOOP}const sound = new Audio('data:audio/wav;base64,{SOUND}');"
     "sound.onended = () => { heard += 1; };",
     {"ready": "sound.readyState > 3", "restart": "x = 0; sound.play()",
      "score": "1000 * heard + Math.round(1000 * sound.currentTime)"}, 1280, None),
    # A pressed mouse, a finger, a pointer that goes there and back
    (f"{CANVAS}{DRAW}{LOOP}canvas.onmousedown = e => {{ heard += e.offsetX === 24 && e.buttons === 1; }};",
     {"keys": ["mouse:0.25,0.5"]}, 3, None),
    (f"{CANVAS}{DRAW}{LOOP}canvas.onclick = e => {{ heard += e.offsetX === 48; }};",
     {"keys": ["mouse:click"]}, 2, None),
    (f"{CANVAS}{DRAW}{LOOP}canvas.ontouchstart = e => {{ heard += e.touches[0].target === canvas; }};",
     {"keys": ["touch:left"]}, 3, None),
    (f"{CANVAS}{DRAW}{LOOP}onpointermove = e => {{ heard += 1; }};", {"keys": ["pointer:right"]}, 5, None),
])
def test_what_games_do_is_recorded(browser, tmp_path, page, content, score, corner):
    """The square moves, keys are heard as often as in a browser, and what lies behind is seen."""
    page = page.replace("{}", "") + "</script>"
    description = load_game(str(game(tmp_path, page, **{"score": "heard"} | content)))
    recorder = Recorder(sharing(browser), description)
    episode = recorder.play(HELD, 1)
    recorder.page.close()
    moves = (episode["frames"] != episode["frames"][0]).any((1, 2, 3))
    assert moves[1:].mean() > 0.9
    if score is not None:
        assert episode["score"][-1] - episode["score"][0] == score
    if corner:
        assert tuple(episode["frames"][0, 90, 90]) == corner
    if "left" in description.over:
        assert episode["restart"].sum() > 1


def test_loading_takes_no_virtual_time_and_a_fresh_page_is_as_new(browser, tmp_path, monkeypatch):
    """Pictures of the clock and of what is stored are the same however long a page loads, in each episode of
    fresh pages. A long sound is not waited for, and no page is blamed when it is left."""
    monkeypatch.setattr("capture.browser.LONG_LOAD", 1000)
    with (tmp_path / "long.wav").open("wb") as sound:
        sound.write(b"RIFF\x24\x00\x00\x04WAVEfmt \x10\0\0\0\x01\0\x01\0D\xac\0\0\x88X\x01\0\x02\0\x10\0data"
                    b"\0\0\0\x04")
        sound.truncate(2 ** 26)
    page = (CANVAS.replace("{}", "") +
            "const [n, m] = [localStorage, sessionStorage].map(one => +(one.n || 0));"
            "localStorage.n = sessionStorage.n = 5; new Audio('long.wav').play(); let loaded = 0;" +
            DRAW.replace("x += 2", "x = performance.now() / 100 % 80 + n + m") + LOOP +
            "setTimeout(async () => { for (; loaded < 3; loaded++) await fetch(`?${loaded}`); });</script>")
    description = load_game(str(game(tmp_path, page, ready="loaded === 3", score="performance.now()")))
    recorder = Recorder(sharing(browser), description, patience=10)
    first = recorder.play(HELD, 1)["frames"]
    recorder.page.route(re.compile(r"\?1$"), lambda route: (time.sleep(0.3), route.continue_()))
    assert (recorder.play(HELD, 1)["frames"] == first).all()
    one, other = recorder.run([HELD, HELD], 1, len(HELD))
    assert one == other and recorder.troubles == []
    recorder.game.fresh = False
    assert (recorder.play(HELD, 1)["frames"] != first).any()
    recorder.page.close()


def test_pictures_that_are_drawn_smaller_give_the_same_bytes_twice(browser, tmp_path):
    """Chromium keeps them decoded at sizes that depend on what was drawn before."""
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    page = "<img id=noise src=noise.png hidden>" + CANVAS.replace("{}", "") + DRAW.replace("x += 2;", (
        "const s = 20 + 40 * (x % 7); brush.drawImage(noise, 10 * (x % 5), 0, 800, 900, 0, 0, s, s);"
        "brush.drawImage(noise, 0, 0, 900, 900, 48, 48, 50 + x, 50 + x); x += 1;")) + LOOP + "</script>"
    recorder = Recorder(sharing(browser), load_game(str(game(tmp_path, page, fresh=False))))
    assert (recorder.play(HELD, 1)["frames"] == recorder.play(HELD, 1)["frames"]).all()
    recorder.page.close()


@pytest.mark.parametrize(("allow", "reached"), [([], "no,no"), (["localhost", "{address}"], "yes,yes")])
def test_a_page_reaches_no_other_host_or_port_than_those_allowed(tmp_path, allow, reached):
    server = Server(str(tmp_path))
    address = server.address.removeprefix("http://")
    before = ("const reach = (host) => fetch(`http://${host}/page.html`, { mode: 'no-cors' })"
              ".then(() => 'yes', () => 'no');"
              f"Promise.all(['{address.replace('127.0.0.1', 'localhost')}', '{address}'].map(reach))"
              ".then((reached) => { window.reached = reached.join(); });")
    allow = [host.replace("{address}", address) for host in allow]
    result = play(game(tmp_path, before=before, allow=allow, ready=f"window.reached === '{reached}'"))
    server.http.shutdown()
    assert result.returncode == 0, result.stderr


def answer(server, path, body=None, size=None):
    """What the recorder's server answers -> its code, its body if that is 200."""
    headers = {} if size is None else {"Content-Length": size}
    request = urllib.request.Request(server.address + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def test_the_recorders_server_shows_its_folder_alone(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served/page.html").write_text("a page")
    (tmp_path / "secret.txt").write_text("not for the page")
    (tmp_path / "served/link.txt").symlink_to(tmp_path / "secret.txt")
    server = Server(str(tmp_path / "served"))
    assert answer(server, "/page.html") == (200, b"a page")
    for path in ("/", "/link.txt", "/../secret.txt", "/%2e%2e/secret.txt"):
        assert answer(server, path) == (404, b""), path
    mailbox, server.largest = server.mailbox.removeprefix(server.address), 10
    assert answer(server, "/episode", b"foreign bytes")[0] == 404
    for size in ("-1", "11", "1e1", "", "9" * 5000):
        assert answer(server, mailbox, b"x", size)[0] in (400, 404), size
    assert server.posted.empty()
    assert answer(server, mailbox, b"an episode")[0] == 204
    assert server.posted.get(timeout=1) == b"an episode"
    server.http.shutdown()


def test_of_a_local_copy_its_page_what_that_names_and_folders_are_served(tmp_path):
    for name in (".git", "lib"):
        (tmp_path / name).mkdir()
    for name in ("main.js", "secret.txt", "lib/a.js", ".git/config", ".env"):
        (tmp_path / name).write_text(name)
    (tmp_path / "page.html").write_text("<script src=./main.js></script><script>fetch('secret.txt')</script>")
    description = load_game("runner", str(tmp_path / "page.html"))
    server = Server(description.serve)
    assert answer(server, f"/{description.url}?new")[0] == 200
    for path, code in (("main.js?v=1", 200), ("lib/a.js", 200), ("secret.txt", 404), ("", 404), ("lib/", 404),
                       ("lib/../secret.txt", 404), ("lib", 404), (".env", 404), (".git/config", 404)):
        assert answer(server, f"/{path}")[0] == code, path
    server.http.shutdown()


@pytest.mark.slow
def test_machines_share_a_recording(recorded, tmp_path):
    """The parts of two, copied into one folder, are the recording of one."""
    for k in (1, 2):
        result = collect(tmp_path / str(k), *SIZES, "--part", f"{k}/2")
        assert result.returncode == 0, result.stderr
    parts = [episodes(tmp_path / str(k)) for k in (1, 2)]
    assert [len(part) for part in parts] == [(EPISODES + 1) // 2, EPISODES // 2]
    assert parts[0] | parts[1] == episodes(recorded)
    for name in ("keys.json", "meta.json"):
        files = [folder / "runner/frames" / name for folder in (tmp_path / "1", tmp_path / "2", recorded)]
        assert len({path.read_bytes() for path in files}) == 1, name
    assert "argument --part: invalid" in collect(tmp_path, "--part", "3/2").stderr


def test_a_game_that_cannot_be_played_ends_the_run_with_one_line(tmp_path):
    line = complaint(play(game(tmp_path, canvas="#stage")))
    assert line.startswith("toy: the page has no canvas #stage: check canvas")


@pytest.mark.parametrize("content, expected", [
    ({"canvas": "#stage"}, ["no canvas #stage"]),
    ({"page": "<div id=canvas></div>"}, ["#canvas is not a canvas"]),
    ({"page": "<canvas id=canvas></canvas><script>let x</script>"}, ["without change", "right canvas"]),
    ({"url": "nowhere.html"}, ["404", "nowhere.html"]),
    ({"restart": "undefined_thing.restart()"}, ["undefined_thing is not defined"]),
    ({"restart": "this is no JavaScript"}, ["SyntaxError"]),
    ({"restart": "unknown = 0"}, ["unknown is not defined"]),
    ({"page": "<iframe src=other.html></iframe>"}, ["1 iframe", "other.html", "url"]),
    ({"page": "<canvas id=canvas></canvas><script>let x; canvas.transferControlToOffscreen()</script>"},
     ["draws in a worker"]),
    ({"page": "<canvas id=canvas></canvas><script>let x</script><img src=none.png>"
              "<script src=http://127.0.0.1:{port}/a.js></script>"},
     ["without change", "cannot load http://127.0.0.1:", "a.js", "none.png: 404"]),
    ({"pose": "[1, 2, 3, 4]"}, ["pose", "x, y, angle"]),
    ({"pose": "x % 2 ? [1, 2, 3] : [1, 2, 3, 4, 5, 6]"}, ["pose", "x, y, angle"]),
    ({"page": PAGE.replace("context.clearRect", "throw Error('bang');")}, ["bang"]),
    ({"serve": None, "url": "http://127.0.0.1:{port}/"}, ["cannot open http", "ERR_CONNECTION_REFUSED"])])
def test_a_game_that_cannot_be_played_is_one_clear_line(browser, tmp_path, content, expected):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    content = {name: value and value.replace("{port}", str(port)) for name, value in content.items()}
    keys = policies.random_keys(6, 1, np.random.default_rng([0, 0]))
    try:
        with pytest.raises(GameError) as caught:
            Recorder(sharing(browser), load_game(str(game(tmp_path, **content)))).play(keys, 3)
    finally:
        browser.contexts[-1].close()
    line = str(caught.value)
    assert line.startswith("toy: ") and "\n" not in line and all(words in line for words in expected), line


@SLOW
def test_a_game_in_webgl_where_there_is_none_is_refused(browser, tmp_path):
    real = find_browser(SimpleNamespace(chromium=browser.browser_type))
    wrapper = tmp_path / "bin" / "chromium"  # the same browser, with WebGL switched off
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(real)} --disable-3d-apis "$@"\n')
    wrapper.chmod(0o755)
    path = game(tmp_path, PAGE.replace("2d", "webgl").replace("fillRect", "clear"))
    environment = {**os.environ, "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path),
                   "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    line = complaint(play(path, env=environment))
    assert "asks for WebGL and this browser has none" in line


def test_a_machine_without_a_browser_is_told_what_to_install(tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path), "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path)}
    assert "playwright install chromium" in complaint(play(game(tmp_path), env=environment))


@pytest.mark.parametrize("option, value, expected", [
    ("--episodes", 0, "at least 1"), ("--workers", 0, "at least 1"), ("--ticks-per-frame", 0, "at least 1"),
    ("--frames", 1, "--frames at least 2"), ("--seed", -1, "--seed at least 0"),
    ("--supersample", 5, "1, 2, 3 or 4"),
    ("--timeout", 0, "more than 0"),
    ("--game", "tetris", "no game tetris: name one of qwop, runner, or the path of a description like"),
    ("--game", "toy.py", "toy.py: got an unexpected keyword argument 'colour' (see class Game in capture/")])
def test_what_makes_no_sense_is_refused_before_anything_is_made(tmp_path, option, value, expected):
    folder = tmp_path / "data"
    if value == "toy.py":
        value = game(tmp_path, colour="red")
    assert expected in refusal(main, "--data", folder, option, value)
    assert not folder.exists()
