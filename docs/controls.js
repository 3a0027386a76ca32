'use strict';
// The controls: what can be pressed, dragged, chosen and dropped, and what is shown of the dream.

const players = { you: () => null };  // name in the list: makes the player
const EFFECT_MS = 500;  // after which the effects of keys are shown
let best = 0;  // metres that a person has run in this dream

// ---- what is shown

function notice(text) {
  byId('notice').textContent = text;
  byId('notice').hidden = !text;
}

function showMoment() {
  const { past, at } = loop;
  byId('past').max = past.length - 1;
  byId('past').value = at;
  byId('past').setAttribute('aria-valuetext', `frame ${dream.frame}`);
  byId('sum').textContent = sumToText(dream.sum);
  if (byId('inside').open) {
    sliders.show(dream.z);
    drawNumbers(byId('chart'), dream.meta, past.slice(0, at + 1));
  }
  if (loop.truth?.differences.length) showDifferences(loop.truth.differences);
}

function showDifferences(differences) {
  const canvas = byId('difference'), colour = getComputedStyle(canvas).color;
  drawCurves(canvas, [{ colour, values: differences.map(x => Math.min(x / 64, 1)) }], 100);
  byId('difference-now').textContent = differences.at(-1).toFixed(1);
}

function showTruth(truth) {
  byId('truth-stage').hidden = !truth;
  document.body.dataset.beside = truth ? 'yes' : '';
  byId('stage').querySelector('figcaption').hidden = !truth;
  byId('sync').disabled = !truth || truth.isRecorded;
  if (!truth) byId('beside').value = '';
}

// Metres of this life, from the dream's own memory, and of the truth beside it.
function showMetres() {
  const { metres, over, truth } = loop, text = `${Math.max(metres, 0).toFixed(1)} m`;
  if (loop.isPersonPlaying && metres > best) best = metres;
  byId('score').hidden = Boolean(truth?.isRecorded);
  byId('metres').textContent = text;
  byId('best').textContent = best > 0.05 ? `best ${best.toFixed(1)} m` : '';
  byId('truth-metres').textContent = truth?.metres === undefined ? '' : `, ${truth.metres.toFixed(1)} m`;
  if (!over || byId('score').hidden) return;
  const fell = document.createElement('span');  // a new one fades anew
  fell.textContent = `${loop.isPersonPlaying ? 'You fell' : 'Fell'} at ${text}`;
  byId('fell').replaceChildren(fell);
}

function showPace(rate, isLate) {
  const [p50, p95] = percentiles(loop.times), fullRate = 1000 * loop.speed / dream.meta.frame_ms;
  const parts = [`${p50.toFixed(1)} ms a frame`, `${rate.toFixed(1)} frames/s`];
  if (isLate && rate < 0.9 * fullRate) {
    parts[1] += `: this machine is slow, the game's time runs ${(fullRate / rate).toFixed(1)} times slower`;
  }
  byId('pace').textContent = loop.paused ? 'Paused.' : parts.join(' · ');
  byId('smooth').checked = loop.smooth;
  byId('rate').textContent = rate.toFixed(1);
  byId('p50').textContent = p50.toFixed(1);
  byId('p95').textContent = p95.toFixed(1);
}

// What the loop reports to.
const view = {
  notice, moment: showMoment, truth: showTruth, pace: showPace, metres: showMetres,
  drift: drift => Object.assign(byId('drift'), { value: drift, title: drift.toFixed(2) }),
  player: name => {
    byId('player').value = name;
    byId('watch').textContent = name === 'you' ? 'Watch it run' : 'Play yourself';
  },
  fixed: () => sliders.fixed(),
};

// ---- what is done

function pause(paused) {
  loop.paused = paused;
  byId('pause').textContent = paused ? 'Resume' : 'Pause';
  byId('pause').setAttribute('aria-pressed', String(paused));
}

function addPlayer(name, text, make) {
  const list = byId('player'), known = list.querySelector(`[value="${name}"]`);
  if (known) known.textContent = text;
  else list.append(new Option(text, name));
  players[name] = make;
}

// What train_player.py has left beside the model, if anything -> is it there?
async function findLearned() {
  if (!self.DREAM_PLAYER) await loadScript(`model/${byId('model').value}/player.js`).catch(() => {});
  return Boolean(self.DREAM_PLAYER);
}

async function choosePlayer(name) {
  if (loop.truth?.isRecorded) loop.setTruth(null);
  if (name === 'learned' && !await findLearned()) {
    loop.setPlayer('you');
    return notice('Nobody has learned in this dream yet: run  python train_player.py');
  }
  if (name.startsWith('gait') || name === 'learned') {
    loop.begin(0);
    if (loop.truth) loop.beginTruth();
  }
  loop.setPlayer(name, players[name]());
}

// The best player that there is.
async function watch() {
  const known = dream.meta.readout && await findLearned() ? 'learned' : 'gait0';
  await choosePlayer(known in players ? known : 'random');
}

function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else byId('play').requestFullscreen?.();
}

async function openTruth(name) {
  if (!name) return loop.setTruth(null);
  try {
    const open = name === 'live' ? liveRunner(dream.meta) : recordedClip(self.DREAM_CLIPS[name], dream.meta);
    const truth = new Truth(await open);
    loop.takeOver();
    loop.setTruth(truth);
  } catch (error) {
    loop.setTruth(null);
    notice(`There is nothing to compare with: ${error.message}`);
  }
}

