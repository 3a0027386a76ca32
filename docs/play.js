'use strict';
// The screen: loads engine and model, then plays the dream at the game's pace and shows what there is to see of it.
// One loop does everything that runs a graph, so that never two runs overlap: whoever wants something else asks for it
// with wish(work), and has it done between two frames.

const ENGINE = 'vendor/onnxruntime-web/ort-wasm.js';
const GIF_ENCODER = 'vendor/gifenc/gifenc.js';
const MODELS = ['qwop', 'runner'];             // those that ship
const REAL = /^https?:\/\/(?!localhost|127\.)/;  // an address of the real game that others can open, too
const KEPT_S = 30;         // seconds that can be gone back, and saved
const JUMP = 8;            // a step of so many dz_std is a cut (a new life): nothing lies between its two frames
const CATCH_UP = 4;        // frames that one painting may be late; beyond that the game's time is slowed
const SLOW_PAINT_MS = 10;  // a slower decoder paints dreamed frames only, none between them

const byId = id => document.getElementById(id);
const brush = byId('picture').getContext('2d');
const truthBrush = byId('truth').getContext('2d');
const image = brush.createImageData(SIDE, SIDE);

let keyboard = null;  // the keys that a person holds

const page = {
  speed: 1, paused: false,
  pulled: false,   // was the drifting dream pulled back just now?
  player: null,    // who plays, if no person: see auto.js
  replay: null,    // {frames, sum} of the link that is played
  truth: null,     // what plays beside the dream: see truth.js
  before: null,    // z of the frame before the present one, if there is something between them
  shown: null,     // the z that was painted last
  wishes: [],
  past: [],        // moments: dream.here, keys held then, metres, number and picture of the truth
  at: -1,          // which of them the dream is at
  metres: 0,
};

// ---- words

function say(words) {
  byId('status').textContent = words;
}

function fail(words) {
  document.body.dataset.state = 'error';
  byId('progress').hidden = true;
  say(words);
}

function notice(words) {
  byId('notice').textContent = words;
  byId('notice').hidden = !words;
}

// Wait for `work`; if it fails, say what that means.
async function explain(words, work) {
  try {
    return await work;
  } catch (error) {
    throw new Error(`${words} (${error.message})`);
  }
}

// ---- loading

const loaded = {}, sizes = {};  // url: bytes there so far, bytes in all as far as the server tells

function count(url, bytes) {
  loaded[url] = bytes;
  if (document.body.dataset.state !== 'loading') return;
  const [sum, all] = [loaded, sizes].map(part => Object.values(part).reduce((a, b) => a + b, 0));
  say(`Loading the dream: ${(sum / 1e6).toFixed(1)} MB${all >= sum ? ` of ${(all / 1e6).toFixed(1)}` : ''}`);
  byId('progress').hidden = false;
  if (all >= sum) byId('progress').value = sum / all;
}

// Run a classic script. Over http its bytes are counted as they come; file:// has no fetch, and is quick.
async function loadScript(url) {
  let source = url;
  if (location.protocol !== 'file:') {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
    sizes[url] = Number(response.headers.get('content-length'));
    const parts = [], reader = response.body.getReader();
    for (let bytes = 0, part; !(part = await reader.read()).done; count(url, bytes)) {
      parts.push(part.value);
      bytes += part.value.length;
    }
    source = URL.createObjectURL(new Blob(parts, { type: 'text/javascript' }));
  }
  await new Promise((done, wrong) => {
    const script = document.createElement('script');
    script.src = source;
    script.onload = done;
    script.onerror = () => wrong(new Error(`${url} cannot be read`));
    document.head.append(script);
  });
  if (source !== url) URL.revokeObjectURL(source);
}

