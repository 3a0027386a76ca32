// The page of the runner: keys in, picture out, at 30 ticks a second.
"use strict";

const MAX_CATCH_UP = 8; // ticks: after a pause the game goes on from where it was, a quarter of a second at most

const canvas = document.getElementById("canvas");
const context = canvas.getContext("2d");
const notice = document.getElementById("notice");
const buttons = [...document.querySelectorAll("#buttons button")];

const held = new Set();
const runner = new Runner();
let ticksDone = 0, epoch = performance.now(), best = 0;

function press(key) {
  held.add(key);
  showKeys();
}

function letGo(key) {
  if (held.delete(key) && key === "r") runner.restart();
  showKeys();
}

function showKeys() {
  for (const key of "qwop") runner.keys[key] = held.has(key);
  for (const button of buttons) button.classList.toggle("held", held.has(button.dataset.key));
}

function letGoOfAll() {
  held.clear();
  showKeys();
}

function frame(now) {
  requestAnimationFrame(frame);
  const due = Math.floor((now - epoch) / TICK_MS + 1e-6);
  if (due - ticksDone > MAX_CATCH_UP) { // a hidden tab or a slow machine: let the rest of the time go
    epoch += (due - ticksDone - MAX_CATCH_UP) * TICK_MS;
  }
  const ticks = Math.min(due - ticksDone, MAX_CATCH_UP);
  if (ticks <= 0) return;
  for (let i = 0; i < ticks; i++) runner.tick();
  ticksDone += ticks;
  draw();
}

function draw() {
  drawRunner(context, runner);
  const score = runner.score.toFixed(1);
  best = Math.max(best, runner.score);
  setText("score", score);
  setText("best", best >= 1 ? `best ${best.toFixed(1)}` : "");
  const words = runner.finished ? `Finished at ${score} metres! Press R to run again.`
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
draw();
requestAnimationFrame(frame);
