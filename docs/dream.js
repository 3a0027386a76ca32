'use strict';
// The world: a state (z, h, c); the dynamics moves it on under the held keys, the decoder paints it, the encoder turns a
// picture into z. No DOM here, except that it needs ort (vendor/onnxruntime-web/ort.wasm.min.js). The model is what
// export.py wrote into model.js.
//
//   const dream = await openDream(self.ORT_WASM, self.DREAM_MODEL);
//   await dream.step([1, 0, 0, 0]);
//   const rgba = await dream.paint();    // Uint8Array, 96 x 96 x 4: what a canvas takes
//
// One call at a time: the engine cannot run two graphs at once.

const SIDE = 96;
const FIRST_SUM = 0x811c9dc5;

// FNV-1a, 32 bits, of the bytes of a Float32Array, going on from `sum`.
function addToSum(sum, numbers) {
  for (const byte of new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)) {
    sum = Math.imul(sum ^ byte, 0x01000193);
  }
  return sum >>> 0;
}

class Dream {
  // meta: meta.json's content. encoder, dynamics, decoder: sessions of onnxruntime-web.
  constructor(meta, { encoder, dynamics, decoder }) {
    Object.assign(this, { meta, encoder, dynamics, decoder });
    [this.layers, , this.hidden] = dynamics.inputMetadata.find(input => input.name === 'h').shape;
    this.keys = new ort.Tensor('float32', new Float32Array(meta.keys.length), [1, meta.keys.length]);
    this.restart();
  }

  memory(numbers) {  // h or c of one dream; zeros if there are none
    const size = this.layers * this.hidden;
    return new ort.Tensor('float32', numbers ? Float32Array.from(numbers.flat()) : new Float32Array(size),
      [this.layers, 1, this.hidden]);
  }

  picture(z) {
    return new ort.Tensor('float32', Float32Array.from(z), [1, z.length]);
  }

  // Back to one of the start states; the first is the beginning of a life.
  restart(number = 0) {
    const start = this.meta.starts[number % this.meta.starts.length];
    this.place(start);
    this.start = number;  // the link that repeats this dream needs it; null if the dream began elsewhere
  }

  // To a state {z, h, c}, without h and c to an empty memory.
  place({ z, h, c }) {
    this.state = { z: this.picture(z), h: this.memory(h), c: this.memory(c) };
    this.log = [];        // of the keys since then: a number a frame, bit 0 is the first key
    this.frame = 0;       // frames dreamed since then
    this.sum = FIRST_SUM; // of every z since then
    this.start = null;
  }

  // The numbers that are the picture.
  get z() {
    return this.state.z.data;
  }

  // Another z in the middle of a dream, which then is no dream that a link can repeat.
  set z(numbers) {
    this.state = { ...this.state, z: this.picture(numbers) };
    this.start = null;
  }

  // One frame on. keys: 1 or 0 for each of meta.keys.
  async step(keys) {
    this.keys.data.set(keys);
    const next = await this.dynamics.run({ ...this.state, keys: this.keys });
    this.state = { z: next.z_next, h: next.h_next, c: next.c_next };
    this.log.push(keys.reduce((bits, on, key) => bits | on << key, 0));
    this.frame += 1;
    this.sum = addToSum(this.sum, this.z);
  }

  // The picture of z, the present one by default -> Uint8Array, rgba.
  async paint(z = this.z) {
    return (await this.decoder.run({ z: this.picture(z) })).rgba.data;
  }

  // The z of a picture rgba, 96 x 96 x 4.
  async encode(rgba) {
    const rgb = new Uint8Array(SIDE * SIDE * 3);
    for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
      [rgb[to], rgb[to + 1], rgb[to + 2]] = [rgba[from], rgba[from + 1], rgba[from + 2]];
    }
    return (await this.encoder.run({ frames: new ort.Tensor('uint8', rgb, [1, SIDE, SIDE, 3]) })).z.data;
  }

  // What goTo() needs to come back to this frame. The log is the one that is written on: take none of another past.
  get here() {
    const { state, frame, sum, start, log } = this;
    return { state, frame, sum, start, log };
  }

  goTo(moment) {
    Object.assign(this, moment);
    this.log = moment.log.slice(0, moment.frame);
  }
}

// base64(gzip(bytes)) -> Uint8Array
async function unpack(text) {
  const bytes = Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Raise an error unless the bytes are those that meta.json tells of. Without a secure context there is nothing to tell.
async function checkSum(name, bytes, wanted) {
  if (!self.crypto?.subtle || !wanted) return;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const sum = [...digest].map(byte => byte.toString(16).padStart(2, '0')).join('');
  if (sum !== wanted) throw new Error(`the checksum of ${name} is wrong`);
}

// engine: {mjs, wasm}, model: {meta, encoder, dynamics, decoder}, packed. Nothing is fetched, so file:// works too.
async function openDream(engine, model) {
  const names = ['encoder', 'dynamics', 'decoder'];
  const [mjs, wasm, ...graphs] = await Promise.all([engine.mjs, engine.wasm, ...names.map(name => model[name])].map(unpack));
  await Promise.all(names.map((name, n) => checkSum(name, graphs[n], model.meta.sha256[`${name}.onnx`])));
  ort.env.wasm.numThreads = 1;  // more need headers that a plain host does not send
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([mjs], { type: 'text/javascript' })) };
  ort.env.wasm.wasmBinary = wasm;
  const sessions = {};
  for (const [n, name] of names.entries()) {
    sessions[name] = await ort.InferenceSession.create(graphs[n], { executionProviders: ['wasm'] });
  }
  return new Dream(model.meta, sessions);
}
