// The page of app.py, run by gr.HTML as js_on_load: held keys go out, numbered pictures come back.
// Given: element, props (from meta.json), server.start and server.step (of app.py).
"use strict";

// constants
const IN_FLIGHT = 3;    // calls on their way at once: hides a network delay of up to three frames
const SILENT_MS = 3000; // no answer for so long: the server is gone
const { game, keys, shape, frame_ms, starts, plain } = props;
const SIGNS = { ArrowLeft: "←", ArrowUp: "↑", ArrowRight: "→", ArrowDown: "↓" };
const MODIFIERS = { ctrlKey: "Control", metaKey: "Meta", altKey: "Alt" }; // what an event says: how a code begins
// A key of meta.json is a letter, a digit or a KeyboardEvent's code; nameOf is what a person calls it.
const codeOf = (key) =>
  /^[a-z]$/i.test(key) ? "Key" + key.toUpperCase() : /^\d$/.test(key) ? "Digit" + key : key;
const nameOf = (code) =>
  SIGNS[code] || code.replace(/^(Key|Digit)(?=.$)/, "").replace(/([a-z])([A-Z0-9])/g, "$1 $2");
const codes = keys.map(codeOf);

// elements
const find = (selector) => element.querySelector(selector);
const canvas = find("canvas"), state = find("output"), pace = find(".pace"), choice = find("select");
const paper = canvas.getContext("2d");
const buttons = codes.map((code) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = nameOf(code);
  button.dataset.code = code;
  find(".keys").append(button);
  return button;
});

// state
const held = new Set();   // codes of the keys that are down, whoever presses them
const tapped = new Set(); // pressed since the last call: a tap shorter than a frame still counts for one
let visitor = null;       // our name at the server
let shown = 0;            // number of the newest picture drawn: answers may overtake each other
let lost = true;          // not started yet, forgotten by the server, or the server is gone
let starting = false, flying = 0, heard = 0, drawn = [];

// functions
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const shownAgain = () => new Promise((done) =>
  document.addEventListener("visibilitychange", done, { once: true }));
const say = (text) => { if (state.textContent !== text) state.textContent = text; };

function light() {
  for (const button of buttons) button.setAttribute("aria-pressed", held.has(button.dataset.code));
}

function press(code) { held.add(code); tapped.add(code); light(); }
function release(code) { held.delete(code); light(); }
function letGo() { held.clear(); tapped.clear(); light(); }

async function show(answer, from) {
  const picture = new Image();
  picture.src = answer.picture;
  await picture.decode();
  if (from !== visitor || answer.frame <= shown) return;
  shown = answer.frame;
  paper.drawImage(picture, 0, 0);
  Object.assign(canvas.dataset, { frame: answer.frame, step: answer.step });
  drawn.push(performance.now());
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
  const answer = await ask("start", { visitor, start: Number(choice.value) });
  if (answer) {
    if (answer.visitor !== visitor) shown = 0;
    visitor = answer.visitor;
    lost = false;
    show(answer, visitor);
  } else await sleep(1000);
  starting = false;
}

async function step() {
  const from = visitor;
  const down = codes.map((code) => Number(held.has(code) || tapped.has(code)));
  tapped.clear();
  const answer = await ask("step", { visitor, keys: down });
  if (answer) show(answer, from);
}

function tell() {
  const now = performance.now();
  drawn = drawn.filter((time) => now - time < 2000);
  const [measured, wanted] = [drawn.length / 2, 1000 / frame_ms];
  pace.textContent = lost || document.hidden ? "" : `${measured.toFixed(1)} of ${wanted.toFixed(0)} frames/s`;
  if (flying && now - heard > SILENT_MS) say("disconnected: the server does not answer");
  else if (document.hidden) say("paused");
  else if (!lost) say(document.hasFocus() ? "playing" : "playing (click here to use the keyboard)");
}

async function play() {
  let due = performance.now();
  while (element.isConnected) {
    if (document.hidden) await shownAgain();
    else if (lost) await start();
    else if (flying < IN_FLIGHT) step();
    due = Math.max(due + frame_ms, performance.now());
    await sleep(due - performance.now());
  }
}

// start
const typing = ({ target }) =>
  target !== choice && target.closest?.("input, textarea, select, [contenteditable]");
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
for (const button of buttons) {
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    press(button.dataset.code);
  });
  button.addEventListener("lostpointercapture", () => release(button.dataset.code));
  button.addEventListener("contextmenu", (event) => event.preventDefault());
}
find(".restart").addEventListener("click", (event) => { event.currentTarget.blur(); start(); });
choice.addEventListener("change", () => { choice.blur(); start(); });
for (let i = 0; i < starts; i++) {
  choice.append(new Option(`start ${i + 1}: ${i ? "mid-run" : "a new life"}`, i));
}
choice.hidden = starts < 2;
find("a").hidden = !plain;
find("kbd").hidden = codes.includes("KeyR"); // then it is a key of the game
find("h1").textContent = `${game}, hallucinated`;
if (shape) canvas.style.setProperty("--shape", shape[0] / shape[1]);
setInterval(tell, 250);
play();
