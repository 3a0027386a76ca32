'use strict';
// What is shown of the dream beside its picture: metres, curves, sliders, pace, the truth. Loop reports to `view`.

let best = 0;  // metres that a person has run in this dream

function showMoment() {
  showMetres();
  const { past, at } = loop, { meta } = dream;
  byId('past').max = past.length - 1;
  byId('past').value = at;
  byId('past').ariaValueText = `frame ${dream.frame}`;
  byId('sum').textContent = sumToText(dream.sum);
  if (byId('inside').open) {
    const frames = Math.round(1000 * TRAIL_S / meta.frame_ms), trail = past.slice(Math.max(at + 1 - frames, 0), at + 1);
    sliders.show(dream.z);
    drawNumbers(byId('chart'), meta, trail, frames);
    if (meta.map) drawMap(byId('map'), meta.map, trail);
  }
  const differences = past.slice(0, at + 1).flatMap(({ difference }) => difference ?? []);
  if (differences.length) showDifferences(differences);
}

function showDifferences(differences) {
  const canvas = byId('difference'), colour = getComputedStyle(canvas).color;
  drawCurves(canvas, [{ colour, values: differences.map(x => Math.min(x / 64, 1)) }], 100);
  byId('difference-now').textContent = differences.at(-1).toFixed(1);
}

function showTruth(truth) {
  byId('truth-stage').hidden = !truth;
  byId('sync').disabled = !truth || truth.isRecorded;
  if (!truth) byId('beside').value = '';
}

// What a game's score counts
const unitOf = ({ keys }) => keys.join('') === 'qwop' ? 'm' : 'points';

const inUnits = metres => `${metres.toFixed(1)} ${unitOf(dream.meta)}`;

// Metres of this life, from the dream's own memory, and of the truth beside it.
function showMetres() {
  const { metres, truth } = loop, real = truth?.state.metres;
  if (loop.isOwn && metres > best) best = metres;
  byId('score').hidden = !dream.meta.readout || Boolean(truth?.isRecorded);
  byId('metres').textContent = inUnits(Math.max(metres, 0));
  byId('best').textContent = best > 0.05 ? `best ${inUnits(best)}` : '';
  byId('truth-metres').textContent = real === undefined ? '' : `, ${inUnits(real)}`;
}

function showFall() {
  if (byId('score').hidden) return;
  const { metres, isPersonPlaying } = loop;
  const fell = `${isPersonPlaying ? 'You fell' : 'Fell'} at ${inUnits(Math.max(metres, 0))}`;
  byId('fell').replaceChildren(make('span', {}, fell));  // a new one fades anew
  if (isPersonPlaying) speak(fell);
}

function showPace(rate, isLate) {
  const times = [...loop.times].sort((a, b) => a - b), fullRate = 1000 * loop.speed / dream.meta.frame_ms;
  const [p50, p95] = [0.5, 0.95].map(share => times[Math.round(share * (times.length - 1))] ?? NaN);
  const slow = isLate && rate < 0.9 * fullRate
    ? `: this machine is slow, the game's time runs ${(fullRate / rate).toFixed(1)} times slower` : '';
  const figures = `${p50.toFixed(1)} ms a frame (95% within ${p95.toFixed(1)}) · ${rate.toFixed(1)} frames/s`;
  byId('pace').textContent = loop.paused ? 'Paused.' : figures + slow;
  byId('smooth').checked = loop.smooth;
}

const view = {
  notice, truth: showTruth, pace: showPace, fell: showFall, moment: showMoment,
  drift: (value, isPulled) => {
    Object.assign(byId('drift'), { value, title: value.toFixed(2) });
    byId('pulled').textContent = isPulled ? 'It drifts, and is pulled back.' : '';
  },
  ghosts: fallen => { byId('fallen').textContent = `${fallen} of ${GHOSTS} have fallen`; },
  player: name => {
    byId('player').value = name;
    byId('watch').textContent = name === 'you' ? 'Watch it run' : 'Play yourself';
  },
  hold: z => sliders.hold(z),
};

// The layers of the networks, each as high as its picture and as wide as it has channels, with its size under it. An
// earlier model does not tell them.
function drawNetworks(box, { keys, z_low: { length: z }, sizes }) {
  if (!sizes) return;
  const { encoder, dynamics, decoder } = sizes;
  const layer = size => {
    const bar = make('i'), [high, , wide] = size.length > 1 ? size : [size / 16, 0, 1];
    bar.style.height = `${6 + 9 * Math.log2(1 + high)}px`;
    bar.style.width = `${6 + 5 * Math.log2(wide)}px`;
    return make('span', {}, bar, size.join('×'));
  };
  const networks = { encoder, 'LSTM, then linear layers': [[z + keys.length], ...dynamics], decoder: [[z], ...decoder] };
  box.append(...Object.entries(networks).map(([name, all]) => make('div', {}, make('b', {}, name), ...all.map(layer))));
}
