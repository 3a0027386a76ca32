'use strict';
// The loop: plays a dream at the game's pace, keeps its past, and plays the truth beside it. It knows no elements but
// two canvases: controls.js sets its options and shows what it tells the view.
//
// Everything that runs a graph happens here, one thing at a time: other work waits in a queue until a frame is done.

const KEPT_S = 30;         // seconds of the past that are kept
const CATCH_UP = 4;        // frames that one painting may be late; beyond that the game's time is slowed
const SLOW_PAINT_MS = 10;  // a slower decoder paints dreamed frames only, none between them
const PAINTING_MS = 1000 / 60;  // until what is painted now is seen

class Loop {
  speed = 1;           // options: these and the next line
  paused = false; smooth = true; ghost = false; compare = false; watchDrift = false; pullBack = false;
  queued = [];
  queue = work => this.queued.push(work);
  player = null;       // who plays if not a person: see auto.js
  truth = null;        // what plays beside the dream: see truth.js
  ghosts = null;       // other dreams over it: see ghosts.js
  before = null;       // z of the frame before the present one, if something lies between them
  painted = null;      // the z that was painted last
  paintMs = 0;
  times = [];          // ms of the last frames: dynamics and decoder
  past = [];           // moments: dream.here, metres, over; of the truth {returnTo, rgba, state}, difference
  at = -1;             // which of them the dream is at
  metres = 0;          // of this life
  over = false;        // has it ended?
  isOwn = true;        // has a person alone played this life?

  // brush, truthBrush: 2D contexts. view: {notice(text), player(name), truth(truth), moment(), fell(), drift(value, isPulled),
  // ghosts(fallen), pace(frames/s, isLate), hold(z) -> z with what is to stay as it is}
  constructor(dream, keyboard, brush, truthBrush, view) {
    Object.assign(this, { dream, keyboard, brush, truthBrush, view });
  }

  get isPersonPlaying() {
    return !this.player && !this.truth?.isRecorded;
  }

  setPlayer(name, player = null) {
    this.player = player;
    this.view.player(this.truth?.isRecorded ? 'clip' : name);
    this.keyboard.show();
  }

  // A person takes over from a player or a recording.
  takeOver() {
    if (this.truth?.isRecorded) this.setTruth(null);
    else this.setPlayer('you');
    this.view.notice('');
  }

  // ---- pictures

  draw(rgba) {
    const { brush, truthBrush, truth } = this;
    putFrame(brush, rgba);
    this.ghosts?.drawOver(brush, this.dream.frame);
    if (truth) putFrame(truthBrush, truth.rgba);
    if (!truth || !this.ghost) return;
    brush.globalAlpha = 0.4;
    brush.drawImage(truthBrush.canvas, 0, 0);
    brush.globalAlpha = 1;
  }

  // Paint what lies at `share` between the frame before and the present one.
  async show(share) {
    const { dream, before } = this, between = before && share < 1 && this.smooth;
    const z = between ? dream.z.map((x, n) => before[n] + share * (x - before[n])) : dream.z;
    if (z === this.painted) return;
    this.painted = z;
    const started = performance.now(), rgba = await dream.paint(z);
    this.paintMs = performance.now() - started;
    this.draw(rgba);
  }

  // ---- frames

  // The keys for the next frame: of a recording, of a player, or those that a person holds. A player sees the real game
  // where that is played beside the dream.
  async nextKeys() {
    const { truth, player, dream, over } = this;
    if (truth?.isRecorded) return truth.recordedKeys();
    truth?.catchUp();
    const look = async () => truth
      ? { z: await dream.encode(truth.rgba), over: truth.state.over } : { z: dream.z, over };
    const keys = await player?.(dream.frame, look);
    if (player && !keys) this.setPlayer('you');
    return keys ?? this.keyboard.held();
  }

  async nextFrame() {
    const { dream, over } = this, { state } = dream, keys = await this.nextKeys(), started = performance.now();
    await dream.step(keys);
    this.times.push(performance.now() - started + this.paintMs);
    if (this.times.length > 200) this.times.shift();

    this.count();
    if (this.over) this.view.fell();
    this.before = over || this.over ? null : state.z.data;  // the end of a life is a cut: nothing lies between its frames
    const held = this.view.hold(dream.z);
    if (held !== dream.z) dream.z = held;
    if (this.ghosts) this.view.ghosts(await this.ghosts.follow(dream, state, keys));
    if (!this.isPersonPlaying) this.keyboard.show(keys);
    const difference = this.truth ? await this.nextTruth(keys) : null;
    await this.lookAtDrift();
    this.remember(difference);
  }

