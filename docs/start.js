'use strict';
// The start: opens the model that the address names, fills the lists, connects everything, and plays.

const REAL = /^https?:\/\/(?!localhost|127\.)/;  // an address of the real game that others can open, too

const KINDS = { random: 'random keys', gait: 'a running gait', human: 'human-like keys', held: 'long-held keys' };  // of clips

const modelName = readAddress().model || 'runner';
let dream = null, keyboard = null, loop = null, sliders = null;

function fillTexts(meta) {
  const { game, keys, parameters, shape, url } = meta, names = keys.map(key => nameOf(codeOf(key)));
  document.title = byId('title').textContent = `${titleOf(meta)}, hallucinated`;
  document.body.style.setProperty('--shape', shape[0] / shape[1]);
  if (REAL.test(url)) byId('real').href = url;
  else byId('real').hidden = game !== 'runner';
  byId('help-names').textContent = names.join(', ');
  byId('hint').hidden = keys.join('') !== 'qwop';
  byId('map-box').hidden = !meta.map;
  byId('about-model').textContent = `This one has ${megabytes(parameters)} million parameters.`;
  // The code lies above this folder; of GitHub Pages, in the repository of the same name.
  const pages = `${location.host}${location.pathname}`.match(/^([\w-]+)\.github\.io\/([\w.-]+)\//);
  byId('code').hidden = !pages && location.protocol !== 'file:';
  byId('code').firstElementChild.href = pages ? `https://github.com/${pages[1]}/${pages[2]}` : '../README.md';
}

function fillLists({ game, gaits, keys, ticks_per_frame: ticks }) {
  const models = new Map([...MODELS.map(name => [name, name]), [modelName, game]]);
  byId('model').append(...Array.from(models, ([name, text]) => new Option(text, name, false, name === modelName)));
  addPlayer('random', 'random keys', () => randomPlayer(keys.length));
  if (dream.meta.readout) {
    addPlayer('learned', 'a player that learned in this dream', () => learnedPlayer(self.DREAM_PLAYER, dream.meta));
  }
  for (const [n, gait] of (gaits ?? []).entries()) {
    addPlayer(`gait${n}`, `a rhythm of keys: ${Math.round(gait.score)} ${unitOf(dream.meta)} in the game`,
      () => frame => gaitKeys(gait, frame, ticks));
  }
  if (game === 'runner') byId('beside').append(new Option('the real runner, live', 'live'));
}

// Clips lie beside the model, if it has any; they are loaded when the panel opens.
async function findClips() {
  await loadScript(`model/${modelName}/clips.js`);
  for (const [n, clip] of self.DREAM_CLIPS.entries()) {
    byId('beside').append(new Option(`recorded: ${KINDS[clip.kind]}`, String(n)));
  }
}

async function showStarts() {
  for (const [n, start] of dream.meta.starts.entries()) {
    const onclick = () => loop.queue(() => loop.restart(n)), ariaLabel = `Start state ${n + 1}`;
    byId('starts').append(thumbnail('button', await dream.paint(start.z), '', { ariaLabel, onclick }));
  }
}

function connect() {
  keyboard = new HeldKeys(byId('keys'), dream.meta.keys, {
    onKey: down => { if (down && !loop.isPersonPlaying) loop.queue(() => loop.takeOver()); },
    commands: { KeyR: () => loop.queue(() => loop.restart()), KeyF: toggleFull },
  });
  const [brush, truthBrush] = ['picture', 'truth'].map(id => byId(id).getContext('2d'));
  loop = new Loop(dream, keyboard, brush, truthBrush, view);
  sliders = makeSliders(dream.meta);
  connectControls();
  connectPictures();
  if (!dream.meta.sha256['clips.js']) return;
  byId('compare').addEventListener('toggle', () => findClips().catch(error => {
    notice(`The recorded clips are missing: ${error.message}`);
  }), { once: true });
}

async function start() {
  dream = await openModel(modelName);
  fillTexts(dream.meta);
  drawNetworks(byId('networks'), dream.meta);
  fillLists(dream.meta);
  connect();
  await showStarts();
  loop.begin(0);
  loop.draw(await dream.paint());
  document.body.dataset.state = 'ready';
  say(`Ready: ${dream.meta.game}, dreamed by ${megabytes(dream.meta.parameters)} million parameters.`);
  speak(byId('status').textContent);
  startTour();
  loop.queue(() => openLink(readLink(dream.meta)));
  await explain('The dream stopped: reload the page', loop.run());
}

start().catch(fail);
