"""The runner of docs/runner: physics against the real game's, determinism bit for bit, rules and page."""
import physics
import pytest
from helpers import ROOT

from capture import browser as recorder

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


@pytest.fixture(scope="module")
def measured(browser):
    return physics.measure(browser, ROOT / "tests" / "truth.npz")


@pytest.fixture(scope="module")
def world(browser):
    """A page with the class Runner and the helpers of PLAY, without the game's own loop."""
    page = physics.open_runner(browser)
    page.add_script_tag(content=PLAY)
    yield page
    page.close()


@pytest.fixture(scope="module")
def addresses():
    server = recorder.Server(ROOT / "docs")
    yield {"http": f"{server.address}/runner/index.html", "file": (ROOT / "docs/runner/index.html").as_uri()}
    server.http.shutdown()


@pytest.fixture
def open_page(browser, addresses):
    """open_page(way, **context options) -> the game's page. Fails afterwards if the console said anything."""
    contexts, troubles = [], []

    def open_page(way="http", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.route("**/favicon.ico", lambda route: route.fulfill(status=204))  # Chromium asks by itself
        page.goto(addresses[way])
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def held(page):
    """The keys that the runner feels and the buttons that look pressed: they must be the same."""
    page.evaluate("() => new Promise(done => { const from = runner.ticks, look = () => "
                  "runner.ticks > from + 1 || runner.over ? done() : requestAnimationFrame(look); look(); })")
    felt = page.evaluate("[...'qwop'].filter(k => runner.keys[k]).join('')")
    shown = page.locator("#buttons [aria-pressed=true]").evaluate_all("all => all.map(b => b.textContent[0]).join('')")
    assert felt == shown.lower()
    return felt


# ---------------------------------------------------------------------------------------------------- physics

def test_lives_follow_the_real_ones_as_closely_as_the_stock_solver(measured):
    print("\n" + physics.table(measured))
    assert measured["first_lives"] == 20 and measured["all_lives"] == 133
    for t, first, everywhere in zip(measured["ticks"], measured["first"], measured["all"]):
        if t in physics.STOCK:
            assert first <= physics.STOCK[t], t
            assert everywhere <= physics.STOCK[t] or t == 5, t  # stock: first lives only
    # What this engine has reached and a little more; with stock Box2D's way to part contacts it does not.
    reached = {5: 0.019, 10: 0.05, 20: 0.15, 30: 0.35, 40: 0.58}
    assert all(error <= reached[t] for t, error in zip(measured["ticks"], measured["all"])), measured["all"]


def test_lives_last_as_long_as_the_real_ones(measured):
    assert abs(measured["length"].mean() / measured["real_length"].mean() - 1) < 0.15
    assert measured["close"] > 0.5


def test_the_same_parts_hit_the_ground_first(measured):
    real, ours = measured["real_parts"], measured["parts"]
    assert set(ours) == set(real) and sum(real.values()) == measured["falls"]
    share = {part: (real[part] / sum(real.values()), ours[part] / sum(ours.values())) for part in real}
    assert all(abs(a - b) < 0.15 for a, b in share.values()), share


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
    page = physics.open_runner(browser)
    page.add_script_tag(content=PLAY)
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
    said = world.evaluate("""() => {
      const runner = new Runner();
      runner.keys.o = true;
      ticks(runner, 300, () => runner.fallen);
      const camera = runner.cameraX, joints = Object.values(runner.joints);
      ticks(runner, 60);
      const { fallen, finished, firstToHit: part } = runner;
      return { fallen, finished, part, at: runner.ticks - 60,
        motors: joints.filter(j => j.isMotorEnabled()).length, still: runner.cameraX === camera };
    }""")
    assert said["fallen"] and not said["finished"] and said["part"] and said["still"]
    assert said["motors"] == 0 and 40 <= said["at"] <= 52  # the real one falls at tick 46


@pytest.mark.parametrize("metres, jumped, finished",
                         [(97, False, False), (99.0, True, False), (100.2, True, True)])
def test_the_finish_counts_the_left_foot_on_the_track(world, metres, jumped, finished):
    said = world.evaluate("""metres => {
      const runner = new Runner();
      move(runner, metres - 0.4);  // the left foot stands 0.4 m to the right of 0
      ticks(runner, 20);
      const { jumped, finished } = runner;
      return { jumped, finished, foot: runner.bodies.leftFoot.getPosition().x / 10 };
    }""", metres)
    assert abs(said["foot"] - metres) < 0.3
    assert (said["jumped"], said["finished"]) == (jumped, finished)


def test_a_fall_after_the_jump_is_a_finish_and_everything_stands_still(world):
    said = world.evaluate("""() => {
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
    assert said == {"jumped": True, "over": False, "finished": True, "same": True}


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

@pytest.mark.parametrize("way", ["http", "file"])
def test_it_plays_falls_and_gets_up_again(open_page, way):
    page = open_page(way)
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


def test_it_runs_at_thirty_ticks_a_second(open_page):
    page = open_page()
    page.wait_for_function("runner.ticks > 2")
    ticks, seconds = page.evaluate("""async () => {
      const ticks = runner.ticks, start = performance.now();
      await new Promise(done => setTimeout(done, 2000));
      return [runner.ticks - ticks, (performance.now() - start) / 1000];
    }""")
    assert 24 < ticks / seconds < 33  # fewer where the machine is too busy to draw


def test_every_key_is_felt_while_it_is_held(open_page):
    page = open_page()
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


def test_caps_lock_shift_and_foreign_layouts_do_not_matter(open_page):
    page = open_page()
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


def test_a_shortcut_is_no_key_of_the_game(open_page):
    page = open_page()
    assert page.evaluate("dispatchEvent(new KeyboardEvent('keydown', "
                         "{ code: 'KeyP', ctrlKey: true, cancelable: true }))")  # left to the browser
    assert held(page) == ""
    assert not page.evaluate("dispatchEvent(new KeyboardEvent('keydown', "
                             "{ code: 'KeyP', cancelable: true }))")
    assert held(page) == "p"


def test_fingers_hold_buttons(open_page):
    page = open_page(has_touch=True, viewport={"width": 360, "height": 740})
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


def test_a_mouse_may_slide_off_its_button_and_restarts_with_r(open_page):
    page = open_page()
    page.locator("[data-code=KeyW]").hover()
    page.mouse.down()
    page.mouse.move(5, 5)
    assert held(page) == "w"
    page.mouse.up()
    assert held(page) == ""
    page.wait_for_function("runner.ticks > 15")
    page.locator("#restart").click()
    assert page.evaluate("runner.ticks") < 15


@pytest.mark.parametrize("away", ["dispatchEvent(new Event('blur'))",
                                  "{ Object.defineProperty(document, 'hidden', { value: true });"
                                  "  document.dispatchEvent(new Event('visibilitychange')) }"])
def test_going_away_lets_go_of_all_keys(open_page, away):
    page = open_page()
    page.keyboard.down("q")
    page.keyboard.down("p")
    assert held(page) == "qp"
    page.evaluate(away)
    assert held(page) == ""


def test_after_a_pause_it_goes_on_from_where_it_was(open_page):
    page = open_page()
    page.wait_for_function("runner.ticks > 2")
    ticks = page.evaluate("""() => new Promise(done => {
      const before = runner.ticks, until = performance.now() + 1500;
      while (performance.now() < until);  // a page that stands still for 45 ticks
      requestAnimationFrame(() => requestAnimationFrame(() => done(runner.ticks - before)));
    })""")
    assert ticks <= 16