async function openModel(name) {
  if (!/^[\w-]+$/.test(name)) {
    throw new Error(`"${name}" is no name of a model: letters, digits, - and _ only.`);
  }
  if (typeof WebAssembly !== 'object') {
    throw new Error('This browser has no WebAssembly, or it is off: allow it or try another browser.');
  }
  if (typeof DecompressionStream !== 'function') {
    throw new Error('This browser is too old: try a current Chrome, Edge, Firefox or Safari.');
  }
  const noEngine = 'The engine is missing: get the whole docs folder, or run  python docs/vendor/vendor.py';
  const noModel = `There is no dream called "${name}" here: make it with  ` +
    `python export.py --game ${name} --out docs/model/${name}`;
  const noStart = 'The dream did not start: try a current browser, or export the model again';
  say('Loading the dream…');
  await Promise.all([explain(noEngine, loadScript(ENGINE)), explain(noModel, loadScript(`model/${name}/model.js`))]);
  const { DREAM_MODEL: model, ORT_WASM: engine } = self;
  if (typeof ort !== 'object' || !engine) throw new Error(noEngine);
  if (!model?.meta?.format) throw new Error(`model/${name}/model.js is damaged: export it again.`);
  if (model.meta.format !== 1) {
    throw new Error(`model/${name} has format ${model.meta.format}, this page plays format 1: get both from one version.`);
  }
  const packed = model.encoder.length + model.dynamics.length + model.decoder.length + engine.wasm.length;
  say(`Unpacking ${(packed / 1e6).toFixed(1)} MB…`);
  byId('progress').hidden = true;
  delete self.DREAM_MODEL;  // tens of MB of text that nobody needs any more
  delete self.ORT_WASM;
  return explain(noStart, openDream(engine, model));
}

// ---- pictures

function draw(rgba) {
  image.data.set(rgba);
  brush.putImageData(image, 0, 0);
  if (page.truth && byId('ghost').checked) {
    brush.globalAlpha = 0.4;
    brush.drawImage(truthBrush.canvas, 0, 0);
    brush.globalAlpha = 1;
  }
}

function drawTruth(rgba) {
  truthBrush.putImageData(new ImageData(new Uint8ClampedArray(rgba), SIDE, SIDE), 0, 0);
}

// Paint what lies `share` of the way between the frame before and the present one.
async function show(dream, share) {
  const between = page.before && share < 1 && byId('smooth').checked;
  const z = between ? dream.z.map((x, n) => page.before[n] + share * (x - page.before[n])) : dream.z;
  if (z === page.shown) return;
  page.shown = z;
  const begun = performance.now();
  const rgba = await dream.paint(z);
  page.paintMs = performance.now() - begun;
  draw(rgba);
}

// ---- frames

// The keys for the next frame: those that a recording, a player or a person holds.
function nextKeys(dream) {
  const { truth, player } = page;
  if (truth?.keys) return truth.keys(truth.goTo ?? truth.number);
  const keys = player?.next(dream.frame);
  if (keys) return keys;
  if (player) setPlayer('you');
  if (page.replay) endReplay(dream);
  return keyboard.held();
}

async function nextFrame(dream) {
  const keys = nextKeys(dream), before = dream.z, begun = performance.now();
  await dream.step(keys);
  const stepMs = performance.now() - begun;
  const kept = locked();
  if (kept.length) setNumbers(dream, kept);
  const jump = Math.max(...dream.z.map((x, n) => Math.abs(x - before[n]) / dream.meta.dz_std[n])) > JUMP;
  page.before = jump ? null : before;
  if (page.player || page.truth?.keys) keyboard.show(keys);
  if (page.truth) await nextTruth(dream, keys);
  const watched = byId('inside').open || byId('nudge').checked;
  if (watched && dream.meta.drift_limit && dream.frame % DRIFT_EVERY === 0) await watchDrift(dream);
  noteMetres(dream);
  remember(dream, keys);
  noteTime(stepMs + (page.paintMs ?? 0));
}

// Other values for some of the 16 numbers: [[number, value]]
function setNumbers(dream, values) {
  const z = Float32Array.from(dream.z);
  for (const [n, value] of values) z[n] = value;
  dream.z = z;
}

function noteMetres(dream) {
  if (!dream.meta.readout) return;
  const [step, over] = read(dream.meta.readout, dream.z, dream.state.h.data, 0, 1);
  page.metres = page.wasOver ? 0 : page.metres + step;
  page.wasOver = over > 0.5;
}

async function watchDrift(dream) {
  const [drift, home] = await driftOf(dream);
  byId('drift').value = drift;
  byId('drift').title = drift.toFixed(2);
  const pull = drift > 1 && byId('nudge').checked;
  if (pull) dream.z = home;
  if (pull !== page.pulled) notice(pull ? 'The dream drifts: it is pulled back to what training has seen.' : '');
  page.pulled = pull;
}

// Put the present moment at the end of the past; what lay after it is forgotten.
function remember(dream, keys) {
  const { metres, truth } = page;
  page.past.splice(page.at + 1);
  page.past.push({ ...dream.here, keys, metres, truth: truth && { number: truth.number, rgba: truth.rgba,
    difference: truth.differences.at(-1) } });
  if (page.past.length > 1000 * KEPT_S / dream.meta.frame_ms) page.past.shift();
  page.at = page.past.length - 1;
  showMoment(dream);
}

