"""A play that a person records in the page of the runner: the saved list of keys, and its replay."""
import json

import numpy as np
import pytest
from helpers import ROOT, run

import data
from capture import policies

PAGE = (ROOT / "docs/runner/index.html").as_uri()

# From a press on the record button on: trace gets [pose, restarted] for every frame of three ticks.
TRACE = """
let trace = [], calls = 0, restarted = false;
for (const [name, then] of Object.entries({
  restart() { restarted = true; },
  tick() {
    if (++calls % 3) return;
    trace.push([runner.pose(), restarted]);
    restarted = false;
  },
})) {
  const real = Runner.prototype[name];
  Runner.prototype[name] = function () { real.call(this); then(); };
}
document.getElementById("record").addEventListener("click", () => {
  if (recording) [trace, calls] = [[], 0];
});
"""


@pytest.fixture
def open_page(browser):
    """open_page(before="") -> the runner's page from disk, with TRACE. before: a script that runs first."""
    contexts, troubles = [], []

    def open_page(before=""):
        contexts.append(browser.new_context())
        page = contexts[-1].new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.add_init_script(script=before)
        page.goto(PAGE)
        page.add_script_tag(content=TRACE)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def still_page(open_page):
    """The page with time in the test's hands: tick() is one tick of it."""
    return open_page("window.requestAnimationFrame = () => 0;")


def stop(page, how):
    """Stop the recording by how() -> the path of the saved file, its content."""
    with page.expect_download() as saved:
        how()
    assert saved.value.suggested_filename == "runner_keys.json"
    return saved.value.path(), json.loads(saved.value.path().read_text())


def digits(saved):
    """The keys of the one episode in a saved list, one hexadecimal digit a frame."""
    assert {name: saved[name] for name in saved if name != "episodes"} == {
        "game": "runner", "keys": list("qwop"), "ticks_per_frame": 3}
    (episode,) = saved["episodes"]
    assert episode["skip"] == 0 and set(episode["keys"]) <= set("0123456789abcdef")
    return episode["keys"]


# -------------------------------------------------------------------------------------------------- replay

@pytest.mark.slow
def test_collect_replays_a_play_pose_by_pose(open_page, tmp_path):
    page = open_page()
    page.keyboard.down("o")  # before the recording: acts from its frame 0 on
    page.locator("#record").click()
    page.wait_for_function("trace.filter(([, restarted]) => restarted).length > 1")  # a fall
    page.keyboard.up("o")
    page.keyboard.press("w")
    page.locator("[data-code=KeyP]").hover()
    page.mouse.down()
    page.wait_for_timeout(800)
    page.keyboard.press("q", delay=350)
    page.mouse.up()
    page.wait_for_timeout(500)
    page.locator("#record").focus()
    path, saved = stop(page, lambda: page.keyboard.press("Enter"))
    keys = digits(saved)
    trace = page.evaluate("trace")[:len(keys)]
    poses = np.array([pose for pose, _ in trace], np.float32).reshape(-1, 12, 3)
    restarts = [restarted for _, restarted in trace]
    assert 30 < len(keys) == len(trace) and restarts[0] and sum(restarts) > 1
    rows = policies.from_text(keys, 4)
    assert keys[0] == "4" and rows.any(0).all()  # every key has acted, the tapped one too

    result = run("collect.py", "--game", "runner", "--replay", path, "--frames", len(keys),
                 "--data", tmp_path,
                 "--workers", 1)
    assert result.returncode == 0, result.stderr
    (file,) = data.episode_files(tmp_path / "runner" / "frames").values()
    assert file.name == "episode_000000.npz"
    episode = data.load_episode(file, ("keys", "restart", "pose"))
    assert (episode["keys"] == rows).all() and episode["restart"].tolist() == restarts
    assert episode["pose"].dtype == np.float32 and (episode["pose"] == poses).all()


# ------------------------------------------------------------------------------------- what acts, and when

# Record a plan -> its digits so far. A small letter: a key goes down; a capital one: it goes up; a dot: tick.
PLAN = """plan => {
  const send = (type, letter) =>
    dispatchEvent(new KeyboardEvent(type, { code: `Key${letter.toUpperCase()}` }));
  document.getElementById("record").click();
  for (const letter of plan) {
    if (letter === ".") tick();
    else send(letter === letter.toLowerCase() ? "keydown" : "keyup", letter);
  }
  return recording.keys;
}"""


