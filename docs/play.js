'use strict';
// The screen and the keys: loads engine and model, then draws the dream at the game's pace.

const ENGINE = 'vendor/onnxruntime-web/ort-wasm.js';
const REAL = /^https?:\/\/(?!localhost|127\.)/;  // an address of the real game that others can open, too
const SIGNS = { ArrowLeft: '←', ArrowUp: '↑', ArrowRight: '→', ArrowDown: '↓' };
const MODIFIERS = { ctrlKey: 'Control', metaKey: 'Meta', altKey: 'Alt' };  // what an event says: how a code begins

const byId = id => document.getElementById(id);
const brush = byId('picture').getContext('2d');
const image = brush.createImageData(96, 96);

const held = new Set();    // codes of the keys held now, by keyboard or pointer
const tapped = new Set();  // codes of those pressed since the last step: a short tap counts for one frame
const buttons = new Map(); // code: its button on the page
let wantedStart = 0;       // number of the start state to go to before the next frame, or null

// ---- keys

// A key of meta.json is a letter, a digit or a KeyboardEvent's code. event.code names the place on the keyboard, so Caps
// Lock, Shift and layouts do not matter.
function codeOf(key) {
  return /^[a-z]$/i.test(key) ? `Key${key.toUpperCase()}` : /^\d$/.test(key) ? `Digit${key}` : key;
}

// What a person calls it: KeyQ is Q, ArrowLeft is ←, ShiftLeft is Shift Left.
function nameOf(code) {
  return SIGNS[code] ?? code.replace(/^(Key|Digit)(?=.$)/, '').replace(/([a-z])([A-Z0-9])/g, '$1 $2');
}

function press(code) {
  held.add(code);
  tapped.add(code);
  buttons.get(code).setAttribute('aria-pressed', 'true');
}

function release(code) {
  held.delete(code);
  buttons.get(code).setAttribute('aria-pressed', 'false');
}

function releaseAll() {
  for (const code of buttons.keys()) release(code);
  tapped.clear();
}

// Is it a shortcut of the browser? Not with a modifier that is a key of the game.
function isShortcut(event) {
  const codes = [...buttons.keys()];
  return Object.entries(MODIFIERS).some(([flag, name]) => event[flag] && !codes.some(code => code.startsWith(name)));
}

function listen() {
  addEventListener('keydown', event => {
    if (!buttons.has(event.code) && event.code !== 'KeyR' || isShortcut(event)) return;
    event.preventDefault();  // arrows and space would scroll, Firefox would search the page
    if (event.repeat) return;
    if (buttons.has(event.code)) press(event.code);
    else wantedStart = 0;
  });
  addEventListener('keyup', event => {
    if (!buttons.has(event.code)) return;
    event.preventDefault();  // space would click the button that has the focus
    release(event.code);
  });
  addEventListener('blur', releaseAll);
  document.addEventListener('visibilitychange', releaseAll);
}

function makeButton(code) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = nameOf(code);
  button.setAttribute('aria-label', `Key ${nameOf(code)}`);
  button.addEventListener('pointerdown', event => {
    event.preventDefault();
    button.setPointerCapture(event.pointerId);  // the finger may slide off the button
    press(code);
  });
  button.addEventListener('lostpointercapture', () => release(code));  // up and cancel, too
  button.addEventListener('contextmenu', event => event.preventDefault());  // a long touch
  byId('keys').append(button);
  buttons.set(code, button);
  release(code);
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
  const keys = dream.meta.keys.map(codeOf).map(code => Number(held.has(code) || tapped.has(code)));
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
  const { game, keys, starts, parameters, shape, url } = dream.meta;
  document.title = byId('title').textContent = `${game}, hallucinated`;
  if (shape) byId('picture').style.setProperty('--shape', shape[0] / shape[1]);
  keys.map(codeOf).forEach(makeButton);
  listen();
  byId('restart').querySelector('kbd').hidden = buttons.has('KeyR');  // then R is a key of the game
  if (REAL.test(url)) byId('real').href = url;
  else byId('real').hidden = game !== 'runner';
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
