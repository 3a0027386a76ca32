'use strict';
// The keys that a person holds, from keyboard, pointers and gamepad alike.
//
//   makeKeys(['q', 'ArrowLeft'], { onKey, onRestart });   // buttons into #keys
//   heldKeys();                                           // [1, 0]: now, or tapped since the last call

const SIGNS = { ArrowLeft: '←', ArrowUp: '↑', ArrowRight: '→', ArrowDown: '↓' };
const MODIFIERS = { ctrlKey: 'Control', metaKey: 'Meta', altKey: 'Alt' };  // what an event says: how a code begins
const PAD = [[2, 4], [3, 6], [0, 5], [1, 7]];  // buttons of a gamepad for the first four keys: a face and a shoulder each
const PAD_RESTART = 9;

const held = new Set();    // codes of the keys held now
const tapped = new Set();  // codes of those pressed since the last frame: a short tap counts for one frame
const buttons = new Map(); // code: its button on the page
const padHeld = new Set(); // those that the gamepad holds
let keysChanged = false;   // since the last frame
let whenKey = () => {};

// A key of meta.json is a letter, a digit or a KeyboardEvent's code. event.code names the place on the keyboard, so Caps
// Lock, Shift and layouts do not matter.
function codeOf(key) {
  return /^[a-z]$/i.test(key) ? `Key${key.toUpperCase()}` : /^\d$/.test(key) ? `Digit${key}` : key;
}

// What a person calls it: KeyQ is Q, ArrowLeft is ←, ShiftLeft is Shift Left.
function nameOf(code) {
  return SIGNS[code] ?? code.replace(/^(Key|Digit)(?=.$)/, '').replace(/([a-z])([A-Z0-9])/g, '$1 $2');
}

function press(code) {
  held.add(code);
  tapped.add(code);
  keysChanged = true;
  buttons.get(code).setAttribute('aria-pressed', 'true');
  whenKey();
}

function release(code) {
  if (held.delete(code)) keysChanged = true;
  buttons.get(code).setAttribute('aria-pressed', 'false');
}

function releaseAll() {
  for (const code of buttons.keys()) release(code);
  tapped.clear();
}

// 1 or 0 for each key; a tap counts once.
function heldKeys() {
  const keys = [...buttons.keys()].map(code => Number(held.has(code) || tapped.has(code)));
  tapped.clear();
  keysChanged = false;
  return keys;
}

// Show keys that nobody presses: those of a player who is no person.
function showKeys(keys) {
  [...buttons.values()].forEach((button, n) => button.setAttribute('aria-pressed', String(Boolean(keys[n]))));
}

// Show those that a person holds.
function showHeld() {
  showKeys([...buttons.keys()].map(code => held.has(code)));
}

// Is it a shortcut of the browser? Not with a modifier that is a key of the game.
function isShortcut(event) {
  const codes = [...buttons.keys()];
  return Object.entries(MODIFIERS).some(([flag, name]) => event[flag] && !codes.some(code => code.startsWith(name)));
}

// Arrows belong to the slider or the list that has the focus.
function isTyping(event) {
  return event.code.startsWith('Arrow') && event.target.matches?.('select, input[type="range"]');
}

function makeButton(code) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = nameOf(code);
  button.setAttribute('aria-label', `Key ${nameOf(code)}`);
  button.addEventListener('pointerdown', event => {
    event.preventDefault();
    button.setPointerCapture(event.pointerId);  // the finger may slide off the button
    press(code);
  });
  button.addEventListener('lostpointercapture', () => release(code));  // up and cancel, too
  button.addEventListener('contextmenu', event => event.preventDefault());  // a long touch
  document.getElementById('keys').append(button);
  buttons.set(code, button);
  release(code);
}

// A button for each of meta.keys, and everything that may press it. onKey: any key goes down. onRestart: R, or Start on
// a gamepad.
function makeKeys(keys, { onKey, onRestart }) {
  keys.map(codeOf).forEach(makeButton);
  whenKey = onKey;
  addEventListener('keydown', event => {
    if (!buttons.has(event.code) && event.code !== 'KeyR' || isShortcut(event) || isTyping(event)) return;
    event.preventDefault();  // arrows and space would scroll, Firefox would search the page
    if (event.repeat) return;
    if (buttons.has(event.code)) press(event.code);
    else onRestart();
  });
  addEventListener('keyup', event => {
    if (!buttons.has(event.code) || isTyping(event)) return;
    event.preventDefault();  // space would click the button that has the focus
    release(event.code);
  });
  addEventListener('blur', releaseAll);
  document.addEventListener('visibilitychange', releaseAll);
  let restartHeld = false;
  pollPad = () => {
    const pads = navigator.getGamepads?.() ?? [];
    const isDown = n => [...pads].some(pad => pad?.buttons[n]?.pressed);
    [...buttons.keys()].slice(0, PAD.length).forEach((code, key) => {
      const down = PAD[key].some(isDown);
      if (down && !padHeld.has(code)) { padHeld.add(code); press(code); }
      if (!down && padHeld.delete(code)) release(code);
    });
    if (isDown(PAD_RESTART) && !restartHeld) onRestart();
    restartHeld = isDown(PAD_RESTART);
  };
}

let pollPad = () => {};  // to be called once a painting: gamepads send no events
