// The page of the runner: keys in, picture out, at 30 ticks a second. A play can be saved as a list of its keys.
"use strict";

const MAX_CATCH_UP = 8;    // ticks: after a pause the game goes on from where it was, a quarter of a second at most
const KEYS = ["q", "w", "o", "p"];
const TICKS_PER_FRAME = 3; // of a recording: its keys act ten times a second, as in the dream

const element = (id) => document.getElementById(id);
const canvas = element("canvas");
const context = canvas.getContext("2d");

const runner = new Runner();
const keyboard = new HeldKeys(element("buttons"), KEYS, { commands: { KeyR: restart } });
let due = performance.now() + TICK_MS, best = 0; // when the next tick is due
let recording = null; // { keys: a hexadecimal digit a frame, ticks } while a play is recorded

function restart() {
  if (!recording) runner.restart();
}

function press(row) {
  KEYS.forEach((key, k) => { runner.keys[key] = Boolean(row[k]); });
}

// ---- recording: what collect.py --replay plays again, pose by pose. All keys are up until frame 0; those of frame t
// act until frame t + 1; after a frame that shows a fall a new life begins.

function startRecording() {
  recording = { keys: "", ticks: 0 };
  keyboard.held(); // forget earlier taps
  press([]);
  runner.restart();
  showRecording();
}

function stopRecording() {
  const { keys, ticks } = recording, frames = Math.floor(ticks / TICKS_PER_FRAME);
  recording = null;
  showRecording();
  if (frames >= 2) save(keys.padEnd(frames, "0")); // the last frame's keys never act
}

function showRecording() {
  document.body.classList.toggle("recording", Boolean(recording));
  element("record").textContent = recording ? "Stop and save" : "Record my play";
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
  const row = keyboard.held();
  press(row);
  recording.keys += row.reduce((digit, on, k) => digit | on << k, 0).toString(16);
}

// ---- time

function tick() {
  if (recording) {
    if (recording.ticks > 0 && recording.ticks % TICKS_PER_FRAME === 0) nextFrame();
    recording.ticks += 1;
  } else {
    press(keyboard.held());
  }
  runner.tick();
}

function frame(now) {
  requestAnimationFrame(frame);
  keyboard.pollGamepad();
  const time = now + 1e-6; // beside rounding
  if (time < due) return;
  due = Math.max(due, now - (MAX_CATCH_UP - 1) * TICK_MS); // a hidden tab or a slow machine: let the rest go
  for (; due <= time; due += TICK_MS) tick();
  draw();
}

function message(score) {
  if (recording) return "";
  if (runner.finished) return `Finished at ${score} metres! Press R to run again.`;
  return runner.fallen ? `Fallen at ${score} metres. Press R to get up.` : "";
}

function draw() {
  drawRunner(context, runner);
  const score = runner.score.toFixed(1);
  best = Math.max(best, runner.score);
  setText("score", score);
  setText("best", best >= 1 ? `best ${best.toFixed(1)}` : "");
  setText("recorded", recording ? `${(recording.ticks * TICK_MS / 1000).toFixed(1)} s` : "");
  setText("notice", message(score));
}

function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

element("restart").addEventListener("click", restart);
element("record").addEventListener("click", () => recording ? stopRecording() : startRecording());
draw();
requestAnimationFrame(frame);
