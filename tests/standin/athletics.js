// A stand-in for the real game in tests: the hooks that games/qwop.py leans on, around a runner of our own.
// ?without=NAME breaks one of them; ?hangs=N: the Nth restart never ends.
"use strict";
const query = new URLSearchParams(location.search);
const has = (hook) => query.get("without") !== hook;

// ---- the runner: x right, y down, 20 px a unit. What a part hangs on and where on it (1 is its end), half length, half
// width, angle, what tilt, hip and knee add to that, colour.
const STEP = 1 / 30;
const PARTS = {
  torso: [null, 0, 3.2, 1.4, -1.25, 1, 0, 0, 0.9, 0.3, 0.2],
  rightArm: ["torso", 0.8, 1.9, 0.7, 1.6, 1, -1, 0, 0.6, 0.4, 0.3],
  rightForearm: ["rightArm", 1, 2.1, 0.6, 0.6, 1, -1, 0, 0.8, 0.6, 0.5],
  rightThigh: ["torso", -0.9, 2.6, 1, 1.3, 0, 1, 0, 0.5, 0.2, 0.2],
  rightCalf: ["rightThigh", 0.9, 2.5, 0.8, 1.7, 0, 1, -1, 0.7, 0.5, 0.4],
  rightFoot: ["rightCalf", 1, 1.3, 0.7, 0.1, 0, 1, -1, 0.9, 0.9, 0.9],
  head: ["torso", 1.2, 1.3, 1.1, -1.4, 1, 0, 0, 0.9, 0.7, 0.5],
  leftThigh: ["torso", -0.9, 2.5, 1, 1.3, 0, -1, 0, 0.3, 0.2, 0.5],
  leftCalf: ["leftThigh", 0.9, 2.5, 0.8, 1.7, 0, -1, 1, 0.9, 0.7, 0.6],
  leftFoot: ["leftCalf", 1, 1.3, 0.7, 0.1, 0, -1, 1, 0.2, 0.2, 0.2],
  leftArm: ["torso", 0.8, 1.8, 0.6, 1.6, 1, 1, 0, 0.8, 0.5, 0.4],
  leftForearm: ["leftArm", 1, 1.7, 0.5, 0.6, 1, 1, 0, 1, 0.8, 0.7],
};

class Athlete {
  constructor(app) {
    if (has("helpUp")) this.helpUp = false;
    if (has("highScore")) this.highScore = 0;
    if (has("app")) this.app = app;
    for (const part in PARTS) {
      const body = { x: 0, y: 0, angle: 0, getPosition: () => ({ x: body.x, y: body.y }), getAngle: () => body.angle };
      this[part] = { body, _components: new Map([[has("physicsBody") ? "physicsBody" : "shape", body]]) };
    }
    this.QDown = this.WDown = this.ODown = this.PDown = this.doneLoading = this.firstClick = false;
    this.star = this.restarts = this.turns = 0;
    this.rebuild();
  }

  rebuild() {
    this.fallen = this.gameEnded = false;
    this.speed = this.hip = this.knee = this.strain = this.scoreTime = 0;
    this.turns = 1 - this.turns; // as in the real game, a life is a little unlike the one before
    this.x = 2.5;
    this.place();
  }

  oninputup(name) {
    if (name !== "reset" || !has("reset")) return;
    while (this.restarts + 1 === +query.get("hangs"));
    this.restarts += 1;
    this.rebuild();
    this.update();
  }

