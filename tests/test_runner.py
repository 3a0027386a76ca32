"""The runner of docs/runner: physics against the real game's, determinism bit for bit, rules and page."""
import json

import pytest
from helpers import ROOT, run

from capture.browser import Server

SCRIPTS = [ROOT / "docs/vendor/planck/planck.min.js", ROOT / "docs/runner/runner.js"]
STILL = "window.requestAnimationFrame = () => 0;"  # time is in the test's hands: tick(), frame(ms)

# Plays 600 ticks of semi-random keys, getting up 30 ticks after each fall -> every pose, 600 x 36 numbers.
PLAY = """
const play = (runner, seed = 1) => {
  const poses = [];
  let down = 0;
  for (let t = 0; t < 600; t++) {
    if (runner.fallen && t % 30 === 0) runner.restart();
    if (t % 5 === 0) {
      seed = Math.imul(seed, 1664525) + 1013904223 | 0;
      down = seed >>> 28;
    }
    runner.keys = { q: Boolean(down & 1), w: Boolean(down & 2), o: Boolean(down & 4), p: Boolean(down & 8) };
    runner.tick();
    poses.push(runner.pose());
  }
  return poses;
};
// Shift the whole runner along the track, with a speed to the right.
const move = (runner, metres, speed = 0) => {
  for (const body of Object.values(runner.bodies)) {
    const { x, y } = body.getPosition();
    body.setTransform(planck.Vec2(x + 10 * metres, y), body.getAngle());
    body.setLinearVelocity(planck.Vec2(speed, 0));
  }
};
const ticks = (runner, count, until = () => false) => {
  for (let i = 0; i < count && !until(); i++) runner.tick();
};
"""



def open_world(browser):
    """A page with the class Runner and the helpers of PLAY, without the game's own page and loop."""
    page = browser.new_page()
    for script in SCRIPTS:
        page.add_script_tag(path=script)
    page.add_script_tag(content=PLAY)
    return page


@pytest.fixture(scope="module")
def world(browser):
    page = open_world(browser)
    yield page
    page.close()


@pytest.fixture(scope="module")
def addresses():
    server = Server(ROOT / "docs")
    yield {"http": f"{server.address}/runner/index.html", "file": (ROOT / "docs/runner/index.html").as_uri()}
    server.http.shutdown()


