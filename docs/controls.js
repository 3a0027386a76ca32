'use strict';
// The controls: what can be pressed, dragged and chosen.

const EFFECT_MS = 500;  // after which the effects of keys are shown

const players = { you: () => null };  // name in the list: makes the player

function pause(paused) {
  loop.paused = paused;
  byId('pause').textContent = paused ? 'Resume' : 'Pause';
}

function addPlayer(name, text, open) {
  byId('player').append(new Option(text, name));
  players[name] = open;
}

// What train_player.py has left beside the model, if anything -> is it there?
async function findLearned() {
  if (!self.DREAM_PLAYER) await loadScript(`model/${modelName}/player.js`).catch(() => {});
  return self.DREAM_PLAYER?.encoder === dream.meta.sha256['encoder.onnx'].slice(0, 16);
}

async function choosePlayer(name) {
  if (loop.truth?.isRecorded) loop.setTruth(null);
  if (name === 'learned' && !await findLearned()) {
    loop.setPlayer('you');
    return notice(`Nobody has learned to play this dream yet${forOwner(': run train_player.py')}.`);
  }
  pause(false);
  if (name.startsWith('gait') || name === 'learned') loop.begin(0);
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
  loop.setTruth(null);
  if (!name) return;
  loop.takeOver();
  const open = name === 'live' ? liveRunner(dream.meta) : recordedClip(self.DREAM_CLIPS[name], dream.meta);
  loop.setTruth(new Truth(await explain('There is nothing to compare with', open)));
  byId('beside').value = name;
}

async function showEffects() {
  const names = [...keyboard.buttons.values()].map(button => button.firstChild.data);
  const effects = await effectsOf(dream, Math.round(EFFECT_MS / dream.meta.frame_ms));
  byId('effects').replaceChildren(...effects.map(({ keys, rgba }) =>
    thumbnail('span', rgba, names.filter((_, key) => keys[key]).join(' ') || 'no key')));
}

// ---- connections

function readOptions() {
  const isOn = id => byId(id).checked, ghosts = dream.noiseSize && isOn('ghosts') ? loop.ghosts ?? new Ghosts() : null;
  Object.assign(loop, { smooth: isOn('smooth'), ghost: isOn('ghost'), pullBack: isOn('nudge'), ghosts,
    watchDrift: byId('inside').open, compare: byId('compare').open, speed: 2 ** Number(byId('speed').value) });
  byId('speed-now').textContent = byId('speed').ariaValueText = `${Number(loop.speed.toPrecision(2))}×`;
  const chance = Number(byId('chance').value);
  if (dream.frame && chance !== dream.temperature) dream.start = null;  // then no link can repeat the dream
  dream.temperature = chance;
  byId('chance-now').textContent = chance ? `${chance}×` : 'none';
  if (!ghosts) byId('fallen').textContent = '';
  if (loop.past.length) showMoment();
}

function connectControls() {
  byId('chances').hidden = !dream.noiseSize;
  byId('smooth').checked = !matchMedia('(prefers-reduced-motion: reduce)').matches;
  const ids = ['smooth', 'ghost', 'ghosts', 'nudge', 'speed', 'chance', 'inside', 'compare'];
  for (const id of ids) byId(id).addEventListener(byId(id).matches('details') ? 'toggle' : 'input', readOptions);
  readOptions();

  const works = { restart: () => loop.restart(), watch: () => loop.isPersonPlaying ? watch() : loop.takeOver(),
    sync: () => loop.truth.setDream(dream).then(() => loop.remember()), gif: saveGif, 'show-effects': showEffects };
  for (const [id, work] of Object.entries(works)) byId(id).onclick = () => loop.queue(work);
  for (const [id, code] of [['restart', 'KeyR'], ['full', 'KeyF']]) {
    byId(id).querySelector('kbd').hidden = keyboard.codes.includes(code);  // then it is a key of the game
  }
  byId('pause').onclick = () => pause(!loop.paused);
  const standing = work => { pause(true); loop.queue(work); };
  const isPast = () => loop.at + 1 < loop.past.length;
  byId('back').onclick = () => standing(() => loop.goBack(loop.at - 1));
  byId('forward').onclick = () => standing(() => isPast() ? loop.goBack(loop.at + 1) : loop.nextFrame());
  byId('past').oninput = ({ target: { value } }) => standing(() => loop.goBack(Number(value)));
  byId('player').onchange = ({ target: { value } }) => loop.queue(() => choosePlayer(value));
  byId('beside').onchange = ({ target: { value } }) => loop.queue(() => openTruth(value));
  byId('link').onclick = () => copyLink(modelName);
  byId('full').onclick = toggleFull;
  byId('full').hidden = !document.fullscreenEnabled;
  byId('model').onchange = ({ target }) => {
    location.href = `?model=${target.value}`;
    target.value = modelName;  // for whoever comes back
  };
  addEventListener('hashchange', () => location.reload());  // another link in the same tab
}