function showMoment(dream) {
  const past = byId('past');
  past.max = Math.max(page.past.length - 1, 0);
  past.value = page.at;
  past.setAttribute('aria-valuetext', `frame ${dream.frame}`);
  byId('sum').textContent = sumToText(dream.sum);
  if (byId('inside').open) {
    showZ(dream.z);
    drawCurves(byId('chart'), dream.meta, page.past.slice(0, page.at + 1));
  }
}

// To moment number `at` of the past. The truth is played again up to there when the dream goes on.
function goBack(dream, at) {
  if (!page.past.length) return;
  page.at = Math.min(Math.max(at, 0), page.past.length - 1);
  const moment = page.past[page.at];
  dream.goTo({ state: moment.state, frame: moment.frame, sum: moment.sum, start: moment.start, log: moment.log });
  page.before = null;
  page.metres = moment.metres;
  if (page.truth && moment.truth) {
    drawTruth(moment.truth.rgba);
    page.truth.goTo = moment.truth.number;
  }
  showMoment(dream);
}

// Begin anew: from start state `number`, or from a state {z, h, c}.
function begin(dream, from) {
  if (typeof from === 'number') dream.restart(from);
  else dream.place(from);
  Object.assign(page, { before: null, past: [], at: -1, metres: 0, wasOver: false });
  if (page.replay) page.replay = null;
  remember(dream, dream.meta.keys.map(() => 0));
}

function restart(dream, number = 0) {
  setPlayer('you');
  if (page.truth?.keys) setTruth(dream, null);
  begin(dream, number);
  if (page.truth) beginTruth(dream);
  notice('');
}

// ---- the truth beside it

function setTruth(dream, truth) {
  page.truth = truth;
  byId('truth-stage').hidden = !truth;
  document.body.dataset.beside = truth ? 'yes' : '';
  byId('stage').querySelector('figcaption').hidden = !truth;
  byId('sync').disabled = !truth || Boolean(truth.keys);
  if (truth) beginTruth(dream);
  else byId('beside').value = '';
}

function beginTruth(dream) {
  const { truth } = page;
  Object.assign(truth, { number: 0, goTo: null, played: [], seen: [], differences: [], rgba: truth.begin() });
  drawTruth(truth.rgba);
  begin(dream, truth.start === dream.meta.starts[0] ? 0 : truth.start);
}

async function nextTruth(dream, keys) {
  const { truth } = page;
  if (truth.goTo !== null) {  // after going back: the same keys give the same truth
    const played = truth.played.slice(0, truth.goTo);
    Object.assign(truth, { number: 0, goTo: null, played: [], seen: [], rgba: truth.begin() });
    for (const row of played) advance(truth, row);
  }
  if (!advance(truth, keys)) return setTruth(dream, truth);  // a clip begins again
  drawTruth(truth.rgba);
  if (byId('compare').open || byId('ghost').checked) {
    truth.differences.push(differenceOf(truth.rgba, await dream.paint()));
    drawCurve(byId('difference'), truth.differences, 100, 64);
    byId('difference-told').textContent = truth.differences.at(-1).toFixed(1);
  }
}

function advance(truth, keys) {
  truth.seen = [...truth.seen, { rgba: truth.rgba, keys }].slice(-SEEN);
  truth.played.push(keys);
  truth.number += 1;
  const rgba = truth.next(keys, truth.number);
  if (rgba) truth.rgba = rgba;
  return rgba;
}

async function openTruth(dream, name) {
  if (!name) return setTruth(dream, null);
  notice('');
  try {
    setPlayer('you');
    page.live ??= name === 'live' ? await liveRunner(dream.meta) : null;
    setTruth(dream, name === 'live' ? page.live : await recordedClip(self.DREAM_CLIPS[Number(name)], dream.meta));
  } catch (error) {
    setTruth(dream, null);
    notice(`There is nothing to compare with: ${error.message}`);
  }
}

// ---- who plays

function setPlayer(name, player = null) {
  if (player) page.replay = null;
  page.player = player;
  byId('player').value = name;
  keyboard.showHeld();
}

function addPlayer(name, words, make) {
  const option = byId('player').querySelector(`[value="${name}"]`) ?? byId('player').appendChild(document.createElement('option'));
  option.value = name;
  option.textContent = words;
  players[name] = make;
}

const players = { you: () => null };

