'use strict';
// The keys that a person holds, from keyboard, pointers and gamepad alike, with one button for each.
// The page, the runner and the app share this file: it knows no other script and no element but its box.
//
//   const keyboard = new HeldKeys(box, ['q', 'ArrowLeft'], { onKey, commands: { KeyR: restart } });
//   keyboard.held();   // [1, 0]: held now, or tapped since the last call

const PARTS_MOVED = { q: 'thighs', w: 'thighs', o: 'calves', p: 'calves' };  // of QWOP and the runner
const BEAT_MS = 150;  // a button that is clicked without a pointer, by Enter or a switch, holds its key for so long
const KEY_SIGNS = { ArrowLeft: '←', ArrowUp: '↑', ArrowRight: '→', ArrowDown: '↓' };
const MODIFIERS = { ctrlKey: 'Control', metaKey: 'Meta', altKey: 'Alt' };  // flag of an event: how its codes begin
const GAMEPAD = [[2, 4], [3, 6], [0, 5], [1, 7]];  // buttons for the first four keys: a face and a shoulder button each
const GAMEPAD_RESTART = 9;

// A key in meta.json is a letter, a digit or a KeyboardEvent's code. A code names the place on the keyboard, so Caps
// Lock, Shift and layouts do not matter.
function codeOf(key) {
  if (/^[a-z]$/i.test(key)) return `Key${key.toUpperCase()}`;
  return /^\d$/.test(key) ? `Digit${key}` : key;
}

// What people call it: KeyQ is Q, ArrowLeft is ←, ShiftLeft is Shift Left.
function nameOf(code) {
  return KEY_SIGNS[code] ?? code.replace(/^(Key|Digit)(?=.$)/, '').replace(/([a-z])([A-Z0-9])/g, '$1 $2');
}

// What people call the game of meta.json: QWOP has its name from its keys.
function titleOf({ game, keys }) {
  return game === keys.join('') ? game.toUpperCase() : game;
}

// Arrows belong to the slider or the list that has the focus.
function movesControl(event) {
  return event.code.startsWith('Arrow') && Boolean(event.target.matches?.('select, input[type="range"]'));
}

class HeldKeys {
  down = new Set();       // codes of the keys that are held now
  tapped = new Set();     // codes pressed since the last held(): a tap shorter than a frame counts for one
  changed = false;        // since the last held()
  onGamepad = new Set();  // codes that the gamepad holds
  buttons = new Map();    // code: button

  // box: where the buttons go, before anything that is in it. onKey(down): a key went down or up. commands: what other
  // codes do, {code: work}; Start on a gamepad is KeyR. isTyping(event): the event is not for the game.
  constructor(box, keys, { onKey = () => {}, commands = {}, isTyping = movesControl } = {}) {
    Object.assign(this, { box, onKey, commands, isTyping });
    this.setKeys(keys);
    addEventListener('keydown', event => this.onKeyDown(event));
    addEventListener('keyup', event => this.onKeyUp(event));
    // No keyup follows these. A menu that was prevented, as that of a long touch on a key, does not open.
    const leave = event => { if (!event.defaultPrevented) this.releaseAll(); };
    for (const name of ['blur', 'contextmenu', 'visibilitychange', 'fullscreenchange']) addEventListener(name, leave);
  }

  // Other keys: new buttons, none of them held.
  setKeys(keys) {
    this.releaseAll();
    for (const button of this.buttons.values()) button.remove();
    const labels = keys.join('') === 'qwop' ? PARTS_MOVED : {};
    this.buttons = new Map(keys.map(key => [codeOf(key), this.makeButton(codeOf(key), labels[key])]));
    this.box.prepend(...this.buttons.values());
    this.showLayout();
  }

  async showLayout() {
    const layout = await navigator.keyboard?.getLayoutMap().catch(() => null);
    for (const code of this.codes) this.nameButton(code, layout?.get(code));
  }

