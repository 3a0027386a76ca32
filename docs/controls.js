'use strict';
// The controls: what can be pressed, dragged and chosen.

const EFFECT_MS = 500;  // after which the effects of keys are shown

const players = { you: () => null };  // name in the list: makes the player

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
  if (!self.DREAM_PLAYER) await loadScript(`model/${modelName}/player.js`).catch(() => {});
  return Boolean(self.DREAM_PLAYER);
}

async function choosePlayer(name) {
  if (loop.truth?.isRecorded) loop.setTruth(null);
  if (name === 'learned' && !await findLearned()) {
    loop.setPlayer('you');
    return notice(`Nobody has learned in this dream yet${forOwner(': run  python train_player.py')}.`);
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

async function showEffects() {
  const names = dream.meta.keys.map(key => nameOf(codeOf(key)));
  const effects = await effectsOf(dream, Math.round(EFFECT_MS / dream.meta.frame_ms));
  byId('effects').replaceChildren(...effects.map(({ keys, rgba }) =>
    thumbnail('span', rgba, names.filter((_, key) => keys[key]).join(' ') || 'no key')));
}

// ---- connections

function readOptions() {
  loop.smooth = byId('smooth').checked;
  loop.ghost = byId('ghost').checked;
  loop.pullBack = byId('nudge').checked;
  loop.watchDrift = byId('inside').open;
  loop.compare = byId('compare').open;
  loop.ghosts = byId('ghosts').checked ? loop.ghosts ?? new Ghosts(dream) : null;
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
  byId('lots').hidden = !dream.lots;
  byId('smooth').checked = !matchMedia('(prefers-reduced-motion: reduce)').matches;
  for (const id of ['smooth', 'crisp', 'ghost', 'ghosts', 'nudge', 'speed', 'chance']) {
    byId(id).addEventListener('input', readOptions);
  }
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

function connectPanels() {
  byId('beside').onchange = ({ target: { value } }) => loop.queue(() => openTruth(value));
  byId('sync').onclick = () => loop.queue(() => loop.truth.setDream(dream).then(() => { loop.before = null; }));
  byId('gif').onclick = () => loop.queue(saveGif);
  byId('link').onclick = () => copyLink(modelName);
  byId('show-effects').onclick = () => loop.queue(showEffects);
}