  update() { // one tick: legs carry the runner while they swing, and knees that are bent for long give way
    if (!this.firstClick) return;
    const towards = (value, goal, step) => value + Math.max(-step, Math.min(step, goal - value));
    const up = !this.fallen && has("physics"), before = this.hip;
    this.hip = towards(this.hip, 0.9 * up * (this.QDown - this.WDown), 0.09);
    this.knee = towards(this.knee, 0.8 * up * (this.ODown - this.PDown), 0.08);
    this.speed = 0.8 * this.speed + 0.3 * up * (Math.abs(this.hip - before) - 0.03 * this.PDown);
    this.x += this.speed * (1 + this.turns / 1000);
    this.strain = Math.max(0, this.strain + (this.fallen ? 0.1 : this.ODown ? 0.05 : -0.05));
    this.star = Math.max(0, this.star - STEP);
    if (!this.fallen) this.scoreTime += STEP;
    if (!this.fallen && this.strain > 1) {
      this.fallen = this.gameEnded = true;
      this.star = 0.95; // seconds: it outlives a restart
      this.highScore = Math.max(this.highScore, this.score);
    }
    this.place();
  }

  place() { // put every part where these few numbers say
    const tilt = this.fallen ? Math.min(1.6, this.strain - 0.8) : 0.2 * this.strain;
    for (const [part, [on, at, length, , angle, tilts, hip, knee]] of Object.entries(PARTS)) {
      const { body } = this[part], parent = on && this[on].body;
      body.angle = angle + tilts * tilt + hip * this.hip + knee * this.knee;
      body.x = on ? parent.x + at * PARTS[on][2] * Math.cos(parent.angle) + length * Math.cos(body.angle) : this.x;
      body.y = on ? parent.y + at * PARTS[on][2] * Math.sin(parent.angle) + length * Math.sin(body.angle) : 4 * tilt - 2;
    }
    this.score = Math.round(this.x) / 10;
  }
}

// ---- the picture
const newCanvas = () => Object.assign(document.createElement("canvas"), { width: 640, height: 400 });
const shown = document.body.appendChild(Object.assign(newCanvas(), { id: has("canvas") ? "window1" : "w" }));
const options = { alpha: false, antialias: true };
if (!has("webgl")) shown.getContext("2d");
if (!has("draw")) shown.getContext("webgl", options);
const gl = (has("webgl") && has("draw") ? shown : newCanvas()).getContext("webgl", options);
const program = gl.createProgram();
for (const [kind, source] of [[gl.VERTEX_SHADER, `
  attribute vec2 corner; uniform vec2 centre, size, turn, view; varying vec2 at;
  void main() {
    vec2 place = centre + mat2(turn, -turn.y, turn.x) * (corner * size);
    gl_Position = vec4(place / view * 2.0 - 1.0, 0, 1) * vec4(1, -1, 1, 1);
    at = corner / 2.0 + 0.5;
  }`], [gl.FRAGMENT_SHADER, `precision mediump float;
  uniform vec4 colour; uniform sampler2D picture; varying vec2 at;
  void main() { gl_FragColor = colour.a > 0.0 ? colour : texture2D(picture, at); }`]]) {
  const shader = gl.createShader(kind);
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  gl.attachShader(program, shader);
}
gl.linkProgram(program);
gl.useProgram(program);
const set = (name, ...values) => gl[`uniform${values.length}f`](gl.getUniformLocation(program, name), ...values);
gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
gl.enableVertexAttribArray(gl.getAttribLocation(program, "corner"));
gl.vertexAttribPointer(gl.getAttribLocation(program, "corner"), 2, gl.FLOAT, false, 0, 0);
const board = { texture: gl.createTexture(), buffer: gl.createFramebuffer(), shows: null }; // a clock, drawn aside
gl.bindTexture(gl.TEXTURE_2D, board.texture);
gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 64, 64, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
gl.bindFramebuffer(gl.FRAMEBUFFER, board.buffer);
gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, board.texture, 0);