async function startFromPicture(file) {
  try {
    const bitmap = await createImageBitmap(file), small = surface();
    small.imageSmoothingQuality = 'high';
    small.drawImage(bitmap, 0, 0, SIDE, SIDE);
    bitmap.close();
    const z = await dream.encode(small.getImageData(0, 0, SIDE, SIDE).data);
    loop.setTruth(null);
    loop.setPlayer('you');
    loop.begin({ z });
    notice('The dream continues from your picture, as well as 16 numbers can describe it.');
  } catch (error) {
    notice(`"${file.name}" is not a picture that this browser can open: try a PNG or JPEG (${error.message}).`);
  }
}

// A small picture that is also a button or a figure: of a frame, with a text under it.
function thumbnail(kind, rgba, text) {
  const element = document.createElement(kind), small = surface();
  putFrame(small, rgba);
  element.append(small.canvas, text);
  return element;
}

async function showEffects() {
  const names = dream.meta.keys.map(key => nameOf(codeOf(key)));
  const effects = await effectsOf(dream, Math.round(EFFECT_MS / dream.meta.frame_ms));
  byId('effects').replaceChildren(...effects.map(({ keys, rgba }) =>
    thumbnail('span', rgba, names.filter((_, key) => keys[key]).join(' ') || 'no key')));
}

async function showBenchmark() {
  const result = byId('bench-result');
  result.hidden = false;
  result.textContent = await benchmark(dream, rgba => loop.draw(rgba), 300, share => {
    result.textContent = `${Math.round(100 * share)}%`;
  });
  navigator.clipboard?.writeText(result.textContent).catch(() => {});
}

// ---- connections

function readOptions() {
  loop.smooth = byId('smooth').checked;
  loop.ghost = byId('ghost').checked;
  loop.pullBack = byId('nudge').checked;
  loop.watchDrift = byId('inside').open;
  loop.compare = byId('compare').open;
  loop.speed = 2 ** Number(byId('speed').value);
  byId('speed-now').textContent = `${Number(loop.speed.toPrecision(2))}×`;
  const chance = Number(byId('chance').value);
  if (dream.frame && chance !== dream.temperature) dream.start = null;  // then no link can repeat the dream
  dream.temperature = chance;
  byId('chance-now').textContent = chance ? `${chance}×` : 'none';
  document.body.dataset.crisp = byId('crisp').checked ? 'yes' : '';
  if (loop.past.length) showMoment();
}

function connectOptions() {
  byId('chance').parentElement.hidden = !dream.lots;
  byId('smooth').checked = !matchMedia('(prefers-reduced-motion: reduce)').matches;
  for (const id of ['smooth', 'crisp', 'ghost', 'nudge', 'speed', 'chance']) byId(id).addEventListener('input', readOptions);
  for (const id of ['inside', 'compare']) byId(id).addEventListener('toggle', readOptions);
  readOptions();
}

function connectPlaying() {
  byId('restart').onclick = () => loop.queue(() => loop.restart());
  byId('restart').querySelector('kbd').hidden = keyboard.codes.includes('KeyR');  // then R is a key of the game
  byId('pause').onclick = () => pause(!loop.paused);
  byId('back').onclick = () => { pause(true); loop.queue(() => loop.goBack(loop.at - 1)); };
  byId('forward').onclick = () => {
    pause(true);
    loop.queue(() => loop.at + 1 < loop.past.length ? loop.goBack(loop.at + 1) : loop.nextFrame());
  };
  byId('past').oninput = ({ target: { value } }) => { pause(true); loop.queue(() => loop.goBack(Number(value))); };
  byId('player').onchange = ({ target: { value } }) => loop.queue(() => choosePlayer(value));
  byId('watch').onclick = () => loop.queue(() => loop.isPersonPlaying ? watch() : loop.takeOver());
  byId('full').onclick = toggleFull;
  byId('full').hidden = !document.fullscreenEnabled;
  addEventListener('keydown', event => {
    const isForUs = event.code === 'KeyF' && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (isForUs && !keyboard.codes.includes('KeyF')) toggleFull();
  });
  byId('model').onchange = ({ target }) => { location.href = `?model=${target.value}`; };
  addEventListener('hashchange', () => location.reload());  // another link in the same tab
}

// A picture of one's own: chosen, dropped or pasted.
function connectPictures() {
  const take = ([file]) => { if (file) loop.queue(() => startFromPicture(file)); };
  byId('file').onchange = ({ target }) => {
    take(target.files);
    target.value = '';
  };
  addEventListener('dragover', event => event.preventDefault());
  addEventListener('drop', event => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  addEventListener('paste', event => take(event.clipboardData.files));
}

function connectPanels(model) {
  byId('beside').onchange = ({ target: { value } }) => loop.queue(() => openTruth(value));
  byId('sync').onclick = () => loop.queue(() => loop.truth.setDream(dream).then(() => { loop.before = null; }));
  byId('gif').onclick = () => loop.queue(saveGif);
  byId('link').onclick = () => copyLink(model);
  byId('show-effects').onclick = () => loop.queue(showEffects);
  byId('bench').onclick = () => loop.queue(showBenchmark);
}
