// Runs in the page after clock.js and input.js, before the game's own scripts: takes over its canvas context.
// recorder.play() runs an episode and posts all of it.
"use strict";
(() => {
  delete window.RTCPeerConnection; // it would reach hosts that the game's description does not allow
  delete window.webkitRTCPeerConnection;
  const SIZE = 96;
  const BEGIN = 1000;     // ms: recording begins at a multiple of it, whatever the loading took
  const SETTLE = 1500;    // ms after a restart in which the last life's remains leave the screen
  const LONGEST = 30_000; // ms that skip_until may take
  const { clock, input } = window.recorder;
  const post = window.fetch.bind(window);
  let ticks = 0;

  // ---- what would wait for a person, or leave the page
  window.alert = window.print = () => {};
  window.confirm = () => true;
  window.prompt = (_, answer = "") => answer;
  window.open = () => null;

  // ---- the description
  // A field of it as a function. It runs in strict mode, where a name that the page does not have is an error.
  function compile(field, code, ...names) {
    const named = (work) => {
      try {
        return work();
      } catch (error) {
        throw new Error(`${field}: ${error}`);
      }
    };
    const run = named(() => new Function(...names, `"use strict"; { ${code}\n; }`));
    return (...values) => named(() => run(...values));
  }

  function describe(game) {
    const expression = (field) => game[field] && compile(field, `return (${game[field]}\n)`);
    const statement = (field) => compile(field, game[field], "press", "click");
    const { press, click } = input, start = statement("start"), restart = statement("restart");
    return { ...game, start: () => start(press, click), restart: () => restart(press, click),
      over: expression("over"), skip_until: expression("skip_until"), pose: expression("pose"),
      score: expression("score"), draw: compile("draw", game.draw, "on") };
  }

  // The times at which `count` ticks end.
  function* tickEnds(count, game) {
    for (let i = game.catches_up ? count : 1; i <= count; i++) {
      ticks += game.catches_up ? count : 1;
      yield window.recorder.beginTime + ticks * game.tick;
    }
  }

  function playTicks(count, game) {
    for (const end of tickEnds(count, game)) clock.pass(end);
  }

  async function playTicksAwaiting(count, game) {
    for (const end of tickEnds(count, game)) {
      if (game.repeats) input.repeat(end);
      await clock.passAwaiting(end);
    }
  }

  // ---- frames
  const webgl = new Map(); // canvas -> its WebGL context, or null if the browser has none
  const inWorker = new WeakSet(), transfer = HTMLCanvasElement.prototype.transferControlToOffscreen;
  HTMLCanvasElement.prototype.transferControlToOffscreen = function () {
    inWorker.add(this);
    return transfer.call(this);
  };
  const getContext = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, options) {
    const isWebGL = /webgl/.test(kind);
    const fixed = isWebGL ? { preserveDrawingBuffer: true, antialias: false } : { willReadFrequently: true };
    const context = getContext.call(this, kind, { ...options, ...fixed });
    if (isWebGL) webgl.set(this, context ?? webgl.get(this) ?? null);
    else if (context) webgl.delete(this); // the game has fallen back to 2D
    return context;
  };

  // A picture that is drawn smaller comes from the browser's cache of decoded pictures, whose pixels depend on what was
  // drawn before: so a copy of it is drawn. (Not of an SVG, which is drawn sharp at any size.)
  const copies = new WeakMap(); // image -> { source, canvas }
  function copyOf(image) {
    const isReady = image instanceof HTMLImageElement && image.complete && image.naturalWidth;
    if (!isReady || /^data:image\/svg|\.svg\b/i.test(image.currentSrc)) return image;
    if (copies.get(image)?.source !== image.currentSrc) {
      const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
      drawImage.call(canvas.getContext("2d", { willReadFrequently: true }), image, 0, 0);
      copies.set(image, { source: image.currentSrc, canvas });
    }
    return copies.get(image).canvas;
  }
  const { drawImage } = OffscreenCanvasRenderingContext2D.prototype;
  for (const { prototype } of [CanvasRenderingContext2D, OffscreenCanvasRenderingContext2D]) {
    for (const name of ["drawImage", "createPattern"]) {
      const draw = prototype[name];
      prototype[name] = function (image, ...rest) { return draw.call(this, copyOf(image), ...rest); };
    }
  }

  // What is seen through a transparent canvas: its colour over those of what it lies in, over white.
  function paintBehind(context, element) {
    const colours = [];
    for (let at = element; at; at = at.parentElement) colours.unshift(getComputedStyle(at).backgroundColor);
    for (const colour of ["white", ...colours]) {
      context.fillStyle = colour;
      context.fillRect(0, 0, SIZE, SIZE);
    }
  }

  function isOpaque(rgba) {
    for (let i = 3; i < rgba.length; i += 4) if (rgba[i] < 255) return false;
    return true;
  }

  // A reader of frames: aim(n) is called before frame n of a batch is drawn, read(frames, start, first, last) after
  // frame `last` is. It writes frames `first` to `last` of the batch as 96 x 96 RGB bytes from frames[start] on.

  // Any canvas, or several over each other: one frame in a batch. They are looked up for every frame, as a game may
  // replace them.
  function canvasReader(selector) {
    const small = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
    const context = small.getContext("2d");
    context.imageSmoothingQuality = "high";
    const pixels = (from) => from.getImageData(0, 0, SIZE, SIZE).data;
    function read(frames, start) {
      const canvases = document.querySelectorAll(selector), [first] = canvases;
      const isOne = canvases.length === 1 && first.width === SIZE && first.height === SIZE;
      const own = isOne && first.getContext("2d"); // none if the game draws in another way
      let rgba = own && pixels(own); // as it is
      if (!rgba || !isOpaque(rgba)) {
        paintBehind(context, first);
        for (const canvas of canvases) context.drawImage(canvas, 0, 0, SIZE, SIZE);
        rgba = pixels(context);
      }
      for (let i = start, j = 0; j < rgba.length; j += 4) {
        frames[i++] = rgba[j];
        frames[i++] = rgba[j + 1];
        frames[i++] = rgba[j + 2];
      }
    }
    return { batch: 1, aim() {}, read };
  }

  // WebGL: the game draws into a tile of one large framebuffer instead of its canvas. A tile is `supersample`
  // times as wide and high as a frame. A batch of tiles is read at once: while the GPU draws them, the next
  // ticks are computed.
  function tileReader(canvas, gl, supersample) {
    const side = SIZE * supersample, columns = 8, rows = 4, samples = supersample ** 2;
    const width = columns * side, height = rows * side;
    const words = new Uint32Array(width * height); // one RGBA pixel each
    const bytes = new Uint8Array(words.buffer);
    const mean = Uint8Array.from({ length: 255 * samples + 1 }, (_, sum) => Math.round(sum / samples));

    const view = { box: gl.getParameter(gl.VIEWPORT) }, clip = { box: gl.getParameter(gl.SCISSOR_BOX) };
    const real = {}; // the functions of gl that are replaced below
    const draws = [gl, gl.getExtension("ANGLE_instanced_arrays")].flatMap((owner) => {
      const names = [];
      for (const name in owner) if (/^(draw(Arrays|Elements|Range)|clear$)/.test(name)) names.push([owner, name]);
      return names;
    });
    for (const name of ["viewport", "scissor", "enable", "disable", "bindFramebuffer"]) real[name] = gl[name].bind(gl);
    let clips = gl.isEnabled(gl.SCISSOR_TEST), target = null, left = 0, bottom = 0, drawn = false;

    // The framebuffer of the tiles
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

    // The death of the GPU process is reported late, and until then readPixels() silently does nothing: so a
    // known texel is read after every batch. If it arrives, so did everything that was read before it.
    const mark = gl.createTexture(), marked = gl.createFramebuffer(), texel = new Uint8Array(4);
    const known = new Uint8Array([51, 102, 153, 255]);
    gl.bindTexture(gl.TEXTURE_2D, mark);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, known);
    gl.bindTexture(gl.TEXTURE_2D, before);
    real.bindFramebuffer(gl.FRAMEBUFFER, marked);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, mark, 0);
    real.bindFramebuffer(gl.FRAMEBUFFER, tiles);

    // The game's calls, moved into the tile unless it draws into a framebuffer of its own
    const x = side / canvas.width, y = side / canvas.height;
    const inTile = (box) => [left + box[0] * x, bottom + box[1] * y, box[2] * x, box[3] * y].map(Math.round);
    function apply() {
      real.viewport(...(target ? view.box : inTile(view.box)));
      real.scissor(...(target ? clip.box : clips ? inTile(clip.box) : [left, bottom, side, side]));
      (clips || !target ? real.enable : real.disable)(gl.SCISSOR_TEST);
    }
    gl.viewport = (...box) => { view.box = box; apply(); };
    gl.scissor = (...box) => { clip.box = box; apply(); };
    for (const [name, on] of [["enable", true], ["disable", false]]) {
      gl[name] = (what) => {
        if (what !== gl.SCISSOR_TEST) { real[name](what); return; }
        clips = on;
        apply();
      };
    }
    gl.bindFramebuffer = (point, buffer) => {
      if (point !== gl.READ_FRAMEBUFFER) target = buffer;
      real.bindFramebuffer(point, buffer || tiles);
      apply();
    };
    for (const [owner, name] of draws) {
      const draw = owner[name].bind(owner);
      owner[name] = (...args) => { drawn = true; draw(...args); };
    }

    function aim(n) {
      if (n > 0 && !drawn) throw new Error('hook WebGL: a frame was not drawn: write  webgl = "shown"');
      left = n % columns * side;
      bottom = Math.floor(n / columns) * side;
      drawn = false;
      apply();
    }

    function read(frames, start, first, last) {
      const low = Math.floor(first / columns) * side, high = Math.floor(last / columns + 1) * side;
      if (!drawn) throw new Error("hook WebGL: the game draws nothing with the context that it requested");
      real.bindFramebuffer(gl.FRAMEBUFFER, tiles);
      gl.readPixels(0, low, width, high - low, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
      real.bindFramebuffer(gl.FRAMEBUFFER, marked);
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, texel.fill(0));
      real.bindFramebuffer(gl.FRAMEBUFFER, target || tiles);
      if (texel.join() !== known.join()) throw new Error("WebGL context lost");
      for (let tile = first, i = start; tile <= last; tile++) {
        const corner = (Math.floor(tile / columns) * side - low) * width + tile % columns * side;
        for (let row = SIZE - 1; row >= 0; row--) { // WebGL counts rows from the bottom
          for (let column = 0; column < SIZE; column++) {
            let redBlue = 0, green = 0; // redBlue: two sums in one number
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

  // ---- playing
  async function newLife(game, ticksPerFrame) {
    window.recorder.left = false;
    game.restart();
    while (clock.isBusy) await clock.rest(); // time stands still for what it decodes
    for (let left = LONGEST; game.skip_until && !game.skip_until(); left -= ticksPerFrame * game.tick) {
      if (left < 0) throw new Error(`skip_until is not true ${LONGEST / 1000} s after restart`);
      input.hold(game.keys);
      await playTicksAwaiting(ticksPerFrame, game);
    }
  }

  // Play rows of keys from a fresh life -> yields t, whether it is the first of a life, of each frame, which is
  // played when the next one is asked for. before(t) is called before frame t.
  async function* playFrames(game, keys, ticksPerFrame, before = () => {}) {
    input.hold(game.keys);
    let fresh = true;
    for (let t = 0; t < keys.length; t++) {
      before(t);
      if (fresh) await newLife(game, ticksPerFrame);
      if (t > 0) input.hold(game.keys, keys[t - 1]);
      await playTicksAwaiting(ticksPerFrame, game);
      yield [t, fresh];
      fresh = Boolean(game.over());
    }
  }

  Object.assign(window.recorder, {
    game: null,
    reader: null,
    beginTime: Infinity,
    left: false, // has the page tried to reload or to go elsewhere in this life?

    // The game's description: class Game of capture/games.py.
    describe(game) {
      this.game = describe(game);
      // Rounded up to a number of which multiples are exact: a tick always lasts as long, and never too short
      this.game.tick = Math.ceil(game.tick_ms * 2 ** 20) / 2 ** 20;
    },

    // Is the expression true? If not, let `ms` of virtual time pass, and a moment of real time, for loading.
    async wait(expression, ms) {
      const isTrue = compile(expression, `return Boolean(${expression}\n)`);
      if (isTrue()) return true;
      for (const end = Math.min(clock.now + ms, this.beginTime); clock.now < end && !clock.isBusy;) {
        await clock.passAwaiting(Math.min(clock.now + 16, end));
      }
      await clock.rest();
      return isTrue();
    },

    // What keeps the canvas from being recorded, or "".
    problem(selector, needsWebGL) {
      const canvases = [...document.querySelectorAll(selector)], [canvas] = canvases;
      const frames = document.querySelectorAll("iframe"), hasWebGL = canvases.some((one) => webgl.has(one));
      if (!canvas && frames.length) {
        return `the page has no canvas ${selector}, but ${frames.length} iframe: write its address, ` +
          `${frames[0].src}, as url`;
      }
      if (!canvas) return `the page has no canvas ${selector}: check canvas in the game's description`;
      if (!(canvas instanceof HTMLCanvasElement)) {
        return `${selector} is not a canvas: check canvas in the game's description`;
      }
      if (inWorker.has(canvas)) return "the game draws in a worker, which cannot be recorded";
      if (canvases.some((one) => webgl.get(one) === null)) {
        return "the page asks for WebGL and this browser has none: run  playwright install chromium";
      }
      if (hasWebGL && !needsWebGL) {
        return "the page draws with WebGL: write  webgl = True  in the game's description";
      }
      if (needsWebGL && !hasWebGL) {
        return `hook WebGL: the canvas ${selector} never asked for a WebGL context`;
      }
      return "";
    },

    // For hooks: play a fresh life for some ticks with these keys held.
    try(keys, ticks) {
      const { game } = this;
      game.draw(false);
      input.hold(game.keys);
      game.restart();
      input.hold(game.keys, game.keys.map((key) => keys.includes(key)));
      playTicks(ticks, game);
    },

    shape(selector) { // null if there is no canvas yet
      const canvas = document.querySelector(selector);
      return canvas && [canvas.width, canvas.height];
    },

    // After start: take over the canvas, and say when recording begins: half a tick beside a round time, as the game's
    // own ticks may end at those.
    begin(supersample) {
      const { game } = this, [canvas, ...more] = document.querySelectorAll(game.canvas), gl = webgl.get(canvas);
      if (canvas.tabIndex >= 0) canvas.focus(); // a person would click it
      window.navigation?.addEventListener("navigate", (event) => { // a life may end with a reload
        if (event.destination.sameDocument && event.navigationType !== "reload") return;
        event.preventDefault();
        this.left = true;
      });
      const inTiles = gl && game.webgl !== "shown" && !more.length;
      this.reader = inTiles ? tileReader(canvas, gl, supersample) : canvasReader(game.canvas);
      this.beginTime = Math.ceil((clock.now + 1) / BEGIN) * BEGIN + game.tick / 2;
    },

    // Play keys[t] (rows of 0 and 1) from a fresh life; post pose, score, frames, restart and over of all but
    // the first `skip` frames as one block of bytes.
    async play(job) {
      const episode = this.record(job);
      for (let t = job.skip; t < job.keys.length; t++) await episode.next();
      await this.finish(job.address, { episode });
    },

    // The same, but keys are only known from frame to frame: begin an episode of so many frames, ...
    open({ frames, ticksPerFrame }) {
      const keys = Array.from({ length: frames }, () => []);
      this.live = { keys, t: 0, episode: this.record({ keys, skip: 0, ticksPerFrame, atOnce: 1 }) };
    },

    // ... then give the keys held since the last frame, get the next one: {rgb: base64, restart}, ...
    async step(keys) {
      const { live } = this;
      if (live.t > 0) live.keys[live.t - 1] = keys;
      live.t += 1;
      const { frames, restart, t } = (await live.episode.next()).value;
      const rgb = String.fromCharCode(...frames.subarray(t * SIZE * SIZE * 3, (t + 1) * SIZE * SIZE * 3));
      return { rgb: btoa(rgb), restart: Boolean(restart[t]) };
    },

    // ... and after the last one, post all of it as play() does.
    async finish(address, { episode } = this.live) {
      const { value } = await episode.next();
      await post(address, { method: "POST", body: new Blob([value]) });
    },

    // An episode -> yields {t, frames, restart} after each frame, returns its bytes. atOnce: frames that
    // are read at once, as many as the reader can by default. A tile's place may change a pixel by a level, so frame
    // t is always drawn into the same tile.
    async *record({ keys, skip, ticksPerFrame, atOnce = this.reader.batch }) {
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
      game.draw(false);
      input.hold(game.keys);
      if (!game.fresh) { // playFrames() begins a life anyway: so a menu's key is pressed only once on a fresh page
        await newLife(game, ticksPerFrame);
        for (let left = SETTLE; left > 0; left -= ticksPerFrame * game.tick) {
          await playTicksAwaiting(ticksPerFrame, game);
        }
      }
      clock.seed();
      const aim = (t) => {
        if (t === skip) game.draw(true);
        if (t >= skip) reader.aim((t - skip) % reader.batch);
      };
      for await (const [t, fresh] of playFrames(game, keys, ticksPerFrame, aim)) {
        const n = t - skip;
        if (n < 0) continue;
        const waiting = n % atOnce, slot = n % reader.batch;
        if (waiting === atOnce - 1 || n === T - 1) {
          reader.read(frames, (n - waiting) * SIZE * SIZE * 3, slot - waiting, slot);
        }
        restart[n] = fresh;
        over[n] = Boolean(game.over());
        if (poseSize) {
          const numbers = game.pose();
          if (numbers.length !== poseSize || poseSize % 3) {
            throw new Error(`pose gives ${numbers.length} numbers, not x, y, angle of the same bodies`);
          }
          pose.set(numbers, n * poseSize);
        }
        if (game.score) score[n] = game.score();
        yield { t: n, frames, restart };
      }
      return bytes;
    },

    // Play each list of keys without drawing, until the life or the list ends, or the score has not grown for
    // `stall` frames -> for each its scores by frame and every tenth pose. Some thousand ticks a second.
    async run({ lists, ticksPerFrame, stall }) {
      const { game } = this, lives = [];
      game.draw(false);
      for (const keys of lists) {
        const life = { scores: [], poses: [] };
        let best = -Infinity, bestFrame = 0;
        clock.seed();
        for await (const [t] of playFrames(game, keys, ticksPerFrame)) {
          const score = game.score();
          life.scores.push(score);
          if (score > best) [best, bestFrame] = [score, t];
          if (game.pose && t % 10 === 0) life.poses.push(game.pose());
          if (game.over() || t - bestFrame > stall) break;
        }
        lives.push(life);
      }
      return lives;
    },
  });
})();
