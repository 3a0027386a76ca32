'use strict';
// Players who are not a person: random keys, gaits that ran in the real game, and the player that learned to run in the
// dream. A player is a function (frame, look) -> keys, or null at its end; look() -> {z of the present frame, over: has
// the life ended in it?}. Random keys and gaits are those of capture/policies.py, the learned player is that of
// capture/player.py.

const PRESS = 0.10, LET_GO = 0.22;  // chance per frame that a key goes down or up
const GRID = 3;                     // ticks: a gait's keys change at multiples of this

function randomPlayer(count) {
  const keys = new Array(count).fill(0);
  return () => {
    keys.forEach((down, key) => { if (Math.random() < (down ? LET_GO : PRESS)) keys[key] = 1 - down; });
    return [...keys];
  };
}

// gait: {period in ticks, on: for each key the part of the period in which it is held, from and to}
function gaitKeys(gait, frame, ticksPerFrame) {
  const tick = Math.floor((frame + 1) * ticksPerFrame / GRID) * GRID - GRID;
  const phase = tick / gait.period % 1, part = x => (x % 1 + 1) % 1;
  return gait.on.map(([start, end]) => Number(tick >= 0 && part(phase - start) < part(end - start)));
}

// What train_player.py learned: {numbers}, first the log of the clock's period over 8 frames, then weights.
function learnedPlayer({ numbers: [log, ...weights] }, meta) {
  const width = weights.length / meta.keys.length, turn = 2 * Math.PI / (8 * Math.exp(log));
  let before = null, life = 0;
  return async (_frame, look) => {
    const { z, over } = await look(), step = z.map((x, n) => before ? (x - before[n]) / meta.dz_std[n] : 0);
    const features = [1, Math.sin(life * turn), Math.cos(life * turn), ...z, ...step];
    [before, life] = over ? [null, 0] : [z, life + 1];
    return meta.keys.map((_, key) =>
      Number(features.reduce((sum, x, n) => sum + weights[key * width + n] * x, 0) > 0));
  };
}
