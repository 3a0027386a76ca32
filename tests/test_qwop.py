"""games/qwop.py without the real game: collect.py and search_gaits.py as a user runs them, on tests/standin,
a page with the same hooks around a runner of our own."""
import base64
import dataclasses
import io
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import ROOT, collect, complaint, episodes, family, left_over, processes_of, refusal, run
from PIL import Image

import data
import metrics
from capture import policies, workers
from capture.browser import GameError, Lost, Recorder, Server, find_browser, launch_webgl
from capture.games import load_game
from collect import main

SLOW = pytest.mark.slow
STANDIN = ROOT / "tests" / "standin" / "Athletics.html"
GAME = ["--game", "qwop", "--url", STANDIN]
EPISODES, FRAMES = 4, 200
SIZES = [*GAME, "--policy", "random", "--episodes", EPISODES, "--frames", FRAMES, "--seed", 1]
SMALL = [*GAME, "--policy", "random", "--episodes", 1, "--frames", 40]
PARTS = ["torso", "head", "leftArm", "leftForearm", "leftThigh", "leftCalf", "leftFoot",
         "rightArm", "rightForearm", "rightThigh", "rightCalf", "rightFoot"]
ARRAYS = ("frames", "keys", "restart", "pose", "score")

# The stand-in as nobody records it: its own clock stands, its own functions play -> what should be recorded.
DRIVE = """([keys, ticks, shots, parts, restart]) => {
  window.qwop = game;
  const life = { pose: [], score: [], restart: [], pictures: [] };
  const hold = (row) => row.forEach((down, k) => document.dispatchEvent(
    new KeyboardEvent(down ? "keydown" : "keyup", { keyCode: "QWOP".charCodeAt(k) })));
  hold([0, 0, 0, 0]);
  game.firstClick = true;
  game.star = 0;
  for (let t = 0; t < keys.length; t++) {
    life.restart.push(t === 0 || game.gameEnded);
    if (life.restart[t]) (0, eval)(restart);
    if (t) hold(keys[t - 1]);
    for (let i = 0; i < ticks; i++) game.update();
    life.pose.push(parts.map((part) => [game[part].body.x, game[part].body.y, game[part].body.angle]));
    life.score.push(game.score);
    if (shots.includes(t)) {
      draw();
      life.pictures.push(document.querySelector("canvas").toDataURL("image/png"));
    }
  }
  return life;
}"""


@pytest.fixture(scope="module")
def chromium(browser):
    """As much of Playwright as capture/browser.py needs: the one that the fixture `browser` has started."""
    return SimpleNamespace(chromium=browser.browser_type)


@pytest.fixture(scope="module")
def shared(chromium):
    """As much of Playwright as capture/browser.py needs, whose browsers are all the same one, with WebGL."""
    browser, _ = launch_webgl(chromium)
    kind = SimpleNamespace(executable_path=browser.browser_type.executable_path, launch=lambda **_: browser)
    yield SimpleNamespace(chromium=kind, browser=browser)
    browser.close()


@pytest.fixture(scope="module")
def drive(shared):
    """drive(keys, ticks per frame, frames to draw) -> pose, score, restart, pictures (N, 400, 640, 3)."""
    page = shared.browser.new_page()
    page.add_init_script(script="window.requestAnimationFrame = () => 0;")
    page.goto(STANDIN.as_uri())
    restart = load_game("qwop").restart

    def drive(keys, ticks=3, shots=()):
        life = page.evaluate(DRIVE, [keys.tolist(), ticks, [*map(int, shots)], PARTS, restart])
        pngs = [io.BytesIO(base64.b64decode(url.partition(",")[2])) for url in life["pictures"]]
        return SimpleNamespace(pose=np.float32(life["pose"]), score=np.float32(life["score"]),
                               restart=np.array(life["restart"]),
                               pictures=[np.array(Image.open(png).convert("RGB")) for png in pngs])

    return drive


@pytest.fixture(scope="module")
def pages():
    """Address of a server of the stand-in, for pages with a query."""
    server = Server(str(STANDIN.parent))
    yield f"{server.address}/{STANDIN.name}"
    server.http.shutdown()


@pytest.fixture(scope="module")
def player(shared):
    """A Recorder with a 13th body in the pose: ticks of this life, restarts of this page, 0."""
    game = load_game("qwop", str(STANDIN))
    game = dataclasses.replace(game, pose=f"[...({game.pose}), qwop.scoreTime * 30, qwop.restarts, 0]")
    return Recorder(shared, game, 1)