function choosePlayer(dream, name) {
  if (page.truth?.keys) setTruth(dream, null);
  page.replay = null;
  if (name.startsWith('gait') || name === 'best') {
    begin(dream, 0);
    if (page.truth) beginTruth(dream);
  }
  setPlayer(name, players[name]());
}

async function search(dream) {
  const button = byId('search');
  page.searching = true;
  try {
    const best = await searchGait(dream, (tried, metres) => {
      button.textContent = `Stop: ${tried} tried, best ${metres.toFixed(1)} m`;
    }, () => !page.searching);
    if (best.gait) {
      addPlayer('best', `best run found: ${best.metres.toFixed(1)} m in the dream`,
        () => gaitPlayer(best.gait, dream.meta.ticks_per_frame));
      choosePlayer(dream, 'best');
    }
  } finally {
    page.searching = false;
    button.textContent = 'Search a run';
  }
}

// ---- links

function beginReplay(dream, said) {
  begin(dream, said.start);
  page.player = logPlayer(said.log, dream.meta.keys.length);
  page.replay = said;
  notice(said.mark === modelMark(dream.meta) ? `A dream from a link: ${said.log.length} frames. Any key takes over.`
    : 'This link was made with another version of the model: it will dream other pictures.');
}

function endReplay(dream) {
  const { log, sum } = page.replay, same = sum === sumToText(dream.sum);
  page.replay = null;
  notice(`${log.length} frames dreamed again. Checksum ${sumToText(dream.sum)}: ` +
    (same ? 'the same pictures, bit for bit. Your turn.' : `the link says ${sum}, so these are other pictures. Your turn.`));
}

function copyLink(dream, name) {
  const why = dream.start === null ? 'This dream was changed by hand, or began with a picture: no link can repeat it. Restart first.'
    : dream.log.length > LINK_FRAMES ? 'This dream is too long for a link. Restart first.' : null;
  if (why) {
    byId('kept').textContent = why;
    return;
  }
  const link = linkTo(dream, name), box = document.createElement('a');
  box.href = link;
  box.textContent = `This link repeats ${dream.log.length} frames`;
  byId('kept').replaceChildren(box);
  navigator.clipboard?.writeText(link).then(() => { box.textContent += ' (copied)'; }, () => {});
}

async function saveGif(dream) {
  const button = byId('gif'), words = button.textContent;
  button.disabled = true;
  try {
    if (!self.gifenc) await explain('The GIF encoder is missing', loadScript(GIF_ENCODER));
    const moments = page.past.slice(0, page.at + 1);
    const gif = await makeGif(dream, moments, share => { button.textContent = `Saving ${Math.round(100 * share)}%`; });
    saveAs(gif, `${dream.meta.game}-dream.gif`);
    byId('kept').textContent = `${moments.length} frames, ${(gif.size / 1e6).toFixed(1)} MB.`;
  } catch (error) {
    byId('kept').textContent = error.message;
  } finally {
    button.disabled = false;
    button.textContent = words;
  }
}

// ---- a picture to begin with

async function beginWith(dream, file) {
  try {
    const bitmap = await createImageBitmap(file), small = surface();
    small.imageSmoothingQuality = 'high';
    small.drawImage(bitmap, 0, 0, SIDE, SIDE);
    bitmap.close();
    const z = await dream.encode(small.getImageData(0, 0, SIDE, SIDE).data);
    setTruth(dream, null);
    setPlayer('you');
    begin(dream, { z });
    notice('The dream goes on from your picture, as far as 16 numbers can hold it.');
  } catch (error) {
    notice(`"${file.name}" is no picture that this browser can open: try a PNG or JPEG (${error.message}).`);
  }
}

// ---- playing

const nextPaint = () => new Promise(requestAnimationFrame);
const change = () => new Promise(done => document.addEventListener('visibilitychange', done, { once: true }));

function wish(work) {
  page.wishes.push(work);
}

