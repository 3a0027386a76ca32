'use strict';
// Look inside: a slider for each of the numbers, their curve over the last seconds, speed, and how far the dream drifts.

const CURVE_S = 10;    // seconds that the curves show
const PULL = 0.3;      // part of the way back that one frame of nudging goes
const DRIFT_EVERY = 3; // frames between two looks at the drift: each costs an encoder and a decoder run

const sliders = [];
let dragged = null;    // number of the slider that a pointer holds
const times = [];      // ms of the last frames: dynamics and decoder

function makeSliders(meta, onDrag) {
  const box = byId('sliders');
  meta.z_low.forEach((low, n) => {
    const high = meta.z_high[n], room = 0.3 * (high - low);
    const row = document.createElement('label'), name = document.createElement('span');
    const slider = Object.assign(document.createElement('input'), {
      type: 'range', min: low - room, max: high + room, step: (high - low) / 500, value: 0,
    });
    const lock = Object.assign(document.createElement('input'), { type: 'checkbox' });
    name.textContent = String(n + 1);
    name.style.setProperty('--hue', hueOf(n));
    slider.setAttribute('aria-label', `Number ${n + 1}`);
    lock.setAttribute('aria-label', `Lock number ${n + 1}`);
    lock.title = 'Lock';
    slider.addEventListener('input', () => onDrag(n, Number(slider.value)));
    slider.addEventListener('pointerdown', () => { dragged = n; });
    for (const end of ['pointerup', 'pointercancel']) slider.addEventListener(end, () => { dragged = null; });
    row.append(name, slider, lock);
    box.append(row);
    sliders.push({ slider, lock });
  });
}

const hueOf = n => n * 137.5 % 360;

// The numbers that are locked, or held by a pointer, and their values: [[n, value]]
function locked() {
  return sliders.flatMap(({ slider, lock }, n) => lock.checked || n === dragged ? [[n, Number(slider.value)]] : []);
}

function showZ(z) {
  sliders.forEach(({ slider, lock }, n) => {
    if (!lock.checked && n !== dragged) slider.value = z[n];
  });
}

// Curves of the numbers of the last frames, each from its lowest to its highest value in training. moments: oldest first
function drawCurves(canvas, meta, moments) {
  const brush = canvas.getContext('2d'), { width, height } = canvas;
  const frames = Math.round(1000 * CURVE_S / meta.frame_ms), shown = moments.slice(-frames);
  brush.clearRect(0, 0, width, height);
  meta.z_low.forEach((low, n) => {
    brush.strokeStyle = `hsl(${hueOf(n)} 60% 50%)`;
    brush.beginPath();
    shown.forEach((moment, t) => {
      const share = (moment.state.z.data[n] - low) / (meta.z_high[n] - low);
      brush.lineTo(width * (t + frames - shown.length) / frames, height * (0.95 - 0.9 * share));
    });
    brush.stroke();
  });
}

// One curve of numbers of the last frames, the newest on the right, from 0 to `top`.
function drawCurve(canvas, numbers, frames, top) {
  const brush = canvas.getContext('2d'), { width, height } = canvas, shown = numbers.slice(-frames);
  brush.clearRect(0, 0, width, height);
  brush.strokeStyle = getComputedStyle(canvas).color;
  brush.lineWidth = 2;
  brush.beginPath();
  shown.forEach((x, t) => {
    brush.lineTo(width * (t + frames - shown.length) / frames, height * (1 - 0.95 * Math.min(x / top, 1)));
  });
  brush.stroke();
}

// The median and the 95th percentile of some numbers.
function percentiles(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return [0.5, 0.95].map(share => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN);
}

function noteTime(ms) {
  times.push(ms);
  if (times.length > 200) times.shift();
}

// ---- drift

// How far z lies from encode(decode(z)) and from the training range -> [1 at the edge of what is known, the z back there]
async function driftOf(dream) {
  const { z_low: low, z_high: high, z_std: std, drift_limit: limit } = dream.meta;
  const back = await dream.encode(await dream.paint()), z = dream.z;
  const distance = Math.hypot(...z.map((x, n) => (x - back[n]) / std[n])) / limit;
  const outside = Math.max(...z.map((x, n) => Math.max(low[n] - x, x - high[n]) / (high[n] - low[n])));
  const home = back.map((x, n) => Math.min(Math.max(z[n] + PULL * (x - z[n]), low[n]), high[n]));
  return [Math.max(distance, outside > 0 ? 1 + outside : 0), home];
}

// ---- benchmark

// `frames` frames of dream, each timed in its parts -> lines of text
async function benchmark(dream, draw, frames, tell) {
  const parts = { dynamics: [], decoder: [], paint: [] }, here = dream.here;
  for (let n = 0; n < frames; n++) {
    const begun = performance.now();
    await dream.step(dream.meta.keys.map((_, key) => n >> key & 1));
    const stepped = performance.now();
    const rgba = await dream.paint();
    const painted = performance.now();
    draw(rgba);
    parts.dynamics.push(stepped - begun);
    parts.decoder.push(painted - stepped);
    parts.paint.push(performance.now() - painted);
    if (n % 30 === 0) { tell(n / frames); await new Promise(requestAnimationFrame); }
  }
  dream.goTo(here);
  parts.frame = parts.dynamics.map((ms, n) => ms + parts.decoder[n] + parts.paint[n]);
  const lines = Object.entries(parts).map(([name, ms]) => `${name.padEnd(9)}`
    + [...percentiles(ms), Math.max(...ms)].map(x => x.toFixed(2).padStart(8)).join(''));
  return [`${dream.meta.game}, ${frames} frames, ms:   p50     p95     max`, ...lines, navigator.userAgent].join('\n');
}
