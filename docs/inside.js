'use strict';
// Look inside: sliders for the numbers and for what can be read from them, curves, a map, drift, where keys would lead.

const TRAIL_S = 10;    // seconds that curves and map show
const PULL = 0.3;      // part of the way back that one frame pulls a drifting dream
const DRIFT_EVERY = 3; // frames between two looks at the drift: each costs an encoder and a decoder run

const TIED = 0.3;      // correlation from which a number is named after a reading

const hueOf = n => n * 137.5 % 360;

// What sliders move, readings of the body and the numbers -> [{name, low, high, unit: of a reading, does: what a number
// goes with in real play, read(z) -> its value, move(z, value) -> the z with that value that lies nearest, in what is
// usual for each number}]
function quantitiesOf({ z_low: low, z_high: high, z_std: std, readings = [] }) {
  const bodies = readings.map(({ weights, ...about }) => {
    const pull = weights.slice(1).map((w, n) => w * std[n] ** 2), power = linear([0, ...weights.slice(1)], pull);
    const read = z => linear(weights, z);
    return { ...about, read, move: (z, value) => z.map((x, n) => x + (value - read(z)) / power * pull[n]) };
  });
  const numbers = low.map((_, n) => {
    const ties = readings.map(({ name, correlation: { [n]: r } }) => ({ name, r }));
    const [{ name, r }] = [...ties, { r: 0 }].sort((a, b) => Math.abs(b.r) - Math.abs(a.r));
    const does = Math.abs(r) < TIED ? '' : `${r < 0 ? '−' : '+'} ${name}`;
    return { name: String(n + 1), low: low[n], high: high[n], does, read: z => z[n], move: (z, value) => z.with(n, value) };
  });
  return [...bodies, ...numbers];
}

// A value in its unit, with a sign, as it is told from the average.
const textOf = (unit, value) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(unit === 'm' ? 2 : 0)} ${unit}`;

// Sliders for all quantities, in their boxes -> {show(z), hold(z) -> z with what is locked or dragged}
function makeSliders(meta) {
  let dragged = null;  // the slider that a pointer holds
  const all = quantitiesOf(meta).map(({ name, low, high, unit, does = '', read, move }) => {
    const room = 0.3 * (high - low), title = unit ? name : `number ${name}`;
    const slider = make('input', { type: 'range', min: low - room, max: high + room, step: (high - low) / 500, value: 0,
      ariaLabel: title });
    const lock = make('input', { type: 'checkbox', title: 'Lock', ariaLabel: `Lock ${title}` });
    const text = make('small', {}, does), label = make('span', {}, name);
    if (!unit) label.style.setProperty('--hue', hueOf(name - 1));
    byId(unit ? 'readings' : 'sliders').append(make('label', {}, label, slider, text, lock));
    slider.oninput = ({ target: { value } }) => loop.queue(() => { dream.z = move(dream.z, Number(value)); });
    slider.onpointerdown = () => { dragged = slider; };
    slider.onpointerup = slider.onpointercancel = () => { dragged = null; };
    return { unit, read, move, slider, text, isHeld: () => lock.checked || slider === dragged };
  });
  return {
    show: z => all.forEach(({ unit, read, slider, text, isHeld }) => {
      const value = read(z);
      if (!isHeld()) slider.value = value;
      if (unit) text.textContent = slider.ariaValueText = textOf(unit, value);
    }),
    hold: z => all.reduce((held, { move, slider, isHeld }) => isHeld() ? move(held, Number(slider.value)) : held, z),
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

// The numbers of some moments, each from its lowest to its highest value in training.
function drawNumbers(canvas, { z_low: low, z_high: high }, moments, frames) {
  drawCurves(canvas, low.map((_, n) => ({
    colour: `hsl(${hueOf(n)} 60% 50%)`,
    values: moments.map(moment => (moment.state.z.data[n] - low[n]) / (high[n] - low[n])),
  })), frames);
}

// The map of meta.json: moments of real play as dots, and the way of some moments of the dream among them.
function drawMap(canvas, { axes, points }, moments) {
  const brush = canvas.getContext('2d'), { width, height } = canvas, { color, borderColor } = getComputedStyle(canvas);
  const at = ([x, y]) => [width * (0.05 + 0.009 * x), height * (0.95 - 0.009 * y)];
  brush.clearRect(0, 0, width, height);
  brush.fillStyle = borderColor;
  for (const point of points) brush.fillRect(...at(point), 3, 3);
  brush.strokeStyle = brush.fillStyle = color;
  brush.lineWidth = 2;
  brush.beginPath();
  let here = [0, 0], over = true;
  for (const moment of moments) {
    here = at(axes.map(axis => linear(axis, moment.state.z.data)));
    if (over || moment.over) brush.moveTo(...here);
    else brush.lineTo(...here);
    over = moment.over;
  }
  brush.stroke();
  brush.fillRect(here[0] - 5, here[1] - 5, 10, 10);
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
  const count = dream.meta.keys.length;
  const rows = Array.from({ length: Math.min(2 ** count, 16) }, (_, bits) => keysOf(bits, count));
  let state = dream.copies(dream.state, rows.length);
  for (let t = 0; t < frames; t++) state = await dream.advance(state, rows.flat());
  const effects = [];
  for (const [n, keys] of rows.entries()) effects.push({ keys, rgba: await dream.paint(rowOf(state.z, n)) });
  return effects;
}