def same_bytes(one, other):
    """Do two data folders hold the same episodes? (Without pytest's words on where 400 KB differ.)"""
    return episodes(one, "qwop") == episodes(other, "qwop")


def same_keys(one, other):
    """Do two data folders hold the same keys.json?"""
    return len({(frames_folder(folder) / "keys.json").read_bytes() for folder in (one, other)}) == 1


def frames_folder(folder):
    return folder / "qwop" / "frames"


def area_mean(picture, size=96):
    """A picture (h, w, 3) -> (size, size, 3) uint8, each pixel the exact mean of the area it covers."""
    def weights(n):
        edge, pixel = np.arange(size + 1) * n / size, np.arange(n)
        overlap = np.minimum(edge[1:, None], pixel + 1) - np.maximum(edge[:-1, None], pixel)
        return np.clip(overlap, 0, None) * size / n
    rows = np.tensordot(weights(picture.shape[0]), picture, 1)  # (96, w, 3)
    return np.round(weights(picture.shape[1]) @ rows).astype(np.uint8)


# -------------------------------------------------------------------------------------------- what is written

def test_the_files_keep_the_contract(recorded):
    folder = frames_folder(recorded)
    assert sorted(path.name for path in folder.iterdir()) == [
        "clip.gif", "contact_sheet.png", *(f"episode_00000{n}.npz" for n in range(EPISODES)),
        "keys.json", "meta.json"]
    policy = policies.Policy("random", 4, FRAMES, 3, 1, [])
    for n, path in data.episode_files(folder).items():
        with np.load(path) as archive:
            arrays = dict(archive)
        assert {name: (a.dtype.name, a.shape) for name, a in arrays.items()} == {
            "frames": ("uint8", (FRAMES, 96, 96, 3)), "keys": ("uint8", (FRAMES, 4)),
            "restart": ("bool", (FRAMES,)), "over": ("bool", (FRAMES,)), "pose": ("float32", (FRAMES, 12, 3)),
            "score": ("float32", (FRAMES,))}
        assert (arrays["over"][:-1] == arrays["restart"][1:]).all()
        assert (arrays["keys"] == policy(n)[0]).all()
    meta = data.read_json(folder / "meta.json")
    assert meta.pop("browser").startswith("Chromium ") and len(meta.pop("description")) == 12
    assert meta == {"game": "qwop", "url": "https://www.foddy.net/Athletics.html", "shape": [640, 400],
                    "keys": list("qwop"), "tick_ms": 1000 / 30,
                    "ticks_per_frame": 3, "frames": FRAMES, "seed": 1, "viewport": [192, 192],
                    "version": workers.VERSION, "policy": {"name": "random", "press": 0.10, "let_go": 0.22}}
    content = data.read_json(folder / "keys.json")
    assert [len(episode["keys"]) for episode in content.pop("episodes")] == [FRAMES] * EPISODES
    assert content == {"game": "qwop", "keys": list("qwop"), "ticks_per_frame": 3}


def test_every_frame_is_the_game_that_was_played(recorded, drive):
    falls = 0
    for _, e in data.load_episodes(frames_folder(recorded), ARRAYS):
        truth = drive(e["keys"])
        assert (e["pose"] == truth.pose).all() and (e["score"] == truth.score).all()
        assert (e["restart"] == truth.restart).all() and e["restart"][0]
        assert np.abs(e["score"][e["restart"]] - 0.3).max() < 0.11
        falls += e["restart"][1:].sum()
    assert falls > 5


# Decibels measured: 27.2, 35.7, 40.2, 42.1 in llvmpipe and SwiftShader alike; upside down, mirrored: under 14
@pytest.mark.parametrize("supersample, least", [pytest.param(1, 25, marks=SLOW), (2, 32),
                                                pytest.param(3, 35, marks=SLOW),
                                                pytest.param(4, 36, marks=SLOW)])
def test_frames_show_the_scene(recorded, shared, drive, supersample, least):
    episode = data.load_episode(data.episode_path(frames_folder(recorded), 0))
    keys, frames, shots = episode["keys"][:120], episode["frames"], [1, 30, 31, 32, 63, 64, 118]
    if supersample != 2:
        frames = Recorder(shared, load_game("qwop", str(STANDIN)), supersample).play(keys, 3)["frames"]
    moved = 0
    for t, picture in zip(shots, drive(keys, 3, shots).pictures):
        truth = area_mean(picture)
        right, *near = (metrics.psnr(frames[at], truth) for at in (t, t - 1, t + 1))
        wrong = [metrics.psnr(frame, truth) for frame in
                 (frames[t, ::-1], frames[t, :, ::-1], frames[t, :, :, ::-1])]
        assert right > least and right > max(near) - 1 and max(wrong) < 20
        moved += right > max(near) + 2
    assert moved >= 3