// Step, draw, wait for the next painting. A slow machine slows the game's time; it never jumps. A key that a person presses
// or lets go brings the next frame forward by up to half a frame; the one after it is on time again.
async function play(dream) {
  let due = performance.now(), since = due, frames = 0, late = 0, length = 1;
  for (;;) {
    await nextPaint();
    while (document.hidden) {
      await change();
      due = performance.now();
    }
    keyboard.pollGamepad();
    for (const work of page.wishes.splice(0)) {
      await work(dream);
      page.shown = null;
      due = performance.now();
    }
    const frameMs = dream.meta.frame_ms / page.speed;
    if (page.paused) due = performance.now();
    let early = keyboard.changed && !page.player && !page.truth?.keys ? frameMs / 2 : 0;
    for (let n = 0; n < CATCH_UP && !page.paused && performance.now() >= due - early; n++) {
      await nextFrame(dream);
      due += frameMs;
      length = Math.max(due - performance.now(), 1);  // until the frame after this one
      early = 0;
      frames += 1;
    }
    if (performance.now() > due) {
      due = performance.now();
      late += Number(!page.paused);
    }
    const toPaint = 1000 / 60;  // ms until what is painted now is seen
    await show(dream, page.paused ? 1 : 1 - Math.min((due - performance.now() - toPaint) / length, 1));
    const seconds = (performance.now() - since) / 1000;
    if (seconds >= 1) {
      showPace(dream, frames / seconds, late);
      [since, frames, late] = [performance.now(), 0, 0];
    }
  }
}

function showPace(dream, rate, late) {
  const [p50, p95] = percentiles(times), wanted = 1000 * page.speed / dream.meta.frame_ms;
  if (page.paintMs > SLOW_PAINT_MS && byId('smooth').checked && late > 2) byId('smooth').checked = false;
  byId('pace').textContent = page.paused ? 'Paused.'
    : `${p50.toFixed(1)} ms a frame · ${rate.toFixed(1)} frames/s`
      + (late && rate < 0.9 * wanted ? `: this machine is slow, the game's time runs ${(wanted / rate).toFixed(1)} times slower` : '')
      + (dream.meta.readout ? ` · ${page.metres.toFixed(1)} m, as the dream remembers` : '');
  byId('rate').textContent = rate.toFixed(1);
  byId('p50').textContent = p50.toFixed(1);
  byId('p95').textContent = p95.toFixed(1);
}

function pause(paused) {
  page.paused = paused;
  byId('pause').textContent = paused ? 'Go on' : 'Pause';
  byId('pause').setAttribute('aria-pressed', String(paused));
}

// ---- start

function connect(dream, name) {
  const { meta } = dream;
  keyboard = new HeldKeys(byId('keys'), meta.keys, {
    onKey: down => {
      if (!down) return;
      page.searching = false;
      if (!page.player && !page.truth?.keys) return;
      wish(() => {  // a person takes over
        if (page.truth?.keys) setTruth(dream, null);
        page.replay = null;
        setPlayer('you');
        notice('');
      });
    },
    onRestart: () => wish(() => restart(dream)),
  });
  byId('restart').onclick = () => wish(() => restart(dream));
  byId('restart').querySelector('kbd').hidden = keyboard.codes.includes('KeyR');  // then R is a key of the game
  byId('pause').onclick = () => pause(!page.paused);
  byId('back').onclick = () => { pause(true); wish(() => goBack(dream, page.at - 1)); };
  byId('forward').onclick = () => {
    pause(true);
    wish(() => page.at + 1 < page.past.length ? goBack(dream, page.at + 1) : nextFrame(dream));
  };
  byId('past').oninput = event => { pause(true); wish(() => goBack(dream, Number(event.target.value))); };
  byId('speed').oninput = event => {
    page.speed = 2 ** Number(event.target.value);
    byId('speed-told').textContent = `${Number(page.speed.toPrecision(2))}×`;
  };
  byId('player').onchange = event => { const chosen = event.target.value; wish(() => choosePlayer(dream, chosen)); };
  byId('search').onclick = () => { if (page.searching) page.searching = false; else wish(() => search(dream)); };
  byId('search').hidden = !meta.readout;
  byId('model').onchange = event => { location.href = `?model=${event.target.value}`; };
  addEventListener('hashchange', () => location.reload());  // another link in the same tab
  byId('file').onchange = event => {
    const [file] = event.target.files;
    if (file) wish(() => beginWith(dream, file));
    event.target.value = '';
  };
  addEventListener('dragover', event => event.preventDefault());
  addEventListener('drop', event => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) wish(() => beginWith(dream, file));
  });
  addEventListener('paste', event => {
    const [file] = event.clipboardData.files;
    if (file) wish(() => beginWith(dream, file));
  });
  byId('crisp').onchange = event => { document.body.dataset.crisp = event.target.checked ? 'yes' : ''; };
  byId('smooth').checked = !matchMedia('(prefers-reduced-motion: reduce)').matches;
  makeSliders(meta, (n, value) => wish(() => {
    setNumbers(dream, [[n, value]]);
    page.before = null;
  }));
  byId('inside').ontoggle = () => showMoment(dream);
  byId('beside').onchange = event => { const chosen = event.target.value; wish(() => openTruth(dream, chosen)); };
  byId('sync').onclick = () => wish(async () => {
    await syncTo(dream, [...page.truth.seen, { rgba: page.truth.rgba }]);
    page.before = null;
  });
  byId('gif').onclick = () => wish(() => saveGif(dream));
  byId('link').onclick = () => copyLink(dream, name);
  byId('bench').onclick = () => wish(async () => {
    const told = byId('bench-told');
    told.hidden = false;
    told.textContent = await benchmark(dream, draw, 300, share => { told.textContent = `${Math.round(100 * share)}%`; });
    navigator.clipboard?.writeText(told.textContent).catch(() => {});
  });
}