@pytest.mark.parametrize("plan, keys", [
    ("... ... .", "00"),
    ("qp... ... ...", "99"),               # held from the start: nothing acts before the first frame
    (".wW.. . .. .", "20"),                # a tap between two ticks counts for one frame
    ("... .qQqQ. . . .. .", "010"),        # two of them count for the same one
    ("... o. .. .o.O. .", "440"),          # a keyboard that repeats: let go is let go
    ("... oO... ... .", "400"),
    ("qwop... .Q. ..", "fe"),
    ("r... .R.. .rR.. .", "000"),          # no key of a recording
])
def test_keys_act_at_frames(still_page, plan, keys):
    assert still_page.evaluate(PLAN, plan.replace(" ", "")) == keys
    assert still_page.evaluate("trace.filter(([, restarted]) => restarted).length") == 1


def test_a_fall_begins_a_new_life_at_the_next_frame(still_page):
    still_page.evaluate(PLAN, "o" + 80 * "..." + "R")
    lives = [t for t, (_, restarted) in enumerate(still_page.evaluate("trace")) if restarted]
    assert lives[0] == 0 and 13 < lives[1] < 22 and len(lives) > 2  # the real one falls at tick 46
    assert still_page.locator("#notice").is_hidden()


@pytest.mark.parametrize("away", ["dispatchEvent(new Event('blur'))",
                                  "document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))"])
def test_going_away_lets_go_and_the_list_says_so(still_page, away):
    still_page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
    assert still_page.evaluate(PLAN, "q.....w") == "1"
    assert still_page.evaluate(f"{away}; for (let i = 0; i < 6; i++) tick(); recording.keys") == "100"


def test_the_list_is_as_long_as_the_frames_that_were_seen(still_page):
    for ticks, frames in [(6, 2), (7, 2), (8, 2), (9, 3)]:
        still_page.evaluate(PLAN, "q" + ticks * ".")
        _, saved = stop(still_page, still_page.locator("#record").click)
        assert digits(saved) == "".ljust(frames - (ticks % 3 == 0), "1").ljust(frames, "0")


# ------------------------------------------------------------------------------------------------ the button

def test_the_button_is_reached_and_pressed_by_keyboard(still_page):
    page, button, time = still_page, still_page.locator("#record"), still_page.locator("#recorded")
    let_pass = "ticks => { for (let i = 0; i < ticks; i++) tick(); draw(); }"
    for _ in range(10):
        page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    assert button.text_content() == "Record my play" and time.text_content() == ""
    page.evaluate(let_pass, 20)
    page.keyboard.press("Space")
    assert button.text_content() == "Stop and save"
    assert page.evaluate("runner.ticks") == 0  # the run starts again
    page.evaluate(let_pass, 21)
    assert time.text_content() == "0.7 s"
    page.keyboard.press("r")
    page.locator("#restart").click()
    button.focus()
    assert page.evaluate("runner.ticks") == 21 and button.text_content() == "Stop and save"
    page.keyboard.down("q")
    page.evaluate(let_pass, 1)
    _, first = stop(page, lambda: page.keyboard.press("Enter"))
    assert digits(first) == "0000001"
    assert button.text_content() == "Record my play" and time.text_content() == ""
    page.keyboard.up("q")
    page.keyboard.down("o")
    page.evaluate(let_pass, 1)
    assert page.evaluate("runner.keys") == {"q": False, "w": False, "o": True, "p": False}  # at the next tick
    page.keyboard.up("o")
    page.keyboard.press("r")
    assert page.evaluate("runner.ticks") == 0

    page.keyboard.press("Enter")
    page.evaluate(let_pass, 9)
    _, second = stop(page, lambda: page.keyboard.press("Enter"))
    assert digits(second) == "000"  # nothing is left of the first one


def test_less_than_two_frames_are_not_saved(still_page):
    downloads = []
    still_page.on("download", lambda saved: downloads.append(saved))
    still_page.evaluate(PLAN, ".....")
    still_page.locator("#record").click()
    assert still_page.locator("#record").text_content() == "Record my play"
    still_page.wait_for_timeout(300)
    assert not downloads
