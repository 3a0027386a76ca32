'use strict';
// Players who are not a person: random keys, gaits that ran in the real game, the best run found in the dream, the keys
// of a link, and the player that learned to run in the dream. A player is {next(frame, look) -> keys, or null at its
// end}; look() -> z of the present frame, whether the life has ended in it. Random keys and gaits are those of
// capture/policies.py, the player is that of player.py.

const PRESS = 0.10, LET_GO = 0.22;  // chance per frame that a key goes down or up
const GRID = 3;                     // ticks: a gait's keys change at multiples of this
const SEARCH_FRAMES = 150, SEARCH_ROUNDS = 60;
const SEARCH_SIDE = 8;              // gaits that a round of the search dreams side by side
const RANDOM_ROUNDS = 5;            // then most gaits are changes of the best

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

function gaitPlayer(gait, ticksPerFrame) {
  return { next: frame => gaitKeys(gait, frame, ticksPerFrame) };
}

// log: numbers, one a frame, bit 0 is the first key. onEnd: after its last frame.
function logPlayer(log, count, onEnd) {
  return { next: frame => frame < log.length ? keysOf(log[frame], count) : null, onEnd };
}

// What train_player.py learned: {numbers}, first the log of the clock's period over 8 frames, then weights.
function learnedPlayer({ numbers: [log, ...weights] }, meta) {
  const width = weights.length / meta.keys.length, turn = 2 * Math.PI / (8 * Math.exp(log));
  let before = null, life = 0;
  return {
    next: async (_frame, look) => {
      const { z, over } = await look(), step = z.map((x, n) => before ? (x - before[n]) / meta.dz_std[n] : 0);
      const features = [1, Math.sin(life * turn), Math.cos(life * turn), ...z, ...step];
      [before, life] = over ? [null, 0] : [z, life + 1];
      return meta.keys.map((_, key) =>
        Number(features.reduce((sum, x, n) => sum + weights[key * width + n] * x, 0) > 0));
    },
  };
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

// Metres that each gait runs in the dream, up to its fall. They are read from the state: nothing is painted.
async function metresOf(dream, gaits) {
  const { starts, ticks_per_frame: ticks } = dream.meta;
  const metres = gaits.map(() => 0), over = gaits.map(() => false);
  let state = dream.stateOf(starts[0], gaits.length);
  for (let frame = 0; frame < SEARCH_FRAMES && over.includes(false); frame++) {
    state = await dream.advance(state, gaits.flatMap(gait => gaitKeys(gait, frame, ticks)));
    dream.read(state).forEach((step, n) => {
      if (over[n]) return;
      metres[n] += step.metres;
      over[n] = step.over;
    });
  }
  return metres;
}

// Try gaits in the dream, at first known and random ones, then changes of the best -> {gait, metres}.
// onRound(tried, best metres); isStopped() ends the search.
async function searchGait(dream, onRound, isStopped) {
  const known = dream.meta.gaits ?? [], keys = dream.meta.keys.length;
  let best = { gait: null, metres: -Infinity };
  for (let round = 0; round < SEARCH_ROUNDS && !isStopped(); round++) {
    const gaits = Array.from({ length: SEARCH_SIDE }, (_, n) => {
      if (round === 0 && n < known.length) return known[n];
      return round < RANDOM_ROUNDS || n === 0 ? randomGait(keys) : changed(best.gait);
    });
    const metres = await metresOf(dream, gaits);
    for (const [n, gait] of gaits.entries()) {
      if (metres[n] > best.metres) best = { gait, metres: metres[n] };
    }
    onRound((round + 1) * SEARCH_SIDE, best.metres);
    await new Promise(requestAnimationFrame);
  }
  return best;
}