function fillChoices(dream, name) {
  const { game, gaits, keys, parameters, shape, url } = dream.meta;
  const title = game === keys.join('') ? game.toUpperCase() : game;  // QWOP is called after its keys
  document.title = byId('title').textContent = `${title}, hallucinated`;
  if (shape) document.body.style.setProperty('--shape', shape[0] / shape[1]);
  if (REAL.test(url)) byId('real').href = url;
  else byId('real').hidden = game !== 'runner';
  for (const known of new Set([...MODELS, name])) {
    byId('model').append(new Option(known === name ? game : known, known, known === name, known === name));
  }
  addPlayer('random', 'random keys', () => randomPlayer(keys.length));
  (gaits ?? []).forEach((gait, n) => {
    addPlayer(`gait${n}`, `a gait: ${Math.round(gait.score)} m in the game`, () => gaitPlayer(gait, dream.meta.ticks_per_frame));
  });
  if (game === 'runner') byId('beside').append(new Option('the real runner, live', 'live'));
  byId('help-keys').textContent = `Hold ${keys.map(key => nameOf(codeOf(key))).join(', ')} on the keyboard, or the buttons, ` +
    'with several fingers if you like.';
  byId('about-model').textContent = `This one has ${(parameters / 1e6).toFixed(1)} million parameters.`;
  // The code lies above this folder, on GitHub Pages in the repository of the same name.
  const [, owner, repository] = `${location.host}${location.pathname}`.match(/^([\w-]+)\.github\.io\/([\w.-]+)\//) ?? [];
  byId('code').hidden = !owner && location.protocol !== 'file:';
  byId('code').firstElementChild.href = owner ? `https://github.com/${owner}/${repository}` : '../README.md';
  byId('backend').textContent = `wasm, ${ort.env.wasm.numThreads} thread`;
}

// Clips lie beside the model, if it has any. They are loaded by who wants to see them.
async function findClips(dream, name) {
  if (!dream.meta.sha256['clips.js']) return;
  if (!byId('compare').open) await new Promise(done => byId('compare').addEventListener('toggle', done, { once: true }));
  await loadScript(`model/${name}/clips.js`);
  self.DREAM_CLIPS.forEach((clip, n) => byId('beside').append(new Option(`recorded: ${clip.kind} keys`, String(n))));
}

async function showStarts(dream) {
  for (const [n, start] of dream.meta.starts.entries()) {
    const button = document.createElement('button'), small = surface();
    button.type = 'button';
    button.setAttribute('aria-label', `Start state ${n + 1}`);
    small.putImageData(new ImageData(new Uint8ClampedArray(await dream.paint(start.z)), SIDE, SIDE), 0, 0);
    button.append(small.canvas);
    button.onclick = () => wish(() => restart(dream, n));
    byId('starts').append(button);
  }
}

async function start() {
  const name = new URLSearchParams(location.search).get('model') ?? 'runner';
  const dream = window.dream = await openModel(name);
  fillChoices(dream, name);
  connect(dream, name);
  await showStarts(dream);
  begin(dream, 0);
  draw(await dream.paint());
  byId('controls').hidden = false;
  document.body.dataset.state = 'ready';
  say(`Ready: ${dream.meta.game}, dreamed by ${(dream.meta.parameters / 1e6).toFixed(1)} million parameters.`);
  findClips(dream, name).catch(error => notice(`The recorded clips are missing: ${error.message}`));
  try {
    const said = readLink(dream.meta);
    if (said) beginReplay(dream, said);
  } catch (error) {
    notice(`This link cannot be played: ${error.message}.`);
  }
  await explain('The dream broke off: load the page again', play(dream));
}

start().catch(error => fail(error.message));