@pytest.mark.parametrize("ticks", [pytest.param(1, marks=SLOW), pytest.param(2, marks=SLOW), 3,
                                   pytest.param(8, marks=SLOW)])
def test_a_frame_is_an_exact_number_of_ticks(player, drive, ticks):
    keys = np.tile(np.eye(4, dtype=np.uint8)[[0, 0, 0, 1, 1, 3]], (100, 1))  # nothing that makes it fall
    e = player.play(keys, ticks)
    counted, restarts = e["pose"][:, 12, 0], e["pose"][:, 12, 1]
    assert np.abs(counted - (1 + ticks * np.arange(1, 601))).max() < 0.01 and np.ptp(restarts) == 0
    assert (e["pose"][:, :12] == drive(keys, ticks).pose).all() and e["restart"].sum() == 1
    again = player.play(keys, ticks)
    assert (again["pose"][:, :12] == e["pose"][:, :12]).all() and (again["frames"] == e["frames"]).all()


@pytest.mark.parametrize("skip", [pytest.param(1, marks=SLOW), 45, pytest.param(130, marks=SLOW)])
def test_a_window_is_the_part_of_the_life_it_says(player, skip):
    keys = policies.Policy("random", 4, 200, 3, 5, [])(0)[0]
    whole, window = player.play(keys, 3), player.play(keys, 3, skip)
    assert not whole["restart"][skip] and whole["restart"][1:].any()
    for name in ("frames", "keys", "restart", "over", "score"):
        assert (window[name] == whole[name][skip:]).all(), name
    assert (window["pose"][:, :12] == whole["pose"][skip:, :12]).all()


@SLOW
def test_the_same_seed_gives_the_same_bytes_with_one_worker_and_with_two(recorded, tmp_path):
    assert collect(tmp_path, *SIZES, workers=1).returncode == 0
    assert same_bytes(tmp_path, recorded) and same_keys(tmp_path, recorded)
    assert len(set(episodes(recorded, "qwop").values())) == EPISODES


# ------------------------------------------------------------------------------------- policies and key lists