let drawnTo = board.buffer;
function drawTo(buffer, width, height) { // as engines do: what has not changed is not said again
  if (buffer === drawnTo) return;
  gl.bindFramebuffer(gl.FRAMEBUFFER, drawnTo = buffer);
  gl.viewport(0, 0, width, height);
  set("view", width, height);
}
function rectangle(x, y, halfWidth, halfHeight, angle, colour) { // px from the top left; no colour: the board
  set("centre", x, y);
  set("size", halfWidth, halfHeight);
  set("turn", Math.cos(angle), Math.sin(angle));
  set("colour", ...(colour || [0, 0, 0]), colour ? 1 : 0);
  gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
}
function clear(colour, box) {
  if (box) gl.scissor(...box);
  gl.clearColor(...colour, 1);
  gl.clear(gl.COLOR_BUFFER_BIT);
}

function draw() {
  const camera = 20 * (game.x - 14), halfSeconds = Math.floor(game.scoreTime * 2 + 0.01);
  drawTo(null, 640, 400);
  if (board.shows !== halfSeconds) { // in a framebuffer of its own, and only when it has changed
    board.shows = halfSeconds;
    gl.bindTexture(gl.TEXTURE_2D, null);
    drawTo(board.buffer, 64, 64);
    clear([1, 1, 0.8]);
    rectangle(32, 32, 30, 5, halfSeconds / 3, [0.1, 0.1, 0.4]);
    rectangle(10, 10, 8, 8, 0, [0.9, 0, 0]);
    gl.bindTexture(gl.TEXTURE_2D, board.texture);
    drawTo(null, 640, 400);
  }
  clear([0.4, 0.6, 0.9]);
  rectangle(320, 392, 320, 10, 0, [0.6, 0.3, 0.2]);
  for (let x = 100 * Math.floor(camera / 100) - camera; x < 700; x += 100) rectangle(x, 392, 4, 8, 0.3, [1, 1, 1]);
  rectangle(520, 150, 60, 60, 0);
  if (game.highScore > 0.5) rectangle(200 * game.highScore - camera, 300, 5, 90, 0, [0, 0.6, 0]);
  for (const [part, [, , length, width, , , , , ...colour]] of Object.entries(PARTS)) {
    const { x, y, angle } = game[part].body;
    rectangle(20 * x - camera, 20 * y + 200, 20 * length, 20 * width, angle, colour);
  }
  if (game.star) rectangle(120, 150, 70 * game.star, 70 * game.star, game.star, [1, 0.9, 0]);
  gl.enable(gl.SCISSOR_TEST); // lamps that are cleared, a bar that is cut off
  for (let k = 0; k < 4; k++) clear(game[`${"QWOP"[k]}Down`] ? [1, 0.9, 0.2] : [0.2, 0.2, 0.3], [20 + 50 * k, 340, 40, 40]);
  clear([0, 0, 0], [420, 350, 200, 30]);
  rectangle(420, 35, Math.max(0, 40 + 40 * game.score), 60, 0, [0.2, 0.9, 0.4]);
  gl.disable(gl.SCISSOR_TEST);
}

// ---- the engine: loading, keys, and a loop that runs the ticks that are due
const app = { frame_time: STEP, overflow: 0, max_frame_time: 0.25 };
if (has("render_rate")) app.render_rate = -1;
const game = new Athlete(app);
const now = () => (has("clock") ? performance.now() : performance.mark("now").startTime) / 1000;
let last = now(), waits = 20; // frames until the pictures would have come
function frame() {
  requestAnimationFrame(frame);
  if (waits && --waits === 0 && has("doneLoading")) game.doneLoading = true;
  app.overflow += Math.min(now() - last, app.max_frame_time);
  for (last = now(); app.overflow >= app.frame_time; app.overflow -= app.frame_time) game.update();
  if (app.render_rate !== 0) draw();
}
requestAnimationFrame(frame);
if (has("click")) shown.addEventListener("mousedown", () => { game.firstClick = true; });
for (const [kind, down] of has("keys") ? [["keydown", true], ["keyup", false]] : []) {
  document.addEventListener(kind, ({ keyCode }) => {
    const key = String.fromCharCode(keyCode);
    if ("QWOP".includes(key)) game[`${key}Down`] = down;
    if (key === "R" && !down) game.oninputup("reset");
  });
}
