// Runs in the page before the game's own scripts: a clock that only moves when a tick is played, so that a frame is an
// exact number of ticks whatever the machine's speed, and random numbers that are the same in every episode.
"use strict";
(() => {
  const EPOCH = 1.7e12;
  const PROMISES = 4; // promises in a row that may wait for each other
  const realTimeout = window.setTimeout.bind(window);
  let now = 0, lastId = 0, frames = new Map(), running = frames; // the second: those of this drawing
  const timers = new Map(); // id -> { due, every, call }
  const waits = new Set();  // ms that the page's timers have waited, for a first description

  // ---- what tells the time
  performance.now = () => now;
  const RealDate = Date;
  window.Date = new Proxy(RealDate, {
    construct: (_, args, as) => Reflect.construct(RealDate, args.length ? args : [EPOCH + now], as),
    apply: () => String(new Date()),
  });
  RealDate.prototype.constructor = window.Date;
  Date.now = () => Math.floor(EPOCH + now);
  const defineGetter = (owner, name, get) => Object.defineProperty(owner.prototype, name, { configurable: true, get });
  defineGetter(Performance, "timeOrigin", () => EPOCH);
  defineGetter(Event, "timeStamp", () => now);
  defineGetter(AnimationTimeline, "currentTime", () => now);
  defineGetter(AudioContext, "currentTime", () => now / 1000);

  // ---- what waits for a time
  window.requestAnimationFrame = (call) => { frames.set(++lastId, call); return lastId; };
  window.cancelAnimationFrame = (id) => { frames.delete(id); running.delete(id); };
  const timer = (repeats) => (call, delay = 0, ...args) => {
    const wait = Math.max(1, +delay || 0);
    // biome-ignore lint/security/noGlobalEval: a timer may be text, which runs in the global scope
    const work = typeof call === "function" ? () => call(...args) : () => globalThis.eval(call);
    timers.set(++lastId, { due: now + wait, every: repeats ? wait : 0, call: work });
    if (waits.size < 20 && wait >= 5 && wait <= 100) waits.add(wait); // what a tick may last
    return lastId;
  };
  window.setTimeout = timer(false);
  window.setInterval = timer(true);
  window.clearTimeout = window.clearInterval = window.cancelIdleCallback = (id) => { timers.delete(id); };
  window.requestIdleCallback = (call) => setTimeout(call, 1, { didTimeout: false, timeRemaining: () => 5 });
  if (window.scheduler) {
    scheduler.postTask = (call, { delay } = {}) => new Promise((done) => { setTimeout(() => done(call()), delay); });
    scheduler.yield = () => new Promise((done) => { setTimeout(done); });
  }

  // Messages that a page sends itself, to be called again at once, arrive after a millisecond.
  const deliver = (target, data, says) =>
    setTimeout(() => target.dispatchEvent(new MessageEvent("message", { data, ...says })));
  window.postMessage = (data) => deliver(window, structuredClone(data), { source: window, origin: location.origin });
  const others = new WeakMap(); // port -> the other one of its channel
  const { MessageChannel } = window, { postMessage } = MessagePort.prototype;
  window.MessageChannel = class extends MessageChannel {
    constructor() {
      super();
      others.set(this.port1, this.port2).set(this.port2, this.port1);
    }
  };
  MessagePort.prototype.postMessage = function (data, ...rest) {
    if (others.has(this)) deliver(others.get(this), structuredClone(data));
    else postMessage.call(this, data, ...rest);
  };

  // CSS animations, transitions and element.animate(): paused, and moved on with the clock. Their own events would
  // come late and are held back; the same are sent when it is time.
  const moving = new WeakSet();
  function tell(animation, what) { // Start, Iteration or End
    const { target } = animation.effect, { currentTime } = animation, elapsedTime = currentTime / 1000;
    const send = (Kind, name, says) => { // older pages listen to the second name
      for (const type of [name.toLowerCase(), `webkit${name}`]) {
        target.dispatchEvent(new Kind(type, { ...says, elapsedTime, bubbles: true }));
      }
    };
    if (animation instanceof CSSAnimation) {
      send(AnimationEvent, `Animation${what}`, { animationName: animation.animationName });
    } else if (animation instanceof CSSTransition) {
      send(TransitionEvent, `Transition${what}`, { propertyName: animation.transitionProperty });
    } else if (what === "End") {
      animation.dispatchEvent(new AnimationPlaybackEvent("finish", { currentTime }));
    }
  }

  function animate(passed) {
    for (const animation of document.getAnimations()) {
      const isNew = !moving.has(animation) && animation.playState === "running";
      if (animation.playState === "running") animation.pause();
      if (isNew) {
        animation.currentTime = 0;
        moving.add(animation);
        tell(animation, "Start");
      } else if (moving.has(animation)) {
        const time = animation.currentTime + passed * animation.playbackRate;
        const { endTime, currentIteration } = animation.effect.getComputedTiming();
        if (time < endTime) {
          animation.currentTime = time;
          if (animation.effect.getComputedTiming().currentIteration > currentIteration) tell(animation, "Iteration");
        } else {
          moving.delete(animation);
          animation.finish();
          tell(animation, "End");
        }
      }
    }
  }

  const holdBack = (event) => {
    if (!event.isTrusted) return;
    event.stopImmediatePropagation();
    animate(0); // one that has just begun
  };
  for (const kind of ["animationstart", "animationend", "animationiteration", "transitionrun", "transitionstart",
    "transitionend"]) addEventListener(kind, holdBack, true);
  const realAnimate = Element.prototype.animate;
  Element.prototype.animate = function (...args) {
    const animation = realAnimate.apply(this, args);
    animation.addEventListener("finish", holdBack);
    return animation;
  };

  // ---- random numbers
  let rng = 1;
  Math.random = () => { // mulberry32
    rng = (rng + 0x6d2b79f5) | 0;
    let t = Math.imul(rng ^ (rng >>> 15), 1 | rng);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  crypto.getRandomValues = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let i = 0; i < bytes.length; i++) bytes[i] = 256 * Math.random();
    return array;
  };

  crypto.randomUUID = () => "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx"
    .replace(/x/g, () => Math.floor(16 * Math.random()).toString(16));

  // ---- what takes real time beside the network: pictures, sounds and fonts that are decoded
  const PATIENCE = 250; // rests of 4 ms in which time stands still for one of them
  const works = new Map(); // promise or media element -> rests that are left to it
  for (const [owner, name] of [[BaseAudioContext.prototype, "decodeAudioData"], [window, "createImageBitmap"],
    [HTMLImageElement.prototype, "decode"], [FontFace.prototype, "load"], [WebAssembly, "instantiate"],
    [WebAssembly, "instantiateStreaming"]]) {
    const start = owner[name];
    owner[name] = function (...args) {
      const work = start.apply(this, args), ended = () => works.delete(work);
      works.set(work, PATIENCE);
      work.then(ended, ended);
      return work;
    };
  }
  const listen = EventTarget.prototype.addEventListener;
  HTMLMediaElement.prototype.addEventListener = function (...args) { // a page that waits for it listens to it
    works.set(this, PATIENCE);
    return listen.apply(this, args);
  };
  const isBusy = ([work, left]) => left > 0 && !work.error && work.networkState !== HTMLMediaElement.NETWORK_EMPTY &&
    work.readyState !== HTMLMediaElement.HAVE_ENOUGH_DATA;

  // ---- sounds: nobody hears them, and their time moves with the clock
  const sounds = new WeakMap(); // media element -> { at: s, since: ms, null while it is paused; timer: of its end; src }
  const { pause } = HTMLMediaElement.prototype;
  const lengthOf = (media) => media.duration || Infinity; // s, known once it has loaded
  const soundOf = (media) => {
    const sound = sounds.get(media);
    return sound?.src === media.src ? sound : { at: 0, since: null };
  };
  const isPaused = (media) => soundOf(media).since === null;
  function timeOf(media) {
    const { at, since } = soundOf(media);
    const time = since === null ? at : at + (now - since) / 1000 * media.playbackRate;
    return media.loop ? time % lengthOf(media) : Math.min(time, lengthOf(media));
  }
  function moveSound(media, at, plays) {
    clearTimeout(sounds.get(media)?.timer);
    const left = 1000 * (lengthOf(media) - at) / media.playbackRate, ends = plays && !media.loop && left < Infinity;
    const end = () => { moveSound(media, lengthOf(media), false); media.dispatchEvent(new Event("ended")); };
    if (!sounds.has(media)) {
      listen.call(media, "loadedmetadata", () => { if (!isPaused(media)) moveSound(media, timeOf(media), true); });
    }
    sounds.set(media, { at, since: plays ? now : null, timer: ends ? setTimeout(end, left) : 0, src: media.src });
  }
  defineGetter(HTMLMediaElement, "paused", function () { return isPaused(this); });
  defineGetter(HTMLMediaElement, "ended", function () { return isPaused(this) && timeOf(this) === lengthOf(this); });
  Object.defineProperty(HTMLMediaElement.prototype, "currentTime", {
    configurable: true, get() { return timeOf(this); }, set(at) { moveSound(this, at, !isPaused(this)); } });
  HTMLMediaElement.prototype.play = function () {
    if (isPaused(this)) {
      if (this.preload === "none" && !this.readyState) this.load();
      moveSound(this, this.ended ? 0 : timeOf(this), true);
      this.dispatchEvent(new Event("play"));
    }
    return Promise.resolve();
  };
  HTMLMediaElement.prototype.pause = function () {
    if (isPaused(this)) return;
    moveSound(this, timeOf(this), false);
    this.dispatchEvent(new Event("pause"));
  };
  addEventListener("play", (event) => { // of the attribute autoplay: by the clock, too
    if (!event.isTrusted) return;
    event.stopImmediatePropagation();
    pause.call(event.target);
    event.target.play();
  }, true);

  // ---- how it moves
  // Call a function of the page. An error in it is reported, and ends nothing else, as in a page that nobody records.
  function run(call, ...args) {
    try {
      call(...args);
    } catch (error) {
      reportError(error);
    }
  }

  // Let time pass until `until` ms: timers in the order of their due times, animations, then an animation frame. Yields
  // after each call of the page's functions.
  function* passing(until) {
    const before = now;
    for (;;) {
      let nextId = 0, next = null;
      for (const [id, t] of timers) {
        if (t.due <= until && (!next || t.due < next.due)) [nextId, next] = [id, t];
      }
      if (!next) break;
      now = Math.max(now, next.due);
      if (next.every) next.due += next.every;
      else timers.delete(nextId);
      run(next.call);
      yield;
    }
    now = until;
    animate(until - before);
    running = frames;
    frames = new Map();
    for (const call of running.values()) {
      run(call, now);
      yield;
    }
  }

  window.recorder = {
    clock: {
      get now() { return now; },
      get loop() { return { frames: frames.size > 0, waits: [...waits] }; },
      seed() { rng = 1; },

      pass(until) {
        for (const _ of passing(until));
      },

      // The same, with the game's promises: what it awaits is done before the next timer.
      async passAwaiting(until) {
        for (const _ of passing(until)) for (let n = 0; n < PROMISES; n++) await null;
      },

      get isBusy() { return [...works].some(isBusy); },

      // Let some real time pass, in which the page loads.
      rest() {
        for (const [work, left] of works) works.set(work, left - 1);
        return new Promise((done) => { realTimeout(done, 4); });
      },
    },
  };
})();