@pytest.fixture
def open_page(browser, addresses):
    """open_page(scheme, before=a script, **context options) -> the game's page, whose console stays empty."""
    contexts, troubles = [], []

    def open_page(scheme="http", before="", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.route("**/favicon.ico", lambda route: route.fulfill(status=204))  # Chromium asks by itself
        page.add_init_script(before)
        page.goto(addresses[scheme])
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def page(open_page):
    """The page over http, its time in the test's hands."""
    return open_page(before=STILL)


def held(page):
    """The keys that the runner feels at the next tick, which are those of the lit buttons."""
    page.evaluate("tick()")
    felt = page.evaluate("[...'qwop'].filter(k => runner.keys[k]).join('')")
    lit = page.locator("#buttons [aria-pressed=true]").evaluate_all(
        "all => all.map(b => b.textContent[0]).join('')")
    assert felt == lit.lower()
    return felt


# ---------------------------------------------------------------------------------------------------- physics

@pytest.mark.slow
def test_lives_are_as_close_to_the_real_ones_as_the_stock_solver_comes():
    result = run("bench/physics.py", "--json")
    assert result.returncode == 0, result.stderr
    measured = json.loads(result.stdout)
    errors, stock = dict(zip(measured["ticks"], measured["all"])), measured["stock"]
    assert measured["first_lives"] == 20 and measured["all_lives"] == 133
    for t, error in zip(measured["ticks"], measured["first"]):
        assert error <= stock.get(str(t), error), t
        assert errors[t] <= stock.get(str(t), errors[t]) or t == 5, t  # stock: measured on first lives
    # What this engine has reached and a little more; with stock Box2D's way to part contacts it does not.
    reached = {5: 0.019, 10: 0.05, 20: 0.15, 30: 0.35, 40: 0.58}
    assert all(errors[t] <= most for t, most in reached.items()), errors

    lengths, real_lengths = sum(measured["length"]), sum(measured["real_length"])  # of as many lives
    assert abs(lengths / real_lengths - 1) < 0.15 and measured["close"] > 0.5

    real, parts = measured["real_parts"], measured["parts"]
    assert set(parts) == set(real) and sum(real.values()) == measured["falls"]
    for part in real:  # the same ones hit the ground first, as often
        assert abs(real[part] / sum(real.values()) - parts[part] / sum(parts.values())) < 0.15, part


# ------------------------------------------------------------------------------------------------ determinism

def test_the_same_keys_give_the_same_poses_bit_for_bit(browser, world):
    poses = world.evaluate("play(new Runner())")
    assert len(poses) == 600 and len(set(map(tuple, poses))) == 600
    assert world.evaluate("play(new Runner(), 2)") != poses
    for again in ["play(new Runner())",
                  "{ const r = new Runner(); play(r, 2); r.restart(); play(r) }",
                  "{ const r = new Runner(); play(r); r.restart(); play(r) }",
                  "{ const other = new Runner(); move(other, 99, 9); play(other, 3); play(new Runner()) }"]:
        assert world.evaluate(again) == poses, again
    page = open_world(browser)
    assert page.evaluate("play(new Runner())") == poses
    page.close()


def test_two_runners_in_one_page_do_not_disturb_each_other(world):
    alone, together = world.evaluate("""() => {
      const one = new Runner(), two = new Runner(), lonely = new Runner(), poses = [[], []];
      lonely.keys.q = one.keys.q = two.keys.o = true;
      for (let t = 0; t < 200; t++) { lonely.tick(); poses[0].push(lonely.pose()); }
      for (let t = 0; t < 200; t++) { one.tick(); two.tick(); poses[1].push(one.pose()); }
      return poses;
    }""")
    assert alone == together


# ------------------------------------------------------------------------------------------------------ rules

def test_a_runner_left_alone_stands(world):
    fallen, score, start = world.evaluate("""() => {
      const runner = new Runner(), start = runner.score;
      ticks(runner, 768);
      return [runner.over, runner.score, start];
    }""")
    assert not fallen and start == 0.3 and abs(score - 0.2) < 0.2  # the real one: 0.2 m


def test_a_fall_lets_the_limbs_go_and_is_no_finish(world):
    life = world.evaluate("""() => {
      const runner = new Runner();
      runner.keys.o = true;
      ticks(runner, 300, () => runner.fallen);
      const camera = runner.cameraX, joints = Object.values(runner.joints);
      ticks(runner, 60);
      const { fallen, finished, firstToHit: part } = runner;
      return { fallen, finished, part, at: runner.ticks - 60,
        motors: joints.filter(j => j.isMotorEnabled()).length, still: runner.cameraX === camera };
    }""")
    assert life["fallen"] and not life["finished"] and life["part"] and life["still"]
    assert life["motors"] == 0 and 40 <= life["at"] <= 52  # the real one falls at tick 46


@pytest.mark.parametrize("metres, jumped, finished",
                         [(97, False, False), (99.0, True, False), (100.2, True, True)])
def test_the_finish_counts_the_left_foot_on_the_track(world, metres, jumped, finished):
    life = world.evaluate("""metres => {
      const runner = new Runner();
      move(runner, metres - 0.4);  // the left foot stands 0.4 m to the right of 0
      ticks(runner, 20);
      const { jumped, finished } = runner;
      return { jumped, finished, foot: runner.bodies.leftFoot.getPosition().x / 10 };
    }""", metres)
    assert abs(life["foot"] - metres) < 0.3
    assert (life["jumped"], life["finished"]) == (jumped, finished)


def test_a_fall_after_the_jump_is_a_finish_and_everything_stands_still(world):
    life = world.evaluate("""() => {
      const runner = new Runner();
      move(runner, 98.7);
      ticks(runner, 20);
      const { jumped, over } = runner;
      runner.keys.o = true;
      ticks(runner, 300, () => runner.fallen);
      const pose = runner.pose(), { finished } = runner;
      ticks(runner, 30);
      return { jumped, over, finished, same: `${pose}` === `${runner.pose()}` };
    }""")
    assert life == {"jumped": True, "over": False, "finished": True, "same": True}


def test_the_hurdle_stands_until_it_is_hit_and_hitting_it_is_no_fall(world):
    still, moved, over = world.evaluate("""() => {
      const runner = new Runner(), { hurdle } = runner;
      const place = () => `${hurdle.getPosition().x} ${hurdle.getAngle()}`;
      const before = place();
      ticks(runner, 60);
      const still = place() === before;
      move(runner, 48.5, 20);
      ticks(runner, 60, () => Math.abs(runner.hurdle.getAngle()) > 0.05);
      return [still, place() !== before, runner.over];
    }""")
    assert still and moved and not over


def test_the_wall_stops_who_runs_backwards(world):
    x, over = world.evaluate("""() => {
      const runner = new Runner();
      move(runner, -2.6, -30);
      ticks(runner, 60);
      return [Math.min(...Object.values(runner.bodies).map(b => b.getPosition().x)), runner.finished];
    }""")
    assert -34 < x < -25 and not over


# --------------------------------------------------------------------------------------------------- the page

@pytest.mark.parametrize("scheme", ["http", "file"])
def test_it_plays_falls_and_gets_up_again(open_page, scheme):
    page = open_page(scheme)
    picture = "document.getElementById('canvas').toDataURL()"
    start = page.evaluate(picture)
    assert page.locator("#score").text_content() in ("0.2", "0.3") and page.locator("#notice").is_hidden()
    page.keyboard.down("o")
    page.wait_for_function("runner.fallen")
    page.locator("#notice").wait_for(state="visible")
    assert page.locator("#notice").text_content().startswith("Fallen at ")
    assert page.evaluate(picture) != start
    page.keyboard.up("o")
    page.keyboard.press("r")
    page.locator("#notice").wait_for(state="hidden")
    assert not page.evaluate("runner.over") and page.evaluate("runner.ticks") < 60


def test_it_runs_at_thirty_ticks_a_second_and_forgets_a_long_pause(page):
    ticks = page.evaluate("""() => {
      let now = due - TICK_MS, before = runner.ticks;
      const play = (frames, ms) => {
        for (let n = 0; n < frames; n++) frame(now += ms);
        const played = runner.ticks - before;
        before = runner.ticks;
        return played;
      };
      return [play(60, 1000 / 60), play(10, 100), play(1, 1500), play(60, 1000 / 60)];
    }""")
    assert ticks == [30, 30, 8, 30]


def test_every_key_is_felt_while_it_is_held(page):
    for key in "qwop":
        page.keyboard.down(key)
        assert held(page) == key
        page.keyboard.up(key)
        assert held(page) == ""
    for key in "wp":
        page.keyboard.down(key)
    assert held(page) == "wp"
    page.keyboard.press("r")
    assert held(page) == "wp"  # a restart leaves held keys held


def test_caps_lock_shift_and_foreign_layouts_do_not_matter(page):
    page.keyboard.down("CapsLock")
    page.keyboard.down("Q")
    assert held(page) == "q"
    page.keyboard.down("Shift")
    page.keyboard.up("q")
    assert held(page) == ""
    page.evaluate("dispatchEvent(new KeyboardEvent('keydown', { key: 'щ', code: 'KeyO' }))")  # Russian
    assert held(page) == "o"
    page.evaluate("dispatchEvent(new KeyboardEvent('keydown', { key: 'q', code: 'KeyA' }))")  # French
    assert held(page) == "o"


def test_a_shortcut_is_no_key_of_the_game(page):
    assert page.evaluate("dispatchEvent(new KeyboardEvent('keydown', "
                         "{ code: 'KeyP', ctrlKey: true, cancelable: true }))")  # left to the browser
    assert held(page) == ""
    assert not page.evaluate("dispatchEvent(new KeyboardEvent('keydown', "
                             "{ code: 'KeyP', cancelable: true }))")
    assert held(page) == "p"


def test_fingers_hold_buttons(open_page):
    page = open_page(before=STILL, has_touch=True, viewport={"width": 360, "height": 740})
    boxes = [page.locator(f"[data-code=Key{key.upper()}]").bounding_box() for key in "qo"]
    fingers = [{"x": box["x"] + 9, "y": box["y"] + 9, "id": i} for i, box in enumerate(boxes)]
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": fingers})
    assert held(page) == "qo"
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": fingers[:1]})
    assert held(page) == "o"  # the list names the finger that was lifted
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": fingers[1:]})
    assert held(page) == ""
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_mouse_may_slide_off_its_button_and_restarts_with_r(page):
    page.locator("[data-code=KeyW]").hover()
    page.mouse.down()
    page.mouse.move(5, 5)
    assert held(page) == "w"
    page.mouse.up()
    assert held(page) == ""
    assert page.evaluate("runner.ticks") == 2
    page.locator("#restart").click()
    assert page.evaluate("runner.ticks") == 0


@pytest.mark.parametrize("away", [
    "dispatchEvent(new Event('blur'))",
    "{ Object.defineProperty(document, 'hidden', { value: true });"
    "  document.dispatchEvent(new Event('visibilitychange', { bubbles: true })) }"])
def test_going_away_lets_go_of_all_keys(page, away):
    page.keyboard.down("q")
    page.keyboard.down("p")
    assert held(page) == "qp"
    page.evaluate(away)
    assert held(page) == ""
