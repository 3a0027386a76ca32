"""The real QWOP by Bennett Foddy, unchanged, from its own page or, with --url, from a local copy.

Play it there first: https://www.foddy.net/Athletics.html

A frame shows the bodies one tick late (the game moves its sprites before it steps); the pose does not.
"""
url = "https://www.foddy.net/Athletics.html"
canvas = "canvas#window1"
keys = ["q", "w", "o", "p"]
tick_ms = 1000 / 30
catches_up = True
fresh = False
repeats = False
webgl = True
# Before the page's scripts: catch the game object when it sets a field that only it has.
before = """
Object.defineProperty(Object.prototype, "helpUp", {
  configurable: true,
  set(value) {
    Object.defineProperty(this, "helpUp", { value, writable: true, enumerable: true, configurable: true });
    delete Object.prototype.helpUp;
    window.qwop = this;
  },
});
window.qwopParts = ["torso", "head", "leftArm", "leftForearm", "leftThigh", "leftCalf", "leftFoot",
  "rightArm", "rightForearm", "rightThigh", "rightCalf", "rightFoot"];
window.qwopBody = (part) => qwop[part]._components.get("physicsBody", false);
"""
ready = "window.qwop && qwop.doneLoading && qwop.app"
# What this description needs of the game: checked when the page opens, and named if it fails.
hooks = {
    "game object (the field helpUp)": "window.qwop",
    "loading (doneLoading)": "qwop.doneLoading",
    "state (fallen, gameEnded, score, scoreTime, highScore, firstClick)":
        "['fallen', 'gameEnded', 'score', 'scoreTime', 'highScore', 'firstClick']"
        ".every((name) => name in qwop)",
    "engine (app.frame_time, overflow, max_frame_time, render_rate)":
        "Math.abs(qwop.app.frame_time - 1 / 30) < 1e-6 && ['overflow', 'max_frame_time', 'render_rate']"
        ".every((name) => typeof qwop.app[name] === 'number')",
    "bodies (_components, physicsBody)": "qwopParts.every((part) => isFinite(qwopBody(part).getAngle()))",
    "first click": "qwop.firstClick",
    "restart (oninputup reset)": "recorder.try([], 9), recorder.try([], 1), "
                                  "Math.abs(qwop.score - 0.3) < 0.11 && qwop.scoreTime * 30 < 2.5",
    "clock (one tick is 1/30 s of score time)":
        "recorder.try([], 5), Math.abs(qwop.scoreTime * 30 - 6) < 1e-3",
    "keys (keydown, keyup)":
        "['q', 'w', 'o', 'p'].every((key) => (recorder.try([key], 1), "
        "['Q', 'W', 'O', 'P'].every((K) => qwop[K + 'Down'] === (K === key.toUpperCase()))))",
    "physics (a held key moves the legs)":
        "new Set([[], ['o']].map((keys) => (recorder.try(keys, 9), qwopBody('leftCalf').getAngle()))).size"
        " === 2",
}
# The clock stands between two ticks, so that rounding adds or drops none. Sounds are not played.
start = """
const app = qwop.app, { left, top } = document.querySelector("canvas#window1").getBoundingClientRect();
app.max_frame_time = 60;
app.overflow = app.frame_time / 2;
if (window.Howl) Howl.prototype.play = function () { return this; };
for (const kind of ["mousedown", "mouseup"]) {
  document.querySelector("canvas#window1").dispatchEvent(
    new MouseEvent(kind, { clientX: left + 320, clientY: top + 200, bubbles: true }));
}
"""
# A restart reverses the order of the bodies in Box2D, which rounds a long run in another way: so always two.
restart = "qwop.highScore = 0; qwop.oninputup('reset'); qwop.oninputup('reset')"
over = "qwop.gameEnded"
draw = "qwop.app.render_rate = on ? -1 : 0"
pose = """qwopParts.flatMap((part) => {
  const body = qwopBody(part), { x, y } = body.getPosition();
  return [x, y, body.getAngle()];
})"""
score = "qwop.score"
