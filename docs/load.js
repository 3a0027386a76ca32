'use strict';
// Loading: scripts with their bytes counted, the engine, the model; and the line that says where the page is.

const ENGINE = 'vendor/onnxruntime-web/ort-wasm.js';

const byId = id => document.getElementById(id);

// A canvas of one frame -> its 2D context
function surface(width = SIDE, height = SIDE) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  return canvas.getContext('2d', { willReadFrequently: true });
}

// Paint a frame, rgba
function putFrame(brush, rgba) {
  brush.putImageData(new ImageData(new Uint8ClampedArray(rgba), SIDE, SIDE), 0, 0);
}

// Wait for the next event of this kind.
const eventOf = (target, type) => new Promise(resolve => target.addEventListener(type, resolve, { once: true }));

function say(text) {
  byId('status').textContent = text;
}

function fail(text) {
  document.body.dataset.state = 'error';
  byId('progress').hidden = true;
  say(text);
}

// Wait for `work`; if it fails, say what that means.
async function explain(text, work) {
  try {
    return await work;
  } catch (error) {
    throw new Error(`${text} (${error.message})`);
  }
}

const megabytes = size => (size / 1e6).toFixed(1);

const bytes = { arrived: 0, total: 0 };  // of all downloads, the total as far as servers tell

function showProgress({ arrived, total }) {
  if (document.body.dataset.state !== 'loading') return;
  say(`Loading the dream: ${megabytes(arrived)} MB${total >= arrived ? ` of ${megabytes(total)}` : ''}`);
  byId('progress').hidden = false;
  if (total >= arrived) byId('progress').value = arrived / total;
}

// Fetch a script, counting its bytes -> its content as a Blob
async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  const parts = [], reader = response.body.getReader();
  bytes.total += Number(response.headers.get('content-length'));
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts, { type: 'text/javascript' });
    parts.push(value);
    bytes.arrived += value.length;
    showProgress(bytes);
  }
}

// Run a classic script. Under file:// there is no fetch, and no need to count bytes.
async function loadScript(url) {
  const source = location.protocol === 'file:' ? url : URL.createObjectURL(await download(url));
  await new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = source;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${url} cannot be read`));
    document.head.append(script);
  });
  if (source !== url) URL.revokeObjectURL(source);
}

async function openModel(name) {
  if (!/^[\w-]+$/.test(name)) {
    throw new Error(`"${name}" is not a model name: letters, digits, - and _ only.`);
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
  const { format } = model.meta;
  if (format !== 1 && format !== 2) {
    throw new Error(`model/${name} has format ${format}, this page plays formats 1 and 2: get both from one version.`);
  }
  const packed = model.encoder.length + model.dynamics.length + model.decoder.length + engine.wasm.length;
  say(`Unpacking ${megabytes(packed)} MB…`);
  byId('progress').hidden = true;
  delete self.DREAM_MODEL;  // tens of MB of text that is not needed any more
  delete self.ORT_WASM;
  return explain(noStart, openDream(engine, model));
}
