// The playing page of app.py, run by gr.HTML as js_on_load: held keys go out, numbered pictures come back.
// Given: element, props.models (from meta.json), props.most_pictures (of one frame), server.start and server.step (of app.py).
"use strict";

// constants
const IN_FLIGHT = 3;      // calls on their way at once: hides a network delay of up to three frames
const SILENT_MS = 3000;   // no answer for so long: the server is gone
const STAY_MS = 1500;     // who pauses says so this often, or the server takes him for gone
const PICTURE_MS = 33;    // between two pictures: what lies between two frames is painted, too
const SPEEDS = [0.25, 0.5, 1, 2, 4];
const SIGNS = { ArrowLeft: "←", ArrowUp: "↑", ArrowRight: "→", ArrowDown: "↓" };
const MODIFIERS = { ctrlKey: "Control", metaKey: "Meta", altKey: "Alt" }; // what an event says: how a code begins
// A key of meta.json is a letter, a digit or a KeyboardEvent's code; nameOf is what a person calls it.
const codeOf = (key) =>
  /^[a-z]$/i.test(key) ? "Key" + key.toUpperCase() : /^\d$/.test(key) ? "Digit" + key : key;
const nameOf = (code) =>
  SIGNS[code] || code.replace(/^(Key|Digit)(?=.$)/, "").replace(/([a-z])([A-Z0-9])/g, "$1 $2");

// elements
const find = (selector) => element.querySelector(selector);
const canvas = find("canvas"), state = find("output"), pace = find(".pace"), pause = find(".pause");
const [models, starts, speeds] = [".model", ".start", ".speed"].map(find);
const paper = canvas.getContext("2d");

// state
const held = new Set();   // codes of the keys that are down, whoever presses them
const tapped = new Set(); // pressed since the last call: a tap shorter than a frame still counts for one
let model, codes, buttons;
let visitor = null;       // our name at the server
let shown = 0;            // number of the newest answer drawn: answers may overtake each other
let lost = true;          // not started yet, forgotten by the server, or the server is gone
let paused = false, once = false;
let from = null;          // z that the dream begins with, in place of a start state
let wake = () => {};      // a key has changed
let starting = false, flying = 0, heard = 0, drawn = [];

// functions
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const say = (text) => { if (state.textContent !== text) state.textContent = text; };
const frameMs = () => model.frame_ms / Number(speeds.value);
const isAway = () => document.hidden || !element.offsetParent; // in another tab of the browser or of this page

function light() {
  for (const button of buttons) button.setAttribute("aria-pressed", held.has(button.dataset.code));
}

function press(code) { held.add(code); tapped.add(code); light(); wake(); }
function release(code) { if (held.delete(code)) { light(); wake(); } }
function letGo() { held.clear(); tapped.clear(); light(); }

// Draw the pictures of an answer one after the other, until those of a newer one come.
async function show(answer, asked, down) {
  const pictures = await Promise.all(answer.pictures.map(async (url) => {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    return picture;
  }));
  if (asked !== visitor || answer.frame <= shown) return;
  shown = answer.frame;
  const begun = performance.now(), every = frameMs() / pictures.length;
  for (const [n, picture] of pictures.entries()) {
    if (n) await sleep(begun + n * every - performance.now());
    if (asked !== visitor || answer.frame !== shown) return;
    paper.drawImage(picture, 0, 0);
    Object.assign(canvas.dataset, { frame: answer.frame, step: answer.step, picture: n, keys: down });
    drawn.push(performance.now());
  }
}

// One call to the server -> its answer, or null after saying what went wrong.
async function ask(name, call) {
  if (!flying++) heard = performance.now();
  const answer = await server[name](call).catch(() => null);
  flying--;
  heard = performance.now();
  if (answer && !answer.error) return answer;
  if (call.visitor === visitor) lost = true; // not by a late answer to who we were before
  say(answer ? answer.error : "disconnected: the server does not answer, trying again");
  return null;
}

async function start() {
  if (starting) return;
  starting = true;
  const answer = await ask("start", { visitor, model: model.name, start: from || Number(starts.value) });
  if (answer) {
    if (answer.visitor !== visitor) shown = 0;
    visitor = answer.visitor;
    lost = false;
    show(answer, visitor, "");
  } else await sleep(1000);
  starting = false;
}

async function step() {
  const asked = visitor, pictures = Math.ceil(frameMs() / PICTURE_MS - 0.1);
  const down = codes.map((code) => Number(held.has(code) || tapped.has(code)));
  tapped.clear();
  const answer = await ask("step", { visitor, keys: down, pictures: Math.min(pictures, props.most_pictures) });
  if (answer) show(answer, asked, down.join(""));
}

