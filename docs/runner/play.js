// The page of the runner: keys in, picture out, at 30 ticks a second. A play can be saved as a list of its keys.
"use strict";

const MAX_CATCH_UP = 8; // ticks: after a pause the game goes on from where it was, a quarter of a second at most
const KEYS = ["q", "w", "o", "p"];
const TICKS_PER_FRAME = 3; // of a recording: its keys act ten times a second, as in the dream

const canvas = document.getElementById("canvas");
const context = canvas.getContext("2d");
const notice = document.getElementById("notice");
const buttons = [...document.querySelectorAll("#buttons button")];
const recordButton = document.getElementById("record");

const held = new Set();
const tapped = new Set(); // keys that went down since the recording's last frame: a short tap counts for one frame
const runner = new Runner();
let ticksDone = 0, epoch = performance.now(), best = 0;
let recording = null; // { keys: a hexadecimal digit a frame, ticks } while a play is recorded

function press(key) {
  if (!held.has(key)) tapped.add(key);
  held.add(key);
  showKeys();
}

function letGo(key) {
  if (held.delete(key) && key === "r" && !recording) runner.restart();
  showKeys();
}

function showKeys() {
  if (!recording) for (const key of KEYS) runner.keys[key] = held.has(key);
  for (const button of buttons) button.classList.toggle("held", held.has(button.dataset.key));
}

function letGoOfAll() {
  held.clear();
  tapped.clear();
  showKeys();
}

// ---- recording: what collect.py --replay plays again, pose by pose. All keys are up until frame 0; those of frame t
// act until frame t + 1; after a frame that shows a fall comes a new life.

function startRecording() {
  recording = { keys: "", ticks: 0 };
  tapped.clear();
  for (const key of KEYS) runner.keys[key] = false;
  runner.restart();
  showRecording();
}

function stopRecording() {
  const { keys, ticks } = recording, frames = Math.floor(ticks / TICKS_PER_FRAME);
  recording = null;
  showRecording();
  showKeys();
  if (frames >= 2) save(keys.padEnd(frames, "0")); // the last frame's keys never act
}

function showRecording() {
  document.body.classList.toggle("recording", Boolean(recording));
  recordButton.textContent = recording ? "Stop and save" : "Record my play";
  draw();
}

function save(keys) {
  const list = { game: "runner", keys: KEYS, ticks_per_frame: TICKS_PER_FRAME, episodes: [{ skip: 0, keys }] };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(list)], { type: "application/json" }));
  link.download = "runner_keys.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000); // ms: Safari reads it a little later
}

function nextFrame() {
  if (runner.over) runner.restart();
  for (const key of KEYS) runner.keys[key] = held.has(key) || tapped.has(key);
  tapped.clear();
  recording.keys += KEYS.reduce((digit, key, k) => digit | runner.keys[key] << k, 0).toString(16);
}

// ---- time

function tick() {
  if (recording) {
    if (recording.ticks > 0 && recording.ticks % TICKS_PER_FRAME === 0) nextFrame();
    recording.ticks += 1;
  }
  runner.tick();
}

function frame(now) {
  requestAnimationFrame(frame);
  const due = Math.floor((now - epoch) / TICK_MS + 1e-6);
  if (due - ticksDone > MAX_CATCH_UP) { // a hidden tab or a slow machine: let the rest of the time go
    epoch += (due - ticksDone - MAX_CATCH_UP) * TICK_MS;
  }
  const ticks = Math.min(due - ticksDone, MAX_CATCH_UP);
  if (ticks <= 0) return;
  for (let i = 0; i < ticks; i++) tick();
  ticksDone += ticks;
  draw();
}

function draw() {
  drawRunner(context, runner);
  const score = runner.score.toFixed(1);
  best = Math.max(best, runner.score);
  setText("score", score);
  setText("best", best >= 1 ? `best ${best.toFixed(1)}` : "");
  setText("recorded", recording ? `${(recording.ticks * TICK_MS / 1000).toFixed(1)} s` : "");
  const words = recording ? "" : runner.finished ? `Finished at ${score} metres! Press R to run again.`
    : runner.fallen ? `Fallen at ${score} metres. Press R to get up.` : "";
  if (notice.textContent !== words) {
    notice.textContent = words;
    notice.hidden = !words;
  }
}

function setText(id, words) {
  const element = document.getElementById(id);
  if (element.textContent !== words) element.textContent = words;
}

const keyOf = (event) => /^Key[QWOPR]$/.test(event.code) ? event.code.slice(3).toLowerCase() : null;
addEventListener("keydown", (event) => {
  const key = keyOf(event);
  if (!key || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  press(key);
});
addEventListener("keyup", (event) => { if (keyOf(event)) letGo(keyOf(event)); });
addEventListener("blur", letGoOfAll);
document.addEventListener("visibilitychange", () => { if (document.hidden) letGoOfAll(); });
for (const button of buttons) {
  button.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    button.setPointerCapture(event.pointerId);
    press(button.dataset.key);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    button.addEventListener(end, () => letGo(button.dataset.key));
  }
  button.addEventListener("contextmenu", (event) => event.preventDefault());
}
recordButton.addEventListener("click", () => recording ? stopRecording() : startRecording());
draw();
requestAnimationFrame(frame);
