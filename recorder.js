// Runs in the page before the game's own scripts: time, chance and the picture are ours.
//
// performance.now, Date, requestAnimationFrame and timers only move when a tick is played, so a frame is an exact
// number of ticks whatever the machine's speed. recorder.play() runs a whole episode and posts it in one piece.
"use strict";
(() => {
  const SIZE = 96, EPOCH = 1.7e12;
  const post = window.fetch.bind(window);
  let now = 0, ticks = 0, lastId = 0;
  let animation = new Map();
  const timers = new Map(); // id -> { due, every, call }

  // ---- time
  performance.now = () => now;
  const RealDate = Date;
  window.Date = class extends RealDate {
    constructor(...args) {
      super(...(args.length ? args : [EPOCH + now]));
    }
    static now() { return Math.floor(EPOCH + now); }
  };
  window.requestAnimationFrame = (call) => { animation.set(++lastId, call); return lastId; };
  window.cancelAnimationFrame = (id) => { animation.delete(id); };
  const timer = (repeats) => (call, delay = 0, ...args) => {
    const wait = Math.max(1, +delay || 0);
    const run = typeof call === "function" ? () => call(...args) : () => (0, eval)(call);
    timers.set(++lastId, { due: now + wait, every: repeats ? wait : 0, call: run });
    return lastId;
  };
  window.setTimeout = timer(false);
  window.setInterval = timer(true);
  window.clearTimeout = window.clearInterval = (id) => { timers.delete(id); };

  // Let virtual time pass up to `until` ms: timers in the order in which they are due, then one animation frame.
  function passTime(until) {
    for (;;) {
      let next = null;
      for (const [id, t] of timers) {
        if (t.due <= until && (!next || t.due < next.due)) next = { id, due: t.due, ...{ every: t.every, call: t.call } };
      }
      if (!next) break;
      now = Math.max(now, next.due);
      if (next.every) timers.get(next.id).due += next.every;
      else timers.delete(next.id);
      next.call();
    }
    now = until;
    const calls = animation;
    animation = new Map();
    for (const call of calls.values()) call(now);
  }

  function playTicks(count, game) {
    for (let i = game.catchesUp ? count : 1; i <= count; i++) {
      ticks += game.catchesUp ? count : 1;
      passTime(ticks * game.tickMs);
    }
  }

  // ---- chance: the same for every episode
  let chance = 1;
  Math.random = () => { // mulberry32
    chance = (chance + 0x6d2b79f5) | 0;
    let t = Math.imul(chance ^ (chance >>> 15), 1 | chance);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };

  // ---- pictures
  const withoutWebGL = new Set(); // canvases that asked for it and got nothing
  const getContext = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, options) {
    const webgl = /webgl/.test(kind);
    const wish = webgl ? { preserveDrawingBuffer: true } : { willReadFrequently: true };
    const context = getContext.call(this, kind, { ...options, ...wish });
    if (context) withoutWebGL.delete(this); // it has fallen back to 2D
    else if (webgl) withoutWebGL.add(this);
    return context;
  };

  // Returns a function that reads the canvas as 96 x 96 RGBA bytes.
  function reader(canvas) {
    if (canvas.width === SIZE && canvas.height === SIZE) {
      const context = canvas.getContext("2d");
      if (context) return () => context.getImageData(0, 0, SIZE, SIZE).data;
    }
    const small = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
    const context = small.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.fillStyle = "white"; // what a page shows behind a canvas that is not opaque
    return () => {
      context.fillRect(0, 0, SIZE, SIZE);
      context.drawImage(canvas, 0, 0, SIZE, SIZE);
      return context.getImageData(0, 0, SIZE, SIZE).data;
    };
  }

  // ---- keys
  const held = new Set();
  function hold(key, down) {
    if (down === held.has(key)) return;
    if (down) held.add(key);
    else held.delete(key);
    const code = /^[a-z]$/.test(key) ? `Key${key.toUpperCase()}` : key;
    const target = document.activeElement || document.body;
    target.dispatchEvent(new KeyboardEvent(down ? "keydown" : "keyup",
      { key: key === "Space" ? " " : key, code, bubbles: true, cancelable: true }));
  }

  window.recorder = {
    SIZE,
    game: null,

    // Is the page ready to be played? Words that say what is missing, or "" if nothing is.
    problem(selector) {
      const canvas = document.querySelector(selector);
      if (!canvas) return `the page has no canvas ${selector}: check canvas in the game's description`;
      if (!(canvas instanceof HTMLCanvasElement)) return `${selector} is not a canvas: check canvas in the game's description`;
      if (withoutWebGL.has(canvas)) return "the page asks for WebGL and this browser has none: run  playwright install chromium";
      return "";
    },

    // Play keys[t] (rows of 0 and 1) from a fresh life and post frames, pose, score and restart as one block of bytes.
    async play({ keys, ticksPerFrame, address }) {
      const { game } = this;
      const T = keys.length, canvas = document.querySelector(game.canvas), read = reader(canvas);
      const poseSize = game.pose ? game.pose().length : 0;
      const words = T * (poseSize + (game.score ? 1 : 0));
      const bytes = new ArrayBuffer(4 * words + T * SIZE * SIZE * 3 + T);
      const pose = new Float32Array(bytes, 0, T * poseSize);
      const score = new Float32Array(bytes, 4 * T * poseSize, game.score ? T : 0);
      const frames = new Uint8Array(bytes, 4 * words, T * SIZE * SIZE * 3);
      const restart = new Uint8Array(bytes, 4 * words + frames.length, T);
      const names = game.keys;
      chance = 1;
      for (const key of names) hold(key, false);
      let fresh = true, i = 0;
      for (let t = 0; t < T; t++) {
        if (fresh) game.restart();
        if (t > 0) names.forEach((key, k) => hold(key, Boolean(keys[t - 1][k])));
        playTicks(ticksPerFrame, game);
        restart[t] = fresh;
        const rgba = read();
        for (let j = 0; j < rgba.length; j += 4) {
          frames[i++] = rgba[j];
          frames[i++] = rgba[j + 1];
          frames[i++] = rgba[j + 2];
        }
        if (poseSize) {
          const numbers = game.pose();
          if (numbers.length !== poseSize || poseSize % 3) {
            throw new Error(`pose gives ${numbers.length} numbers, not x, y, angle of always the same bodies`);
          }
          pose.set(numbers, t * poseSize);
        }
        if (game.score) score[t] = game.score();
        fresh = Boolean(game.over());
      }
      await post(address, { method: "POST", body: new Blob([bytes]) });
      return poseSize;
    },
  };
})();
