'use strict';
// Look inside: a slider for each of the numbers, their curves over the last seconds, speed, and how far the dream drifts.

const CURVE_S = 10;    // seconds that the curves show
const PULL = 0.3;      // part of the way back that one frame pulls a drifting dream
const DRIFT_EVERY = 3; // frames between two looks at the drift: each costs an encoder and a decoder run

const hueOf = n => n * 137.5 % 360;

function makeSlider(n, low, high) {
  const row = document.createElement('label'), name = document.createElement('span'), room = 0.3 * (high - low);
  const range = { type: 'range', min: low - room, max: high + room, step: (high - low) / 500, value: 0 };
  const slider = Object.assign(document.createElement('input'), range);
  const lock = Object.assign(document.createElement('input'), { type: 'checkbox', title: 'Lock' });
  name.textContent = String(n + 1);
  name.style.setProperty('--hue', hueOf(n));
  slider.setAttribute('aria-label', `Number ${n + 1}`);
  lock.setAttribute('aria-label', `Lock number ${n + 1}`);
  row.append(name, slider, lock);
  return { row, slider, lock };
}

// Sliders for the numbers into box. onDrag(n, value) -> {show(z), fixed()}
function makeSliders(box, meta, onDrag) {
  const all = meta.z_low.map((low, n) => makeSlider(n, low, meta.z_high[n]));
  let dragged = null;  // number of the slider that a pointer holds
  const isFixed = n => all[n].lock.checked || n === dragged;
  all.forEach(({ slider }, n) => {
    slider.addEventListener('input', () => onDrag(n, Number(slider.value)));
    slider.addEventListener('pointerdown', () => { dragged = n; });
    for (const end of ['pointerup', 'pointercancel']) slider.addEventListener(end, () => { dragged = null; });
  });
  box.append(...all.map(({ row }) => row));
  return {
    show: z => all.forEach(({ slider }, n) => { if (!isFixed(n)) slider.value = z[n]; }),
    // The numbers that are locked or dragged, and their values: [[n, value]]
    fixed: () => all.flatMap(({ slider }, n) => isFixed(n) ? [[n, Number(slider.value)]] : []),
  };
}

// Curves over the last `frames` values, the newest on the right. curves: [{colour, values from 0 to 1}]
function drawCurves(canvas, curves, frames) {
  const brush = canvas.getContext('2d'), { width, height } = canvas;
  brush.clearRect(0, 0, width, height);
  brush.lineWidth = curves.length > 1 ? 1 : 2;
  for (const { colour, values } of curves) {
    const shown = values.slice(-frames), first = frames - shown.length;
    brush.strokeStyle = colour;
    brush.beginPath();
    shown.forEach((y, t) => { brush.lineTo(width * (first + t) / frames, height * (0.95 - 0.9 * y)); });
    brush.stroke();
  }
}

// The numbers of the last moments, each from its lowest to its highest value in training.
function drawNumbers(canvas, meta, moments) {
  const frames = Math.round(1000 * CURVE_S / meta.frame_ms), shown = moments.slice(-frames);
  const curves = meta.z_low.map((low, n) => ({
    colour: `hsl(${hueOf(n)} 60% 50%)`,
    values: shown.map(moment => (moment.state.z.data[n] - low) / (meta.z_high[n] - low)),
  }));
  drawCurves(canvas, curves, frames);
}

// The median and the 95th percentile of some numbers.
function percentiles(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return [0.5, 0.95].map(share => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN);
}

// How far z lies from encode(decode(z)) and from the training range
// -> {drift: 1 at the edge of what training has seen, home: z pulled back towards it}
async function driftOf(dream) {
  const { z_low: low, z_high: high, z_std: std, drift_limit: limit } = dream.meta;
  const { z } = dream, back = await dream.encode(await dream.paint());
  const distance = Math.hypot(...z.map((x, n) => (x - back[n]) / std[n])) / limit;
  const outside = Math.max(...z.map((x, n) => Math.max(low[n] - x, x - high[n]) / (high[n] - low[n])));
  const home = back.map((x, n) => Math.min(Math.max(z[n] + PULL * (x - z[n]), low[n]), high[n]));
  return { drift: Math.max(distance, outside > 0 ? 1 + outside : 0), home };
}

// Where each combination of keys, at most 16, leads from here in so many frames -> [{keys: row, rgba}]
async function effectsOf(dream, frames) {
  const count = dream.meta.keys.length, { z, h, c } = dream.state, layers = [...Array(dream.layers).keys()];
  const rows = Array.from({ length: Math.min(2 ** count, 16) }, (_, bits) => keysOf(bits, count));
  const now = { z: z.data, h: layers.map(layer => rowOf(h, layer)), c: layers.map(layer => rowOf(c, layer)) };
  let state = dream.stateOf(now, rows.length);
  for (let t = 0; t < frames; t++) state = await dream.advance(state, rows.flat());
  const effects = [];
  for (const [n, keys] of rows.entries()) effects.push({ keys, rgba: await dream.paint(rowOf(state.z, n)) });
  return effects;
}

// `frames` frames of a dream, each timed in its parts -> lines of text. onProgress(share)
async function benchmark(dream, draw, frames, onProgress) {
  const parts = { dynamics: [], decoder: [], paint: [], frame: [] }, { here } = dream;
  for (let n = 0; n < frames; n++) {
    const started = performance.now();
    await dream.step(keysOf(n, dream.meta.keys.length));
    const stepped = performance.now();
    const rgba = await dream.paint();
    const painted = performance.now();
    draw(rgba);
    const drawn = performance.now();
    parts.dynamics.push(stepped - started);
    parts.decoder.push(painted - stepped);
    parts.paint.push(drawn - painted);
    parts.frame.push(drawn - started);
    if (n % 30 === 0) {
      onProgress(n / frames);
      await new Promise(requestAnimationFrame);
    }
  }
  dream.goTo(here);
  const cells = ms => [...percentiles(ms), Math.max(...ms)].map(x => x.toFixed(2).padStart(8)).join('');
  const lines = Object.entries(parts).map(([name, ms]) => name.padEnd(9) + cells(ms));
  return [`${dream.meta.game}, ${frames} frames, ms:   p50     p95     max`, ...lines, navigator.userAgent].join('\n');
}