@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A data folder with six short episodes of the default policy: mix, as there are gaits."""
    folder = tmp_path_factory.mktemp("mixed")
    result = collect(folder, *GAME, "--episodes", 6, "--frames", 40, "--seed", 4)
    assert result.returncode == 0 and "(mix keys)" in result.stdout, result.stderr
    return folder


def test_windows_of_gaits_begin_within_a_life(mixed, drive):
    lists = policies.load_lists(frames_folder(mixed) / "keys.json", load_game("qwop"), 3, 40)
    policy = policies.Policy("mix", 4, 40, 3, 4, policies.load_gaits(ROOT / "games/qwop_gaits.json"))
    within = 0
    for n, e in data.load_episodes(frames_folder(mixed), ARRAYS):
        keys, skip = lists[n]
        assert (keys == policy(n)[0]).all() and skip == policy(n)[1] and (e["keys"] == keys[skip:]).all()
        truth = drive(keys)
        assert (e["pose"] == truth.pose[skip:]).all() and (e["restart"] == truth.restart[skip:]).all()
        within += skip > 0 and not e["restart"][0]
    assert within == 2
    meta = data.read_json(frames_folder(mixed) / "meta.json")
    assert set(meta["policy"]) == {"name", "press", "let_go", "gaits"}


@SLOW
def test_gaits_are_windows_too(tmp_path):
    result = collect(tmp_path, *GAME, "--policy", "gait", "--episodes", 3, "--frames", 40)
    assert result.returncode == 0 and "(gait keys)" in result.stdout, result.stderr
    content = data.read_json(frames_folder(tmp_path) / "keys.json")["episodes"]
    assert max(episode["skip"] for episode in content) > 0
    assert set(data.read_json(frames_folder(tmp_path) / "meta.json")["policy"]) == {"name", "gaits"}


def test_a_game_without_gaits_cannot_play_them(tmp_path):
    shutil.copy(ROOT / "games/qwop.py", tmp_path / "toy.py")
    line = refusal(main, "--data", tmp_path / "data", "--game", tmp_path / "toy.py", "--policy", "gait")
    assert "toy has no gaits" in line and "capture.search_gaits --game" in line and "--policy mix" in line


def write_list(path, *texts):
    """Write a key list by hand. texts: digits of an episode, or a dict."""
    content = [text if isinstance(text, dict) else {"keys": text} for text in texts]
    data.write_json(path, {"game": "qwop", "keys": list("qwop"), "ticks_per_frame": 3, "episodes": content})
    return path


@pytest.mark.slow
def test_a_replayed_recording_gives_the_same_bytes(mixed, tmp_path):
    result = collect(tmp_path, *GAME, "--frames", 40, "--replay", frames_folder(mixed) / "keys.json")
    assert result.returncode == 0 and "(replay keys)" in result.stdout, result.stderr
    assert same_bytes(tmp_path, mixed) and same_keys(tmp_path, mixed)
    path = frames_folder(tmp_path) / "meta.json"
    meta = data.read_json(path)
    assert meta["policy"] is None and meta["seed"] is None
    assert "frames 40" in refusal(main, "--data", tmp_path, *SMALL, "--frames", 41)
    assert data.read_json(path) == meta


@SLOW
def test_key_lists_are_added_behind_what_is_there(copy, recorded, drive, tmp_path):
    rng = np.random.default_rng(0)
    life = policies.random_keys(2 * FRAMES + 70, 4, rng)
    short = policies.random_keys(FRAMES + 9, 4, rng)
    long = write_list(tmp_path / "long.json", policies.to_text(life))
    hand = write_list(tmp_path / "hand.json", {"skip": 9, "keys": policies.to_text(short).upper()})
    args = [*GAME, "--frames", FRAMES, "--replay", long, hand]
    for times in ("4 to record", "0 to record"):
        result = collect(copy, *args)
        assert result.returncode == 0 and times in result.stdout, result.stderr
        now = episodes(copy, "qwop")
        assert len(now) == EPISODES + 4 and episodes(recorded, "qwop").items() <= now.items()
    truth = drive(life)
    paths = [data.episode_path(frames_folder(copy), EPISODES + n) for n in range(4)]
    windows = [data.load_episode(path, ARRAYS) for path in paths]
    for e, start in zip(windows, (0, FRAMES, FRAMES + 70)):
        assert (e["keys"] == life[start:start + FRAMES]).all()
        assert (e["pose"] == truth.pose[start:start + FRAMES]).all()
    assert (windows[3]["pose"] == drive(short).pose[9:]).all() and (windows[3]["keys"] == short[9:]).all()
    meta = data.read_json(frames_folder(copy) / "meta.json")
    assert meta == data.read_json(frames_folder(recorded) / "meta.json")
    result = collect(copy, *SIZES)  # and the recording goes on as before
    assert result.returncode == 0 and "0 to record" in result.stdout, result.stderr


def test_a_bad_key_list_spoils_no_recording(copy, recorded, tmp_path):
    before = {path.name: path.read_bytes() for path in frames_folder(copy).iterdir()}
    good, bad = write_list(tmp_path / "good.json", FRAMES * "0"), write_list(tmp_path / "bad.json", "01")
    three = dataclasses.replace(load_game("qwop"), keys=["q", "w", "o"])
    policies.save_lists(tmp_path / "three.json", three, 3, [(np.zeros((FRAMES, 3), np.uint8), 0)])
    refused = {bad: "--frames is", tmp_path / "three.json": "keys is ['q', 'w', 'o'], not",
               tmp_path / "none.json": "No such file"}
    for path, expected in refused.items():
        line = refusal(main, "--data", copy, *GAME, "--frames", FRAMES, "--replay", good, path)
        assert line.startswith(f"{path} is no key list for this recording: ") and expected in line
    assert {path.name: path.read_bytes() for path in frames_folder(copy).iterdir()} == before


@SLOW
def test_a_run_that_recorded_nothing_decides_nothing(tmp_path):
    assert collect(tmp_path, *SMALL, "--seed", 9, "--url", nobody()).returncode == 1
    result = collect(tmp_path, *SMALL)
    assert result.returncode == 0, result.stderr
    keys = data.load_episode(data.episode_path(frames_folder(tmp_path), 0))["keys"]
    assert (keys == policies.Policy("random", 4, 40, 3, 0, [])(0)[0]).all()  # of seed 0, as meta.json says


# ------------------------------------------------------------------------------------- pages that do not play

def nobody():
    """An address on which nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}/Athletics.html"


