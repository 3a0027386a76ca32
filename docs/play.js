'use strict';
// The screen and the keys: loads engine and model, then draws the dream at the game's pace.

const ENGINE = 'vendor/onnxruntime-web/ort-wasm.js';

const byId = id => document.getElementById(id);
const brush = byId('picture').getContext('2d');
const image = brush.createImageData(96, 96);

const held = new Set();    // letters held now, by keyboard or pointer
const tapped = new Set();  // letters pressed since the last step: a short tap counts for one frame
const buttons = new Map(); // letter: its button on the page
let wantedStart = 0;       // number of the start state to go to before the next frame, or null

// ---- keys

function press(letter) {
  held.add(letter);
  tapped.add(letter);
  buttons.get(letter).setAttribute('aria-pressed', 'true');
}

function release(letter) {
  held.delete(letter);
  buttons.get(letter).setAttribute('aria-pressed', 'false');
}

function releaseAll() {
  for (const letter of buttons.keys()) release(letter);
  tapped.clear();
}

// event.code names the place on the keyboard, so Caps Lock, Shift and layouts do not matter.
function letterOf(event) {
  const letter = event.code.startsWith('Key') ? event.code.slice(3).toLowerCase() : '';
  return buttons.has(letter) || letter === 'r' ? letter : null;
}

function listen() {
  addEventListener('keydown', event => {
    const letter = letterOf(event);
    if (!letter || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();  // Firefox would search the page
    if (buttons.has(letter)) { if (!event.repeat) press(letter); }
    else wantedStart = 0;
  });
  addEventListener('keyup', event => {
    const letter = letterOf(event);
    if (buttons.has(letter)) release(letter);
  });
  addEventListener('blur', releaseAll);
  document.addEventListener('visibilitychange', releaseAll);
}

function makeButton(letter) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = letter.toUpperCase();
  button.setAttribute('aria-label', `Key ${letter.toUpperCase()}`);
  button.addEventListener('pointerdown', event => {
    event.preventDefault();
    button.setPointerCapture(event.pointerId);  // the finger may slide off the button
    press(letter);
  });
  button.addEventListener('lostpointercapture', () => release(letter));  // up and cancel, too
  button.addEventListener('contextmenu', event => event.preventDefault());  // a long touch
  byId('keys').append(button);
  buttons.set(letter, button);
  release(letter);
}

// ---- words

function say(words) {
  byId('status').textContent = words;
}

function fail(words) {
  document.body.dataset.state = 'error';
  say(words);
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

const loaded = {};  // url: bytes there so far

function count(url, bytes) {
  loaded[url] = bytes;
  const sum = Object.values(loaded).reduce((a, b) => a + b, 0);
  if (document.body.dataset.state === 'loading') say(`Loading the dream: ${(sum / 1e6).toFixed(1)} MB`);
}

// Run a classic script. Over http its bytes are counted as they come; file:// has no fetch, and is quick.
async function load(url) {
  let source = url;
  if (location.protocol !== 'file:') {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
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
  if (!/^[a-z0-9_-]+$/.test(name)) {
    throw new Error(`"${name}" is no name of a model: small letters, digits, - and _ only.`);
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
  await Promise.all([explain(noEngine, load(ENGINE)), explain(noModel, load(`model/${name}/model.js`))]);
  const { DREAM_MODEL: model, ORT_WASM: engine } = self;
  if (typeof ort !== 'object' || !engine) throw new Error(noEngine);
  if (model?.meta?.format !== 1) throw new Error(`model/${name}/model.js is damaged: export it again.`);
  const packed = model.dynamics.length + model.decoder.length + engine.wasm.length;
  say(`Unpacking ${(packed / 1e6).toFixed(1)} MB…`);
  delete self.DREAM_MODEL;  // tens of MB of text that nobody needs any more
  delete self.ORT_WASM;
  return explain(noStart, openDream(engine, model));
}

// ---- playing

const sleep = ms => new Promise(done => setTimeout(done, ms));
const change = () => new Promise(done => document.addEventListener('visibilitychange', done, { once: true }));

function draw(rgba) {
  image.data.set(rgba);
  brush.putImageData(image, 0, 0);
}

function nextFrame(dream) {
  if (wantedStart !== null) {
    dream.restart(wantedStart);
    wantedStart = null;
    return dream.paint();
  }
  const keys = dream.meta.keys.map(letter => Number(held.has(letter) || tapped.has(letter)));
  tapped.clear();
  return dream.step(keys);
}

// Step, draw, then wait for what is left of the frame. A slow machine slows the game's time; it never jumps.
async function play(dream) {
  const frameMs = dream.meta.frame_ms;
  let due = performance.now(), since = due, frames = 0, busy = 0;
  for (;;) {
    while (document.hidden) await change();
    const began = performance.now();
    draw(await nextFrame(dream));
    const now = performance.now();
    frames += 1;
    busy += now - began;
    if (now - since >= 1000) {
      const rate = 1000 * frames / (now - since);
      byId('pace').textContent = `${(busy / frames).toFixed(1)} ms a frame · ${rate.toFixed(1)} frames/s`;
      [since, frames, busy] = [now, 0, 0];
    }
    due = Math.max(due + frameMs, now);
    await sleep(due - now);
  }
}

async function start() {
  const dream = window.dream = await openModel(new URLSearchParams(location.search).get('model') ?? 'runner');
  const { game, keys, starts, parameters } = dream.meta;
  document.title = `${game}, hallucinated`;
  keys.forEach(makeButton);
  listen();
  let elsewhere = 0;
  byId('restart').onclick = () => { wantedStart = 0; };
  byId('elsewhere').onclick = () => { wantedStart = elsewhere = elsewhere % (starts.length - 1) + 1; };
  byId('restart').disabled = false;
  byId('elsewhere').disabled = starts.length < 2;
  document.body.dataset.state = 'ready';
  say(`Ready: ${game}, dreamed by ${(parameters / 1e6).toFixed(1)} million parameters.`);
  await explain('The dream broke off: load the page again', play(dream));
}

start().catch(error => fail(error.message));
