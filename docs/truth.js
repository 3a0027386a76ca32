'use strict';
// The real thing beside the dream under the same keys: the open runner's physics, or recorded clips of a game.
//
// A truth is {start: the dream's state at its first frame, begin() -> that frame, next(keys, number) -> the one after,
// or null at the end, keys(number): those held after a frame, if it was recorded with some}. Frames are rgba, 96 x 96.

const RUNNER = ['vendor/planck/planck.min.js', 'runner/runner.js'];
const SEEN = 10;  // true frames from which "set the dream to the truth" makes the dream's memory

const surface = () => Object.assign(document.createElement('canvas'), { width: SIDE, height: SIDE })
  .getContext('2d', { willReadFrequently: true });

// The open runner, live. It starts again when it has fallen, as in the recordings.
async function liveRunner(meta) {
  for (const url of RUNNER) await loadScript(url);
  const runner = new Runner(), brush = surface();
  const next = keys => {
    if (runner.over) runner.restart();
    meta.keys.forEach((key, n) => { runner.keys[key] = Boolean(keys[n]); });
    for (let tick = 0; tick < meta.ticks_per_frame; tick++) runner.tick();
    drawRunner(brush, runner);
    return brush.getImageData(0, 0, SIDE, SIDE).data;
  };
  const begin = () => {
    runner.restart();
    return next([]);
  };
  return { begin, next, start: meta.starts[0] };
}

// A recorded clip: {kind, keys: hexadecimal digits, start: {z, h, c}, frames, picture: all frames in one, data URL}
async function recordedClip(clip, meta) {
  const image = new Image();
  image.src = clip.picture;
  await image.decode();
  const brush = surface(), digits = Math.ceil(meta.keys.length / 4);
  const columns = image.width / SIDE;
  const frameAt = n => {
    brush.drawImage(image, n % columns * SIDE, Math.floor(n / columns) * SIDE, SIDE, SIDE, 0, 0, SIDE, SIDE);
    return brush.getImageData(0, 0, SIDE, SIDE).data;
  };
  return {
    start: clip.start,
    begin: () => frameAt(0),
    next: (keys, number) => number < clip.frames ? frameAt(number) : null,
    keys: number => {
      const bits = parseInt(clip.keys.slice(number * digits, (number + 1) * digits), 16);
      return meta.keys.map((_, key) => bits >> key & 1);
    },
  };
}

// Root mean square difference of two pictures rgba -> 0 to 255
function differenceOf(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i += 4) {
    for (let k = i; k < i + 3; k++) sum += (a[k] - b[k]) ** 2;
  }
  return Math.sqrt(sum / (a.length / 4 * 3));
}

// Let the dream see the last true frames, [{rgba, keys}] with the keys held after each, and be where the last one is.
async function syncTo(dream, seen) {
  const places = [];
  for (const { rgba } of seen) places.push(await dream.encode(rgba));
  dream.place({ z: places[0] });
  for (let n = 0; n + 1 < seen.length; n++) {
    await dream.step(seen[n].keys);
    dream.z = places[n + 1];
  }
}