HOOKS = {  # what ?without= takes away -> words of the error
    "helpUp": "hook game object (the field helpUp)", "doneLoading": "hook loading (doneLoading)",
    "highScore": "hook state (fallen", "app": "hook engine (app.frame_time",
    "render_rate": "hook engine (app.frame_time", "physicsBody": "hook bodies (_components, physicsBody)",
    "click": "hook first click",
    "reset": "hook restart (oninputup reset)", "clock": "hook clock (one tick",
    "keys": "hook keys (keydown, keyup)", "physics": "hook physics (a held key",
    "webgl": "hook WebGL", "draw": "hook WebGL", "canvas": "no canvas canvas#window1"}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_is_gone_is_named(shared, pages, hook):
    never_ready = hook in ("helpUp", "doneLoading", "app")
    game = load_game("qwop", f"{pages}?without={hook}")
    try:
        with pytest.raises(GameError) as caught:
            Recorder(shared, game, patience=2 if never_ready else 60).play(np.eye(4, dtype=np.uint8), 3)
    finally:
        shared.browser.contexts[-1].close()
    line = str(caught.value)
    assert line.startswith("qwop: ") and HOOKS[hook] in line and "\n" not in line


def test_a_page_that_is_not_reached_is_one_line_with_two_ways_out(tmp_path):
    line = complaint(collect(tmp_path, *SMALL, "--url", nobody()))
    assert "cannot open http://127.0.0.1" in line and "ERR_CONNECTION_REFUSED" in line
    assert "--url" in line and "--game runner" in line


@pytest.mark.parametrize("url", ["Athletics.html", "foddy.net/Athletics.html", str(ROOT / "tests")])
def test_an_address_that_is_none_is_refused(tmp_path, url):
    line = refusal(main, "--data", tmp_path, "--game", "qwop", "--url", url)
    assert line.startswith(f"--url {url} is neither an address") and ".html" in line
    assert not list(tmp_path.iterdir())