  // Metres of this life, and whether it has ended
  count() {
    const { metres, over } = this.dream.read(this.dream.state);
    this.isOwn = (this.over || this.isOwn) && this.isPersonPlaying;
    Object.assign(this, { metres: this.over ? 0 : this.metres + metres, over });
  }

  async lookAtDrift() {
    const { dream } = this, isNeeded = this.watchDrift || this.pullBack;
    if (!isNeeded || !dream.meta.drift_limit || dream.frame % DRIFT_EVERY) return;
    const { drift, home } = await driftOf(dream), pull = drift > 1 && this.pullBack;
    this.view.drift(drift, pull);
    if (pull) dream.z = home;
  }

  // ---- the past

  // Put the present moment at the end of the past; what came after it is forgotten.
  remember(difference = null) {
    const { dream, metres, over, isOwn, truth } = this;
    this.past.splice(this.at + 1);
    this.past.push({ ...dream.here, metres, over, isOwn, difference,
      truth: truth && { returnTo: truth.frame, rgba: truth.rgba, state: truth.state } });
    if (this.past.length > 1000 * KEPT_S / dream.meta.frame_ms) this.past.shift();
    this.at = this.past.length - 1;
    this.view.moment();
  }

  // To moment number `at` of the past. The truth follows when the dream goes on.
  goBack(at) {
    this.at = Math.min(Math.max(at, 0), this.past.length - 1);
    const moment = this.past[this.at];
    this.dream.goTo(moment);
    Object.assign(this, { metres: moment.metres, over: moment.over, isOwn: moment.isOwn });
    if (this.truth) Object.assign(this.truth, moment.truth);
  }

  // Start again from start state number `from`, or from a state {z, h, c}; with the truth, if it is there, from its own.
  begin(from) {
    const { dream, truth } = this;
    if (truth) {
      truth.begin();
      from = truth.source.start;
    }
    if (typeof from === 'number') dream.restart(from);
    else dream.place(from);
    Object.assign(this, { before: null, past: [], at: -1, metres: 0, over: false, isOwn: true });
    this.remember();
  }

  restart(number = 0) {
    this.takeOver();
    this.begin(number);
  }

  // ---- the truth beside it

  // A truth, or null. A recording comes with its own keys: it plays, and afterwards a person does.
  setTruth(truth) {
    const isChange = this.truth?.isRecorded || truth?.isRecorded;
    this.truth = truth;
    if (isChange) this.setPlayer('you');
    this.view.truth(truth);
    if (truth) this.begin();
  }

  // The truth one frame on -> how it differs from the dream, or null where nobody looks
  async nextTruth(keys) {
    const { truth, dream } = this;
    if (!truth.next(keys)) this.begin();  // a clip begins again
    else if (this.compare || this.ghost) return differenceOf(truth.rgba, await dream.paint());
    return null;
  }

  // ---- time

  // Step, draw, wait for the next painting. A slow machine slows the game's time; it never jumps. A key that a person
  // presses or releases brings the next frame forward by up to half a frame; the one after it is on time again.
  async run() {
    let due = performance.now(), since = due, frames = 0, late = 0, span = 1;
    document.addEventListener('visibilitychange', () => {  // nothing is painted while the page is hidden
      due = since = performance.now();
      frames = late = 0;
    });
    for (;;) {
      await new Promise(requestAnimationFrame);
      if (document.hidden) continue;
      this.keyboard.pollGamepad();
      const queued = this.queued.splice(0);
      for (const work of queued) {
        await Promise.resolve().then(work).catch(error => this.view.notice(error.message));
        this.painted = this.before = null;
      }
      if (queued.length) this.view.moment();
      if (queued.length || this.paused) due = performance.now();

      // the frames that are due
      const frameMs = this.dream.meta.frame_ms / this.speed;
      let early = this.keyboard.changed && this.isPersonPlaying ? frameMs / 2 : 0;
      for (let n = 0; n < CATCH_UP && !this.paused && performance.now() >= due - early; n++) {
        await this.nextFrame();
        due += frameMs;
        span = Math.max(due - performance.now(), 1);  // ms over which what lies between two frames is painted
        early = 0;
        frames += 1;
      }
      if (performance.now() > due && !this.paused) late += 1;
      due = Math.max(due, performance.now());

      // what is to be seen at the next painting
      await this.show(this.paused ? 1 : 1 - Math.min((due - performance.now() - PAINTING_MS) / span, 1));

      // once a second, the pace
      const seconds = (performance.now() - since) / 1000;
      if (seconds < 1) continue;
      if (this.paintMs > SLOW_PAINT_MS && late > 2) this.smooth = false;
      this.view.pace(frames / seconds, late > 0);
      [since, frames, late] = [performance.now(), 0, 0];
    }
  }
}
