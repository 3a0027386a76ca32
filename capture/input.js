// Runs in the page after clock.js: sends the events of keys, and of a mouse or a finger, as a browser makes them.
"use strict";
(() => {
  const { clock } = window.recorder;
  const held = new Set(); // of the description's keys
  const TAP = 50; // ms that press() and click() hold

  // ---- keys
  const REPEAT_AFTER = 500, REPEAT_EVERY = 33; // ms: a held key sends more keydown events
  let repeating = null; // { key, due } of the key that went down last
  // What an event says of a key: its name on a US keyboard (code without Key or Digit where there is none), keyCode.
  const KEYS = { ArrowLeft: ["", 37], ArrowUp: ["", 38], ArrowRight: ["", 39], ArrowDown: ["", 40], Space: [" ", 32],
    Enter: ["", 13], Escape: ["", 27], Tab: ["", 9], Backspace: ["", 8], Delete: ["", 46], ShiftLeft: ["Shift", 16],
    ShiftRight: ["Shift", 16], ControlLeft: ["Control", 17], ControlRight: ["Control", 17], AltLeft: ["Alt", 18],
    AltRight: ["Alt", 18], MetaLeft: ["Meta", 91], MetaRight: ["Meta", 93], Comma: [",", 188], Period: [".", 190],
    Slash: ["/", 191], Semicolon: [";", 186], Quote: ["'", 222], BracketLeft: ["[", 219], BracketRight: ["]", 221],
    Backslash: ["\\", 220], Minus: ["-", 189], Equal: ["=", 187], Backquote: ["`", 192] };
  const MODIFIERS = { shiftKey: "Shift", ctrlKey: "Control", altKey: "Alt", metaKey: "Meta" };

  function send(type, key, repeat = false) {
    const letter = /^[a-z\d]$/i.test(key) ? key : key.match(/^(?:Key|Digit)(.)$/)?.[1];
    const code = letter ? `${/\d/.test(letter) ? "Digit" : "Key"}${letter.toUpperCase()}` : key;
    const [name, number] = letter ? [letter.toLowerCase(), letter.toUpperCase().charCodeAt(0)] : KEYS[key] ?? ["", 0];
    const says = { key: name || code, code, keyCode: number, which: number, repeat, bubbles: true, cancelable: true };
    for (const [flag, start] of Object.entries(MODIFIERS)) says[flag] = [...held].some((one) => one.startsWith(start));
    const target = document.activeElement || document.body;
    const goesOn = target.dispatchEvent(new KeyboardEvent(type, says));
    if (type !== "keydown" || !goesOn || says.ctrlKey || says.altKey || says.metaKey) return;
    const charCode = key === "Enter" ? 13 : says.key.length === 1 ? says.key.charCodeAt(0) : 0;
    if (!charCode) return;
    const numbers = { keyCode: charCode, which: charCode, charCode };
    target.dispatchEvent(new KeyboardEvent("keypress", { ...says, ...numbers }));
  }

  function hold(key, down) {
    if (down === held.has(key)) return;
    if (down) held.add(key);
    else held.delete(key);
    if (key.includes(":")) return; // see point()
    if (down) repeating = { key, due: clock.now + REPEAT_AFTER };
    else if (repeating?.key === key) repeating = null;
    send(down ? "keydown" : "keyup", key);
  }

  // ---- mouse and finger: "mouse:left", "touch:0.2,0.5" press there while held, "mouse:click" presses where the
  // pointer is, "pointer:left" moves it there. Held together, they meet half way; without any it is in the centre.
  const PLACES = { left: [0.2, 0.5], right: [0.8, 0.5], top: [0.5, 0.2], bottom: [0.5, 0.8], centre: [0.5, 0.5] };
  const TOUCHES = { down: "touchstart", move: "touchmove", up: "touchend" };
  let place = null;    // [x, y] of the pointer in parts of the canvas
  let pressing = null; // mouse or touch while it is down
  let target = null;   // the element it went down on
  let prevented = false;

  // One event of each sort that a browser would send. what: down, move or up.
  function sendPointer(kind, what) {
    const canvas = document.querySelector(window.recorder.game.canvas), box = canvas.getBoundingClientRect();
    const clientX = box.left + place[0] * box.width, clientY = box.top + place[1] * box.height;
    if (!target) target = document.elementFromPoint(clientX, clientY) ?? canvas;
    const down = what === "down" || what === "move" && pressing !== null;
    const says = { clientX, clientY, screenX: clientX, screenY: clientY, buttons: down ? 1 : 0, detail: 1, view: window,
      bubbles: true, cancelable: true, composed: true };
    const pointer = { ...says, pointerId: 1, pointerType: kind, isPrimary: true, button: what === "move" ? -1 : 0 };
    target.dispatchEvent(new PointerEvent(`pointer${what}`, pointer));
    const mouse = (name) => target.dispatchEvent(new MouseEvent(name, says));
    if (kind === "mouse") {
      prevented = false;
      mouse(`mouse${what}`);
    } else {
      const touch = new Touch({ identifier: 0, target, clientX, clientY, screenX: clientX, screenY: clientY });
      const touches = down ? [touch] : [];
      const event = { ...says, touches, targetTouches: touches, changedTouches: [touch] };
      prevented = !target.dispatchEvent(new TouchEvent(TOUCHES[what], event)) || (prevented && what !== "down");
      if (what === "up" && !prevented) for (const name of ["mousemove", "mousedown", "mouseup"]) mouse(name);
    }
    if (what === "up" && !prevented) target.dispatchEvent(new PointerEvent("click", { ...pointer, button: 0 }));
    if (!down) target = null;
  }

  function moveTo(x, y, kind = "mouse") {
    if (place?.[0] === x && place[1] === y) return;
    place = [x, y];
    if (pressing || kind === "mouse") sendPointer(pressing ?? kind, "move"); // a finger in the air is not seen
  }

  function setPressing(kind) {
    if (pressing === kind) return;
    const before = pressing;
    pressing = kind;
    if (before) sendPointer(before, "up");
    if (kind) sendPointer(kind, "down");
  }

  function point(keys) {
    if (!keys.some((key) => key.includes(":"))) return;
    const now = [...held].filter((key) => key.includes(":")).map((key) => key.split(":"));
    const places = now.filter(([, where]) => where !== "click")
      .map(([, where]) => PLACES[where] ?? where.split(",").map(Number));
    const mean = (i) => places.length ? places.reduce((sum, one) => sum + one[i], 0) / places.length : 0.5;
    const kind = now.find(([name]) => name !== "pointer")?.[0] ?? null;
    if (!kind) setPressing(null); // it goes up where it was
    moveTo(mean(0), mean(1), keys.some((key) => key.startsWith("touch")) ? "touch" : "mouse");
    setPressing(kind);
  }

  window.recorder.input = {
    // Hold those of the keys whose number in the row is not 0, let go of the others.
    hold(keys, row = []) {
      for (const [k, key] of keys.entries()) hold(key, Boolean(row[k]));
      point(keys);
    },

    // The keydown events that the key that went down last sends until then.
    repeat(until) {
      for (; repeating?.due <= until; repeating.due += REPEAT_EVERY) send("keydown", repeating.key, true);
    },

    // For start and restart: a key or a click that lasts for TAP ms, at a place in parts of the canvas.
    press(key) {
      send("keydown", key);
      setTimeout(() => { if (!held.has(key)) send("keyup", key); }, TAP);
    },
    click(x = 0.5, y = 0.5) {
      setPressing(null);
      moveTo(x, y);
      setPressing("mouse");
      setTimeout(() => { if (![...held].some((key) => key.startsWith("mouse"))) setPressing(null); }, TAP);
    },
  };
})();