def with_flags(tmp_path, browser, *flags):
    """An environment in which the same browser starts with these flags."""
    real = find_browser(SimpleNamespace(chromium=browser.browser_type))
    wrapper = tmp_path / "bin" / "chromium"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(real)} {shlex.join(flags)} "$@"\n')
    wrapper.chmod(0o755)
    return {**os.environ, "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path),
            "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}


@SLOW
def test_a_browser_without_webgl_is_one_line_with_two_ways_out(tmp_path, browser):
    environment = with_flags(tmp_path, browser, "--disable-3d-apis")
    line = complaint(collect(tmp_path / "data", *SMALL, env=environment, workers=1))
    assert "no WebGL in this browser" in line and "apt install" in line and "--game runner" in line


@SLOW
def test_a_page_of_the_internet_may_hand_its_frames_over(tmp_path, browser, pages):
    """The real page is public: Chromium asks before such a page may reach this machine."""
    port = pages.split(":")[2].split("/")[0]
    environment = with_flags(tmp_path, browser, f"--ip-address-space-overrides=127.0.0.1:{port}=public")
    result = collect(tmp_path / "data", *SMALL, "--url", pages, env=environment, workers=1)
    assert result.returncode == 0, result.stderr


# ------------------------------------------------------------------------- browsers that die, games that hang

def kill(pid, kind, but=()):
    """Kill the main process, the renderers or the gpu-process of the browsers that a process has started."""
    victims = []
    for other, line in processes_of(pid).items():
        main_process = "--headless" in line and "--type=" not in line
        if other not in but and (main_process if kind == "browser" else f"--type={kind} " in line):
            victims.append(other)
    assert victims
    for other in victims:
        os.kill(other, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["browser", "renderer", "gpu-process"])
def test_a_browser_that_dies_costs_nothing_but_time(recorded, tmp_path, victim):
    command = [sys.executable, ROOT / "collect.py", "--data", tmp_path, "--workers", 1, *SIZES]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    while not episodes(tmp_path, "qwop"):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    time.sleep(0.1)
    kill(process.pid, victim)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    lost = [line for line in stdout.splitlines() if "is recorded again in a new browser" in line]
    assert len(lost) == 1 and lost[0].startswith("qwop: the game stopped: "), stdout
    assert same_bytes(tmp_path, recorded)


@SLOW
def test_graphics_that_die_under_an_episode_spoil_none(chromium):
    """What is read back from a dead gpu-process must never count as frames."""
    keys, others = policies.random_keys(800, 4, np.random.default_rng(0)), processes_of(os.getpid())
    player = Recorder(chromium, load_game("qwop", str(STANDIN)), 2)
    player.play(keys[:50], 3)  # the first one is slow
    started = time.monotonic()
    player.play(keys, 3)
    threading.Timer((time.monotonic() - started) / 2, kill, (os.getpid(), "gpu-process", others)).start()
    with pytest.raises(Lost):
        player.play(keys, 3)
    player.close()


@SLOW
def test_a_game_that_hangs_is_one_line_and_what_was_recorded_stays(copy, recorded, pages):
    mark, start = uuid.uuid4().hex, time.monotonic()
    hangs = 12 * load_game("qwop").restart.count("reset")  # in the middle of a worker's first episode
    more = ["--episodes", EPISODES + 2, "--timeout", 5, "--url", f"{pages}?hangs={hangs}"]
    line = complaint(collect(copy, *SIZES, *more, env={**os.environ, "MARK": mark}))
    assert "the game hangs" in line and "--timeout" in line and time.monotonic() - start < 60
    assert left_over(mark) == {}
    assert episodes(recorded, "qwop").items() <= episodes(copy, "qwop").items()


# -------------------------------------------------------------------------------------------- search_gaits.py

@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A folder with a description toy.py and the toy_gaits.json of a search of some seconds."""
    folder = tmp_path_factory.mktemp("searched")
    shutil.copy(ROOT / "games/qwop.py", folder / "toy.py")
    result = search(folder)
    assert result.returncode == 0, result.stderr
    return folder


def search(folder, *args, **options):
    return run("capture.search_gaits", "--game", folder / "toy.py", "--url", STANDIN, "--minutes", 0.07,
               "--frames", 80, "--least", 0.6, "--workers", 1, *args, timeout=60, **options)


def test_a_search_finds_patterns_that_play_as_it_says(searched, player):
    content = data.read_json(searched / "toy_gaits.json")
    assert content["game"] == "toy" and len(content["gaits"]) > 3
    scores = [gait["score"] for gait in content["gaits"]]
    assert scores == sorted(scores, reverse=True) and scores[-1] >= 0.6 and scores[0] > 1
    assert len({tuple(gait["look"]) for gait in content["gaits"]}) == len(scores)
    for gait in content["gaits"][:3]:
        life = player.play(policies.gait_keys(gait, gait["frames"], 3), 3)
        assert life["score"][-1] == np.float32(gait["score"]) == life["score"].max()
        assert life["restart"].sum() == 1 and (life["score"][:-1] < life["score"][-1]).all()


def kept_scores(folder):
    """The scores of the kept patterns -> {look: score}."""
    return {tuple(gait["look"]): gait["score"] for gait in data.read_json(folder / "toy_gaits.json")["gaits"]}


@SLOW
def test_a_search_resumes_from_the_kept_patterns(searched, tmp_path):
    for path in searched.glob("toy*"):
        shutil.copy(path, tmp_path)
    before = kept_scores(tmp_path)
    result = search(tmp_path)
    assert result.returncode == 0 and "patterns in" in result.stdout, result.stderr
    after = kept_scores(tmp_path)
    assert all(after[look] >= score for look, score in before.items())


@SLOW
def test_a_search_stops_cleanly(searched, tmp_path):
    for path in searched.glob("toy*"):
        shutil.copy(path, tmp_path)
    before, mark = kept_scores(tmp_path), uuid.uuid4().hex
    command = [sys.executable, "-m", "capture.search_gaits", "--game", tmp_path / "toy.py", "--url", STANDIN]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True, env={**os.environ, "MARK": mark})
    while "--type=renderer" not in " ".join(processes_of(process.pid).values()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    assert "--headless" in " ".join(family(mark).values())
    time.sleep(3)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130 and "stopped: the kept patterns are saved" in stderr
    assert "Traceback" not in stderr, stderr
    assert left_over(mark) == {}
    after = kept_scores(tmp_path)
    assert all(after[look] >= score for look, score in before.items())


@pytest.mark.slow
def test_a_search_on_a_page_that_is_not_reached_is_one_line(searched):
    line = complaint(search(searched, "--url", nobody()))
    assert "ERR_CONNECTION_REFUSED" in line