  // The letter that this keyboard has in the place of a key: A in that of Q on a French one.
  nameButton(code, letter) {
    if (!/^[a-z]$/i.test(letter ?? '') || !/^Key/.test(code)) return;  // others have two letters on each key
    const button = this.buttons.get(code), name = letter.toUpperCase();
    button.firstChild.data = name;
    button.setAttribute('aria-label', button.getAttribute('aria-label').replace(/^Key ./, `Key ${name}`));
  }

  get codes() {
    return [...this.buttons.keys()];
  }

  // 1 or 0 for each key; a tap counts once.
  held() {
    const row = this.codes.map(code => Number(this.down.has(code) || this.tapped.has(code)));
    this.tapped.clear();
    this.changed = false;
    return row;
  }

  // Light the buttons of the held keys, or of a row of others: those of a player who is not a person.
  show(row = this.codes.map(code => this.down.has(code))) {
    this.codes.forEach((code, n) => { this.buttons.get(code).setAttribute('aria-pressed', Boolean(row[n])); });
  }

  releaseAll() {
    for (const code of this.codes) this.release(code);
    this.tapped.clear();
  }

  // To be called once a frame: gamepads send no events.
  pollGamepad() {
    let pads = [];
    try {
      pads = [...navigator.getGamepads?.() ?? []];
    } catch { /* forbidden to this frame */ }
    const isDown = n => pads.some(pad => pad?.buttons[n]?.pressed);
    const before = this.onGamepad, now = new Set(this.codes.filter((_, n) => GAMEPAD[n]?.some(isDown)));
    for (const code of now) if (!before.has(code)) this.press(code);
    for (const code of before) if (!now.has(code)) this.release(code);
    this.onGamepad = now;
    const restarts = isDown(GAMEPAD_RESTART);
    if (restarts && !this.restarts) this.commands.KeyR?.();
    this.restarts = restarts;
  }

  press(code) {
    if (this.down.has(code)) return;
    this.down.add(code);
    this.tapped.add(code);
    this.changed = true;
    this.show();
    this.onKey(true);
  }

  release(code) {
    if (!this.down.delete(code)) return;
    this.changed = true;
    this.show();
    this.onKey(false);
  }

  onKeyDown(event) {
    if (event.metaKey && !event.repeat) this.releaseAll();  // while Command is down, macOS hides that other keys go up
    const isKey = this.buttons.has(event.code), command = this.commands[event.code];
    if (!isKey && !command || this.isShortcut(event) || this.isTyping(event)) return;
    event.preventDefault();  // arrows and space would scroll, Firefox would search the page
    if (event.repeat) return;
    if (!isKey) return command();
    this.nameButton(event.code, event.key);
    this.press(event.code);
  }

  onKeyUp(event) {
    if (!this.buttons.has(event.code)) return;
    if (!this.isTyping(event)) event.preventDefault();  // space would click the button that has the focus
    this.release(event.code);
  }

  // Is it a shortcut of the browser? Not with a modifier that is a key of the game.
  isShortcut(event) {
    return Object.entries(MODIFIERS).some(([flag, prefix]) =>
      event[flag] && !this.codes.some(code => code.startsWith(prefix)));
  }

  makeButton(code, label) {
    const button = document.createElement('button');
    Object.assign(button, { type: 'button', textContent: nameOf(code) });
    button.dataset.code = code;
    button.setAttribute('aria-label', `Key ${nameOf(code)}${label ? `, ${label}` : ''}`);
    button.setAttribute('aria-pressed', 'false');
    if (label) button.append(Object.assign(document.createElement('small'), { textContent: label }));
    button.addEventListener('pointerdown', event => {
      button.setPointerCapture(event.pointerId);  // the finger may slide off the button
      this.press(code);
    });
    button.addEventListener('lostpointercapture', () => this.release(code));  // after pointerup and pointercancel
    button.addEventListener('contextmenu', event => event.preventDefault());  // of a long touch
    button.addEventListener('click', event => {
      if (event.detail) return;  // by a pointer
      this.press(code);
      setTimeout(() => this.release(code), BEAT_MS);
    });
    return button;
  }
}
