'use strict';
// The truth beside the dream: the open runner's physics under the same keys, or recorded clips of a game.
//
// A source is {start: of the dream beside it, as loop.begin() takes it, begin() -> its first frame, next(keys, t) ->
// frame t, or null at the end, state(t) -> {metres, over} in frame t, keys(t): the recorded keys that are held after
// frame t, if it is a recording}. Frames are rgba, 96 x 96.

const RUNNER_SCRIPTS = ['vendor/planck/planck.min.js', 'runner/runner.js'];
const SYNC_FRAMES = 10;  // "Move the dream to where the game is" shows the dream so many true frames

class Truth {
  constructor(source) {
    this.source = source;
    this.isRecorded = Boolean(source.keys);
  }

  begin() {
    this.frame = 0;
    this.returnTo = null;   // frame to return to before the next one
    this.played = [];       // keys of each frame
    this.seen = [];         // the last frames, {rgba, keys held after it}
    this.rgba = this.source.begin();
    this.state = this.source.state(0);  // now: {metres of this life, over: has it ended?}
  }

  recordedKeys() {
    return this.source.keys(this.returnTo ?? this.frame);
  }

  // After going back, play up to there: the same keys give the same frames.
  catchUp() {
    if (this.returnTo === null) return;
    const played = this.played.slice(0, this.returnTo);
    this.begin();
    for (const row of played) this.next(row);
  }

  // One frame on -> false at the end
  next(keys) {
    this.catchUp();
    this.seen = [...this.seen, { rgba: this.rgba, keys }].slice(-SYNC_FRAMES);
    this.played.push(keys);
    this.frame += 1;
    const rgba = this.source.next(keys, this.frame);
    if (rgba) Object.assign(this, { rgba, state: this.source.state(this.frame) });
    return Boolean(rgba);
  }

  // Show the dream the last true frames, so that its state is that of the truth.
  async setDream(dream) {
    this.catchUp();
    const frames = [...this.seen, { rgba: this.rgba }], latents = [];
    for (const { rgba } of frames) latents.push(await dream.encode(rgba));
    dream.place({ z: latents[0] });
    for (const [n, { keys }] of this.seen.entries()) {
      await dream.step(keys);
      dream.z = latents[n + 1];
    }
  }
}

// The open runner, live. It starts again when it has fallen, as in the recordings.
async function liveRunner(meta) {
  for (const url of RUNNER_SCRIPTS) if (typeof Runner === 'undefined') await loadScript(url);
  const runner = new Runner(), brush = surface();
  const next = keys => {
    if (runner.over) runner.restart();
    meta.keys.forEach((key, n) => { runner.keys[key] = Boolean(keys[n]); });
    for (let tick = 0; tick < meta.ticks_per_frame; tick++) runner.tick();
    drawRunner(brush, runner);
    return brush.getImageData(0, 0, SIDE, SIDE).data;
  };
  return { start: 0, begin: () => { runner.restart(); return next([]); }, next,
    state: () => ({ metres: runner.score, over: runner.over }) };
}

// A recorded clip: {kind, keys: hexadecimal digits, start: {z, h, c}, frames, metres of each, where the game tells
// them, picture: all frames in one, data URL}
async function recordedClip(clip, meta) {
  const image = make('img', { src: clip.picture });
  await image.decode();
  const brush = surface(), columns = image.width / SIDE, digits = Math.ceil(meta.keys.length / 4);
  const frameAt = t => {
    const [left, top] = [t % columns * SIDE, Math.floor(t / columns) * SIDE];
    brush.drawImage(image, left, top, SIDE, SIDE, 0, 0, SIDE, SIDE);
    return brush.getImageData(0, 0, SIDE, SIDE).data;
  };
  return {
    start: clip.start,
    begin: () => frameAt(0),
    next: (_keys, t) => t < clip.frames ? frameAt(t) : null,
    state: t => ({ metres: clip.metres?.[t] }),
    keys: t => keysOf(parseInt(clip.keys.slice(t * digits, (t + 1) * digits), 16), meta.keys.length),
  };
}

// Root mean square difference of two pictures rgba, without alpha -> 0 to 255
function differenceOf(a, b) {
  const total = a.reduce((sum, x, i) => i % 4 === 3 ? sum : sum + (x - b[i]) ** 2, 0);
  return Math.sqrt(total / (a.length / 4 * 3));
}
