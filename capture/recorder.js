// Runs in the page before the game's own scripts: time, chance and the picture are ours.
//
// performance.now, Date, requestAnimationFrame and timers only move when a tick is played, so a frame is an exact
// number of ticks whatever the machine's speed. recorder.play() runs a whole episode and posts it in one piece.
"use strict";
(() => {
  const SIZE = 96, EPOCH = 1.7e12;
  const post = window.fetch.bind(window), realTimeout = window.setTimeout.bind(window);
  const realNow = performance.now.bind(performance);
  let now = 0, began = 0, ticks = 0, lastId = 0;
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
    // biome-ignore lint/security/noGlobalEval: a timer may be given as text, which runs in the global scope
    const run = typeof call === "function" ? () => call(...args) : () => globalThis.eval(call);
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
      passTime(began + ticks * game.tickMs);
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
  const webgl = new Map(); // canvas -> its WebGL context, or null where the browser has none
  const getContext = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, options) {
    const solid = /webgl/.test(kind);
    const wish = solid ? { preserveDrawingBuffer: true, antialias: false } : { willReadFrequently: true };
    const context = getContext.call(this, kind, { ...options, ...wish });
    if (solid) webgl.set(this, context);
    else if (context) webgl.delete(this); // it has fallen back to 2D
    return context;
  };

  // A reader of frames: aim(n) comes before frame n of a batch is drawn, read(frames, start, n) after the n frames of
  // a batch are: it writes them as 96 x 96 RGB bytes from frames[start] on.

  function canvasReader(canvas) { // any canvas, one frame a batch
    let context = canvas.width === SIZE && canvas.height === SIZE && canvas.getContext("2d");
    const exact = Boolean(context);
    if (!exact) {
      context = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE }).getContext("2d");
      context.imageSmoothingQuality = "high";
      context.fillStyle = "white"; // what a page shows behind a canvas that is not opaque
    }
    function read(frames, start) {
      if (!exact) {
        context.fillRect(0, 0, SIZE, SIZE);
        context.drawImage(canvas, 0, 0, SIZE, SIZE);
      }
      const rgba = context.getImageData(0, 0, SIZE, SIZE).data;
      for (let i = start, j = 0; j < rgba.length; j += 4) {
        frames[i++] = rgba[j];
        frames[i++] = rgba[j + 1];
        frames[i++] = rgba[j + 2];
      }
    }
    return { batch: 1, aim() {}, read };
  }

  // WebGL: what the game takes for its canvas is a tile of one large framebuffer of ours, `supersample` times as wide
  // and high as a frame. A batch of tiles is read back at once: while they are painted, the next ticks are computed.
  function tileReader(canvas, gl, supersample) {
    const side = SIZE * supersample, columns = 8, rows = 4, samples = supersample ** 2;
    const width = columns * side, height = rows * side;
    const words = new Uint32Array(width * height); // one RGBA pixel each
    const bytes = new Uint8Array(words.buffer);
    const mean = Uint8Array.from({ length: 255 * samples + 1 }, (_, sum) => Math.round(sum / samples));

    const view = { box: gl.getParameter(gl.VIEWPORT) }, clip = { box: gl.getParameter(gl.SCISSOR_BOX) };
    const real = {};
    for (const name of ["viewport", "scissor", "enable", "disable", "bindFramebuffer", "drawArrays", "drawElements"]) {
      real[name] = gl[name].bind(gl);
    }
    let clips = gl.isEnabled(gl.SCISSOR_TEST), target = null, left = 0, bottom = 0, drawn = false;

    const texture = gl.createTexture(), before = gl.getParameter(gl.TEXTURE_BINDING_2D);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.bindTexture(gl.TEXTURE_2D, before);
    const depth = gl.createRenderbuffer(), tiles = gl.createFramebuffer();
    gl.bindRenderbuffer(gl.RENDERBUFFER, depth);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_STENCIL, width, height);
    gl.bindRenderbuffer(gl.RENDERBUFFER, null);
    real.bindFramebuffer(gl.FRAMEBUFFER, tiles);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_STENCIL_ATTACHMENT, gl.RENDERBUFFER, depth);

    // A dead GPU process is told of only later, and until then readPixels() quietly changes nothing: so a texel of ours
    // is read behind every batch. If that comes back, whatever was read before it did too.
    const mark = gl.createTexture(), marked = gl.createFramebuffer(), texel = new Uint8Array(4);
    gl.bindTexture(gl.TEXTURE_2D, mark);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array([51, 102, 153, 255]));
    gl.bindTexture(gl.TEXTURE_2D, before);
    real.bindFramebuffer(gl.FRAMEBUFFER, marked);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, mark, 0);
    real.bindFramebuffer(gl.FRAMEBUFFER, tiles);

    const x = side / canvas.width, y = side / canvas.height;
    const inTile = (box) => [left + box[0] * x, bottom + box[1] * y, box[2] * x, box[3] * y].map(Math.round);
    function apply() {
      real.viewport(...(target ? view.box : inTile(view.box)));
      real.scissor(...(target ? clip.box : clips ? inTile(clip.box) : [left, bottom, side, side]));
      (clips || !target ? real.enable : real.disable)(gl.SCISSOR_TEST);
    }
    gl.viewport = (...box) => { view.box = box; apply(); };
    gl.scissor = (...box) => { clip.box = box; apply(); };
    gl.enable = (what) => { if (what === gl.SCISSOR_TEST) { clips = true; apply(); } else real.enable(what); };
    gl.disable = (what) => { if (what === gl.SCISSOR_TEST) { clips = false; apply(); } else real.disable(what); };
    gl.bindFramebuffer = (point, buffer) => { target = buffer; real.bindFramebuffer(point, buffer || tiles); apply(); };
    gl.drawArrays = (...args) => { drawn = true; real.drawArrays(...args); };
    gl.drawElements = (...args) => { drawn = true; real.drawElements(...args); };

    function aim(n) {
      left = n % columns * side;
      bottom = Math.floor(n / columns) * side;
      drawn = false;
      apply();
    }

    function read(frames, start, n) {
      if (!drawn) throw new Error("hook WebGL: the game draws nothing with the context it asked for");
      real.bindFramebuffer(gl.FRAMEBUFFER, tiles);
      gl.readPixels(0, 0, width, Math.ceil(n / columns) * side, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
      real.bindFramebuffer(gl.FRAMEBUFFER, marked);
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, texel.fill(0));
      real.bindFramebuffer(gl.FRAMEBUFFER, target || tiles);
      if (texel.join() !== "51,102,153,255") throw new Error("WebGL context lost");
      for (let tile = 0, i = start; tile < n; tile++) {
        const corner = Math.floor(tile / columns) * side * width + tile % columns * side;
        for (let row = SIZE - 1; row >= 0; row--) { // WebGL counts from the bottom
          for (let column = 0; column < SIZE; column++) {
            let redBlue = 0, green = 0; // sums of two colours in one number
            for (let v = 0; v < supersample; v++) {
              let word = corner + (row * supersample + v) * width + column * supersample;
              for (let u = 0; u < supersample; u++, word++) {
                redBlue += words[word] & 0xff00ff;
                green += (words[word] >> 8) & 0xff;
              }
            }
            frames[i++] = mean[redBlue & 0xffff];
            frames[i++] = mean[green];
            frames[i++] = mean[redBlue >>> 16];
          }
        }
      }
    }
    return { batch: columns * rows, aim, read };
  }

  // ---- keys
  const held = new Set();
  const CODES = { ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40, Space: 32, Enter: 13, Escape: 27,
    ShiftLeft: 16, ShiftRight: 16, ControlLeft: 17, ControlRight: 17, AltLeft: 18, AltRight: 18 }; // for games that still read keyCode
  function hold(key, down) {
    if (down === held.has(key)) return;
    if (down) held.add(key);
    else held.delete(key);
    const code = /^[a-z]$/i.test(key) ? `Key${key.toUpperCase()}` : /^\d$/.test(key) ? `Digit${key}` : key;
    const keyCode = key.length === 1 ? key.toUpperCase().charCodeAt(0) : CODES[key] || 0;
    const event = new KeyboardEvent(down ? "keydown" : "keyup", { code, keyCode, which: keyCode, bubbles: true,
      cancelable: true, key: key === "Space" ? " " : key.replace(/^(Shift|Control|Alt|Meta)(Left|Right)$/, "$1") });
    (document.activeElement || document.body).dispatchEvent(event);
  }

  // ---- playing
  const SETTLE = 1500; // ms between two episodes: what lingers on the screen after a restart is gone by then
  const letGo = (game) => { for (const key of game.keys) hold(key, false); };
  const draw = (game, on) => { if (game.draw) game.draw(on); };

  // Play rows of keys from a fresh life: each(t, fresh) is told of every frame t, and ends the play by returning true.
  function playFrames(game, keys, ticksPerFrame, each, before = () => {}) {
    letGo(game);
    let fresh = true;
    for (let t = 0; t < keys.length; t++) {
      before(t);
      if (fresh) game.restart();
      if (t > 0) for (const [k, key] of game.keys.entries()) hold(key, Boolean(keys[t - 1][k]));
      playTicks(ticksPerFrame, game);
      if (each(t, fresh)) return;
      fresh = Boolean(game.over());
    }
  }

  window.recorder = {
    SIZE,
    game: null,
    reader: null,

    // Let the page's own clock run until the expression is true, for at most `patience` ms. Returns whether it is.
    async ready(expression, patience) {
      const isReady = new Function(`return (${expression});`), end = realNow() + patience;
      while (!isReady()) {
        if (realNow() > end) return false;
        passTime(now + 16);
        await new Promise((done) => { realTimeout(done, 4); });
      }
      return true;
    },

    // Can the canvas be played? Words that say what is missing, or "" if nothing is.
    problem(selector, wantsWebGL) {
      const canvas = document.querySelector(selector);
      if (!canvas) return `the page has no canvas ${selector}: check canvas in the game's description`;
      if (!(canvas instanceof HTMLCanvasElement)) return `${selector} is not a canvas: check canvas in the game's description`;
      if (webgl.get(canvas) === null) return "the page asks for WebGL and this browser has none: run  playwright install chromium";
      if (webgl.has(canvas) && !wantsWebGL) return "the page draws with WebGL: write  webgl = True  in the game's description";
      if (wantsWebGL && !webgl.has(canvas)) return `hook WebGL: the canvas ${selector} never asked for a WebGL context`;
      return "";
    },

    // For hooks: a fresh life of so many ticks with these keys held.
    try(keys, ticks) {
      const { game } = this;
      draw(game, false);
      letGo(game);
      game.restart();
      for (const key of keys) hold(key, true);
      playTicks(ticks, game);
    },

    shape(selector) {
      const { width, height } = document.querySelector(selector);
      return [width, height];
    },

    begin(game, supersample) {
      const canvas = document.querySelector(game.canvas);
      this.game = game;
      began = now;
      this.reader = webgl.has(canvas) ? tileReader(canvas, webgl.get(canvas), supersample) : canvasReader(canvas);
    },

    // Play keys[t] (rows of 0 and 1) from a fresh life; post pose, score, frames, restart and over of all but the
    // first `skip` frames as one block of bytes.
    async play({ keys, skip, ticksPerFrame, address }) {
      const { game, reader } = this;
      const T = keys.length - skip;
      const poseSize = game.pose ? game.pose().length : 0;
      const words = T * (poseSize + (game.score ? 1 : 0));
      const bytes = new ArrayBuffer(4 * words + T * SIZE * SIZE * 3 + 2 * T);
      const pose = new Float32Array(bytes, 0, T * poseSize);
      const score = new Float32Array(bytes, 4 * T * poseSize, game.score ? T : 0);
      const frames = new Uint8Array(bytes, 4 * words, T * SIZE * SIZE * 3);
      const restart = new Uint8Array(bytes, 4 * words + frames.length, T);
      const over = new Uint8Array(bytes, 4 * words + frames.length + T, T);
      draw(game, false);
      letGo(game);
      game.restart();
      for (let left = SETTLE; left > 0; left -= ticksPerFrame * game.tickMs) playTicks(ticksPerFrame, game);
      chance = 1;
      playFrames(game, keys, ticksPerFrame, (t, fresh) => {
        const n = t - skip;
        if (n < 0) return;
        const slot = n % reader.batch;
        if (slot === reader.batch - 1 || n === T - 1) reader.read(frames, (n - slot) * SIZE * SIZE * 3, slot + 1);
        restart[n] = fresh;
        over[n] = Boolean(game.over());
        if (poseSize) {
          const numbers = game.pose();
          if (numbers.length !== poseSize || poseSize % 3) {
            throw new Error(`pose gives ${numbers.length} numbers, not x, y, angle of always the same bodies`);
          }
          pose.set(numbers, n * poseSize);
        }
        if (game.score) score[n] = game.score();
      }, (t) => {
        if (t === skip) draw(game, true);
        if (t >= skip) reader.aim((t - skip) % reader.batch);
      });
      await post(address, { method: "POST", body: new Blob([bytes]) });
      return poseSize;
    },

    // Play each list of keys without drawing, until its life or the list ends or its score has not grown for `stall`
    // frames -> for each its scores a frame and some of its poses. For searching: some thousand ticks a second.
    run({ lists, ticksPerFrame, stall }) {
      const { game } = this;
      draw(game, false);
      return lists.map((keys) => {
        const life = { scores: [], poses: [] };
        let best = -Infinity, grown = 0;
        chance = 1;
        playFrames(game, keys, ticksPerFrame, (t) => {
          const score = game.score();
          life.scores.push(score);
          if (score > best) [best, grown] = [score, t];
          if (game.pose && t % 10 === 0) life.poses.push(game.pose());
          return game.over() || t - grown > stall;
        });
        return life;
      });
    },
  };
})();