function tell() {
  const now = performance.now();
  drawn = drawn.filter((time) => now - time < 2000);
  const frames = 1000 / frameMs();
  pace.textContent = lost || paused || isAway() ? "" :
    `${frames.toFixed(frames < 10 ? 1 : 0)} frames/s dreamed, ${(drawn.length / 2).toFixed(0)} pictures/s shown`;
  if (flying && now - heard > SILENT_MS) say("disconnected: the server does not answer");
  else if (isAway() || paused) say("paused");
  else if (!lost) say(document.hasFocus() ? "playing" : "playing (click here to use the keyboard)");
}

// Until the next frame is due. A key that changes brings it forward by up to half a frame; the one after it is on time
// again, so that the pace stays the game's.
async function nextDue(due) {
  let until = due;
  const early = due - frameMs() / 2;
  while (performance.now() < until) {
    const key = new Promise((done) => { wake = () => { until = early; done(); }; });
    await Promise.race([sleep(until - performance.now()), key]);
  }
  wake = () => {};
}

async function play() {
  let due = performance.now();
  while (element.isConnected) {
    const resting = isAway() || paused && !once;
    if (lost) await start();
    else if (resting && performance.now() - heard > STAY_MS) await ask("stay", { visitor });
    else if (!resting && flying < IN_FLIGHT) {
      once = false;
      step();
    }
    due = Math.max(due + frameMs(), performance.now());
    await nextDue(due);
  }
}

function setPaused(on) {
  paused = on;
  pause.setAttribute("aria-pressed", on);
  pause.textContent = on ? "Play" : "Pause";
}

function makeButton(code) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = nameOf(code);
  button.dataset.code = code;
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    press(code);
  });
  button.addEventListener("lostpointercapture", () => release(code));
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  return button;
}

// Another dream: its keys, start states and shape.
function choose(name) {
  model = props.models.find((one) => one.name === name);
  models.value = name;
  codes = model.keys.map(codeOf);
  buttons = codes.map(makeButton);
  find(".keys").replaceChildren(...buttons);
  letGo();
  starts.replaceChildren(...Array.from({ length: model.starts }, (_, i) =>
    new Option(`start ${i + 1}: ${i ? "mid-run" : "a new life"}`, i)));
  starts.hidden = model.starts < 2;
  find("a").hidden = !model.plain;
  find("a").href = model.plain || "";
  find("kbd").hidden = codes.includes("KeyR"); // then it is a key of the game
  const title = model.game === model.keys.join("") ? model.game.toUpperCase() : model.game; // as in docs/play.js
  document.title = find("h1").textContent = `${title}, hallucinated`;
  canvas.style.setProperty("--shape", model.shape ? model.shape[0] / model.shape[1] : "");
}

// Play on from these numbers: what the panel "Look inside" calls.
window.playFrom = (name, z) => {
  if (name !== model.name) choose(name);
  from = z;
  setPaused(false);
  document.querySelector("button[role=tab]").click();
  start();
};

// start
const typing = ({ target }) =>
  !element.contains(target) && target.closest?.("input, textarea, select, [contenteditable]");
const shortcut = (event) => Object.entries(MODIFIERS).some(([flag, name]) =>
  event[flag] && !codes.some((code) => code.startsWith(name))); // of the browser, not a key of the game
addEventListener("keydown", (event) => {
  if (event.metaKey) letGo(); // while Command is down, macOS does not tell when another key goes up
  if (typing(event) || shortcut(event)) return;
  if (!codes.includes(event.code)) {
    if (event.code === "KeyR" && !event.repeat) start();
    return;
  }
  event.preventDefault(); // arrows and space would scroll
  if (!event.repeat) press(event.code);
});
addEventListener("keyup", (event) => {
  if (!typing(event) && codes.includes(event.code)) event.preventDefault(); // space would click what has the focus
  release(event.code);
});
addEventListener("blur", letGo);
document.addEventListener("visibilitychange", letGo);
const clicked = (selector, work) => find(selector).addEventListener("click", (event) => {
  event.currentTarget.blur();
  work();
});
clicked(".restart", start);
clicked(".pause", () => setPaused(!paused));
clicked(".once", () => { setPaused(once = true); });
models.addEventListener("change", () => { models.blur(); from = null; choose(models.value); start(); });
starts.addEventListener("change", () => { starts.blur(); from = null; start(); });
speeds.addEventListener("change", () => speeds.blur());
models.append(...props.models.map(({ name }) => new Option(name, name)));
models.hidden = props.models.length < 2;
speeds.append(...SPEEDS.map((speed) => new Option(`${speed}x`, speed, speed === 1, speed === 1)));
choose(props.models[0].name);
setInterval(tell, 250);
play();
