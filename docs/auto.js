'use strict';
// Players who are no person: random keys, gaits that ran in the real game, the best run found in the dream, the keys of a
// link. A player is {next(frame) -> keys, or null at its end}. What random keys and gaits are is said in policies.py.

const PRESS = 0.10, LET_GO = 0.22;  // chance a frame that a key goes down or up
const GRID = 3;                     // ticks: a gait's keys change at multiples of this
const SEARCH_FRAMES = 150, SEARCH_SIDE = 8, SEARCH_ROUNDS = 60;  // a search plays so many dreams side by side

function randomPlayer(count) {
  const keys = new Array(count).fill(0);
  return {
    next: () => {
      keys.forEach((down, key) => { if (Math.random() < (down ? LET_GO : PRESS)) keys[key] = 1 - down; });
      return [...keys];
    },
  };
}

// gait: {period in ticks, on: for each key the part of the period in which it is held, from and to}
function gaitKeys(gait, frame, ticksPerFrame) {
  const tick = Math.floor((frame + 1) * ticksPerFrame / GRID) * GRID - GRID;
  const phase = tick / gait.period % 1, part = x => (x % 1 + 1) % 1;
  return gait.on.map(([start, end]) => Number(tick >= 0 && part(phase - start) < part(end - start)));
}

const gaitPlayer = (gait, ticksPerFrame) => ({ next: frame => gaitKeys(gait, frame, ticksPerFrame) });

// log: numbers, one a frame, bit 0 the first key
function logPlayer(log, count) {
  return {
    next: frame => frame < log.length ? Array.from({ length: count }, (_, key) => log[frame] >> key & 1) : null,
  };
}

// ---- how far the dream thinks that it has come

// meta.readout: {metres, over}, each [bias, weights of h, then of z]: what the memory says of the step just made.
// z (N, Z) and h (L, N, H) of dream n -> metres of this step, and about 1 where a life has ended.
function read(readout, z, h, n, count) {
  const features = z.length / count, layers = readout.layers, hidden = h.length / layers / count;
  const sums = [readout.metres[0], readout.over[0]];
  let place = 1;
  for (let layer = 0; layer < layers; layer++) {
    for (let i = (layer * count + n) * hidden; i < (layer * count + n + 1) * hidden; i++, place++) {
      sums[0] += readout.metres[place] * h[i];
      sums[1] += readout.over[place] * h[i];
    }
  }
  for (let i = n * features; i < (n + 1) * features; i++, place++) {
    sums[0] += readout.metres[place] * z[i];
    sums[1] += readout.over[place] * z[i];
  }
  return sums;
}

// ---- search

function randomGait(keys) {
  return { period: 8 + 40 * Math.random(), on: Array.from({ length: keys }, () => [Math.random(), Math.random()]) };
}

function changed(gait) {
  const shift = x => (x + 0.15 * (Math.random() + Math.random() - 1) + 1) % 1;
  return {
    period: gait.period * (1 + 0.1 * (Math.random() + Math.random() - 1)),
    on: gait.on.map(([start, end]) => [shift(start), shift(end)]),
  };
}

// Try rhythms in the dream, SEARCH_SIDE at a time, and keep changing the best -> {gait, metres}. tell(tried, best) after
// each round; stopped() ends the search. Everything is dreamed: no picture is painted, no game is asked.
async function searchGait(dream, tell, stopped) {
  const { meta, layers, hidden } = dream, count = SEARCH_SIDE, keys = meta.keys.length;
  const begin = dream.picture(meta.starts[0].z).data;
  let best = { gait: null, metres: -Infinity };
  for (let round = 0; round < SEARCH_ROUNDS && !stopped(); round++) {
    const known = meta.gaits ?? [];
    const gaits = Array.from({ length: count }, (_, n) =>
      round === 0 && n < known.length ? known[n] : round < 5 || n === 0 ? randomGait(keys) : changed(best.gait));
    const tensor = shape => new ort.Tensor('float32', new Float32Array(shape.reduce((a, b) => a * b)), shape);
    let state = { z: tensor([count, begin.length]), h: tensor([layers, count, hidden]), c: tensor([layers, count, hidden]) };
    for (let n = 0; n < count; n++) state.z.data.set(begin, n * begin.length);
    const held = tensor([count, keys]), metres = new Array(count).fill(0), over = new Array(count).fill(false);
    for (let frame = 0; frame < SEARCH_FRAMES && over.includes(false); frame++) {
      gaits.forEach((gait, n) => held.data.set(gaitKeys(gait, frame, meta.ticks_per_frame), n * keys));
      const next = await dream.dynamics.run({ ...state, keys: held });
      state = { z: next.z_next, h: next.h_next, c: next.c_next };
      for (let n = 0; n < count; n++) {
        if (over[n]) continue;
        const [step, ended] = read(meta.readout, state.z.data, state.h.data, n, count);
        over[n] = ended > 0.5;
        metres[n] += step;
      }
    }
    metres.forEach((far, n) => { if (far > best.metres) best = { gait: gaits[n], metres: far }; });
    tell((round + 1) * count, best.metres);
    await new Promise(requestAnimationFrame);
  }
  return best;
}
