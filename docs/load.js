'use strict';
// Loading: scripts with their bytes counted, the engine, the model; and what to say and offer when that fails.

const MODELS = ['qwop', 'runner'];  // those that ship
const ENGINE = 'vendor/onnxruntime-web/ort-wasm.js';

// Whoever opens the page like this may run commands; everybody else is not told any.
const isLocal = location.protocol === 'file:' || /^(localhost|127\.|\[::1\])/.test(location.host);
const forOwner = text => isLocal ? text : '';
// A file and a sandboxed frame may fetch nothing, but run scripts: no bytes are counted then.
const mayFetch = location.protocol !== 'file:' && self.origin !== 'null';

const forbidden = new Set();  // what a Content-Security-Policy did not let the page do
document.addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => {
  if (!/^inline|extension/.test(blockedURI)) forbidden.add(`${blockedURI} (${effectiveDirective})`);
});

function must(holds, text) {
  if (!holds) throw new Error(text);
}

// Wait for `work`; if it fails, say what that means.
const explain = (text, work) => work.catch(error => { throw new Error(`${text} (${error.message})`); });

// Say what went wrong, with ways out.
async function fail(error) {
  await new Promise(done => setTimeout(done, 50));  // what was forbidden is told a little later
  const text = forbidden.size && document.body.dataset.state === 'loading'
    ? `The Content-Security-Policy of this site forbids what the dream needs: ${[...forbidden].join(', ')}.`
    : error.message;
  document.body.dataset.state = 'error';
  say(text);
  speak(text);
  byId('status-box').append(make('p', { className: 'row' },
    make('button', { onclick: () => location.reload() }, 'Try again'),
    ...MODELS.filter(name => name !== modelName).map(name => make('a', { href: `?model=${name}` }, `Dream ${name}`))));
}

const megabytes = size => (size / 1e6).toFixed(1);

const bytes = { arrived: 0, total: 0 };  // of all downloads, the total as far as servers tell

function showProgress({ arrived, total }) {
  if (document.body.dataset.state !== 'loading') return;
  byId('progress').hidden = false;
  if (total >= arrived) byId('progress').value = arrived / total;
  say(`Loading the dream: ${megabytes(arrived)} MB${total >= arrived ? ` of ${megabytes(total)}` : ''}`);
}

// Fetch a script, counting its bytes -> its content as a Blob. ifMissing: what to say if it is not there
async function download(url, ifMissing) {
  const response = await fetch(url).catch(() => null);
  must(response || navigator.onLine, 'You are offline: connect, then try again.');
  must(response, `The server does not answer when asked for ${url}.`);
  must(![404, 410].includes(response.status), ifMissing);
  must(response.ok, `The server has a problem: it answered ${response.status} when asked for ${url}.`);
  must(!/html/.test(response.headers.get('content-type')), `The server sent a web page in place of ${url}.`);
  // A compressed answer has another length than what arrives here.
  const isTold = !response.headers.get('content-encoding') && response.headers.get('content-length');
  bytes.total += Number(isTold || NaN);
  const counter = new TransformStream({ transform(part, next) {
    bytes.arrived += part.length;
    showProgress(bytes);
    next.enqueue(part);
  } });
  const blob = await new Response(response.body.pipeThrough(counter)).blob().catch(() => null);
  must(blob, `The connection broke after ${megabytes(bytes.arrived)} MB.`);
  const isPointer = (await blob.slice(0, 30).text()).startsWith('version https://git-lfs');
  must(!isPointer, `There is a Git LFS pointer in place of ${url}: the file itself was never put here` +
    `${forOwner('. Run  git lfs pull')}.`);
  return new Blob([blob], { type: 'text/javascript' });
}

// Run a classic script.
async function loadScript(url, ifMissing = `${url} is missing.`) {
  const src = mayFetch ? URL.createObjectURL(await download(url, ifMissing)) : url;
  await new Promise((resolve, reject) => {
    document.head.append(make('script', { src, onload: resolve, onerror: () => reject(new Error(ifMissing)) }));
  });
  if (src !== url) URL.revokeObjectURL(src);
}

async function openModel(name) {
  must(/^[\w-]+$/.test(name), `"${name}" is not a model name: letters, digits, - and _ only.`);
  must(self.WebAssembly, 'This browser has no WebAssembly, or it is off: allow it or try another browser.');
  must(self.DecompressionStream, 'This browser is too old: try a current Chrome, Edge, Firefox or Safari.');
  const noEngine = `The engine is missing${forOwner(': get all of docs, or run  python docs/vendor/vendor.py')}.`;
  const maker = `: make it with  python export.py --game ${name} --out docs/model/${name}`;
  const noModel = `There is no dream called "${name}" here${forOwner(maker)}.`;
  say('Loading the dream…');
  await Promise.all([loadScript(ENGINE, noEngine), loadScript(`model/${name}/model.js`, noModel)]);
  const { DREAM_MODEL: model, ORT_WASM: engine } = self, format = model?.meta?.format;
  must(typeof ort === 'object' && engine, noEngine);
  must(format, `model/${name}/model.js is damaged${forOwner(', or a Git LFS pointer: git lfs pull, or export it again')}.`);
  must([1, 2].includes(format), `model/${name} has format ${format}, the page plays 1 and 2: get both from one version.`);
  say('Unpacking…');
  byId('progress').hidden = true;
  delete self.DREAM_MODEL;  // megabytes of text that is not needed any more
  delete self.ORT_WASM;
  return explain(`The dream did not start: try a current browser, a newer machine${forOwner(', or export the model again')}`,
    openDream(engine, model));
}
