'use strict';
// The model: the dynamics moves a state (z, h, c) on under the held keys, the decoder paints it, the encoder turns a
// frame into z. No DOM here; it needs ort (vendor/onnxruntime-web/ort.wasm.min.js) and what export.py wrote to model.js.
//
//   const dream = await openDream(self.ORT_WASM, self.DREAM_MODEL);
//   await dream.step([1, 0, 0, 0]);
//   const rgba = await dream.paint();    // Uint8Array, 96 x 96 x 4: what a canvas takes
//
// One call at a time: the engine cannot run two graphs at once.
//
// Shapes: N dreams side by side, K keys, Z latent features, L layers, H hidden width

const SIDE = 96;
const FIRST_SUM = 0x811c9dc5;

// FNV-1a, 32 bits, of the bytes of a Float32Array, going on from `sum`.
function addToSum(sum, numbers) {
  for (const byte of new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)) {
    sum = Math.imul(sum ^ byte, 0x01000193);
  }
  return sum >>> 0;
}

// A float tensor of these numbers, of zeros without any.
function floats(shape, numbers = new Float32Array(shape.reduce((a, b) => a * b))) {
  return new ort.Tensor('float32', Float32Array.from(numbers), shape);
}

// Row n of a tensor, seen as rows of its last dimension.
function rowOf(tensor, n) {
  const width = tensor.dims.at(-1);
  return tensor.data.subarray(n * width, (n + 1) * width);
}

// A linear reading: [bias, weights] of numbers -> a number
const linear = ([bias, ...weights], numbers) => weights.reduce((sum, w, i) => sum + w * numbers[i], bias);

// A hash of 32 bits: the last step of MurmurHash3 (public domain).
function mix(x) {
  x = Math.imul(x ^ x >>> 16, 0x85ebca6b);
  x = Math.imul(x ^ x >>> 13, 0xc2b2ae35);
  return (x ^ x >>> 16) >>> 0;
}

// `count` standard normal numbers for a frame, times the temperature: the same as draw_noise() in dream.py.
function drawNoise(seed, frame, count, temperature) {
  const row = mix(seed + Math.imul(frame, 0x9e3779b9) | 0);
  return Float32Array.from({ length: count }, (_, n) => {
    let sum = 6; // each of the 12 is half a step larger
    for (let k = 1; k <= 6; k++) {
      const bits = mix(row + 6 * n + k | 0);
      sum += (bits & 0xffff) + (bits >>> 16);
    }
    return (sum / 65536 - 6) * temperature;
  });
}

// Held keys of a frame as a number, bit 0 the first key, and back: rows of 1 and 0.
const bitsOf = keys => keys.reduce((bits, on, key) => bits | on << key, 0);
const keysOf = (bits, count) => Array.from({ length: count }, (_, key) => bits >> key & 1);

class Dream {
  // meta: content of meta.json. encoder, dynamics, decoder: sessions of onnxruntime-web.
  constructor(meta, { encoder, dynamics, decoder }) {
    Object.assign(this, { meta, encoder, dynamics, decoder });
    [this.layers, , this.hidden] = dynamics.inputMetadata.find(input => input.name === 'h').shape;
    this.noiseSize = dynamics.inputMetadata.find(input => input.name === 'noise')?.shape[1] ?? 0; // for each frame
    this.temperature = 1; // of the noise; 0: what is likeliest happens
    this.restart();
  }

  // The state of `count` dreams that begin in the same start state {z, h, c}: zeros where it has no h and c.
  stateOf({ z, h, c }, count = 1) {
    const repeat = rows => rows.flatMap(row => new Array(count).fill([...row]).flat());
    const hidden = rows => floats([this.layers, count, this.hidden], rows && repeat(rows));
    return { z: floats([count, z.length], repeat([z])), h: hidden(h), c: hidden(c) };
  }

  // The state of a dream, `count` times.
  copies({ z, h, c }, count) {
    const rows = tensor => Array.from({ length: this.layers }, (_, layer) => rowOf(tensor, layer));
    return this.stateOf({ z: z.data, h: rows(h), c: rows(c) }, count);
  }

  // The state of N dreams after one more frame. keys: N x K of 1 and 0, dream after dream. noise: N x M of drawNoise(),
  // or what is likeliest happens.
  async advance({ z, h, c }, keys, noise) {
    const [count] = z.dims, feed = { z, h, c, keys: floats([count, keys.length / count], keys) };
    if (this.noiseSize) feed.noise = floats([count, this.noiseSize], noise);
    const next = await this.dynamics.run(feed);
    return { z: next.z_next, h: next.h_next, c: next.c_next, over: next.over };
  }

  // What the state tells of the step just made -> {metres run, over: has its life ended?}. Dynamics of format 1 do not
  // tell its end: it is read like the metres. meta.readout: {metres, over}, each [bias, weights of h (L H), of z (Z)].
  read({ z, h, over }) {
    const { readout } = this.meta, features = [...h.data, ...z.data];
    const isOver = over ? over.data[0] : readout ? linear(readout.over, features) : 0;
    return { metres: readout ? linear(readout.metres, features) : 0, over: isOver > 0.5 };
  }

  // Back to one of the start states; the first is where a life begins.
  restart(number = 0) {
    this.place(this.meta.starts[number % this.meta.starts.length]);
    this.start = number;  // for a link to this dream; null if the dream began elsewhere
  }

  // To a state {z, h, c}.
  place(start) {
    this.state = this.stateOf(start);
    this.seed = crypto.getRandomValues(new Uint32Array(1))[0]; // of the noise
    this.log = [];        // keys since then: a number a frame, bit 0 is the first key
    this.frame = 0;       // frames dreamed since then
    this.sum = FIRST_SUM; // of every z since then
    this.start = null;
  }

  get z() {
    return this.state.z.data;
  }

  // Another z in the middle of a dream: no link can repeat that dream.
  set z(numbers) {
    this.state = { ...this.state, z: floats([1, numbers.length], numbers) };
    this.start = null;
  }

  // One frame on. keys: 1 or 0 for each of meta.keys.
  async step(keys) {
    const noise = drawNoise(this.seed, this.frame, this.noiseSize, this.temperature);
    this.state = await this.advance(this.state, keys, noise);
    this.log.push(bitsOf(keys));
    this.frame += 1;
    this.sum = addToSum(this.sum, this.z);
  }

  // The picture of z, the present one by default -> Uint8Array, rgba.
  async paint(z = this.z) {
    return (await this.decoder.run({ z: floats([1, z.length], z) })).rgba.data;
  }

  // The z of a picture rgba, 96 x 96 x 4.
  async encode(rgba) {
    const rgb = new Uint8Array(SIDE * SIDE * 3);
    for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
      [rgb[to], rgb[to + 1], rgb[to + 2]] = [rgba[from], rgba[from + 1], rgba[from + 2]];
    }
    return (await this.encoder.run({ frames: new ort.Tensor('uint8', rgb, [1, SIDE, SIDE, 3]) })).z.data;
  }

  // What goTo() needs to return to this frame. The log is not a copy: later frames are added to it.
  get here() {
    const { state, frame, sum, start, seed, log, temperature } = this;
    return { state, frame, sum, start, seed, log, temperature };
  }

  goTo({ state, frame, sum, start, seed, log, temperature }) {
    const isAsNow = !frame || temperature === this.temperature;  // if not, no link can repeat what follows
    Object.assign(this, { state, frame, sum, start: isAsNow ? start : null, seed, log: log.slice(0, frame) });
  }
}

// base64(gzip(bytes)) -> Uint8Array. Raises an error if the bytes are damaged: gzip has a checksum.
async function unpack(text) {
  const bytes = Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// engine: {mjs, wasm}, model: {meta, encoder, dynamics, decoder}, packed. Nothing is fetched, so file:// works too.
async function openDream(engine, model) {
  const names = ['encoder', 'dynamics', 'decoder'];
  const packed = [engine.mjs, engine.wasm, ...names.map(name => model[name])];
  const [mjs, wasm, ...graphs] = await Promise.all(packed.map(unpack));
  ort.env.wasm.numThreads = 1;  // more need headers that a plain host does not send
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([mjs], { type: 'text/javascript' })) };
  ort.env.wasm.wasmBinary = wasm;
  const sessions = {};
  for (const [n, name] of names.entries()) {
    sessions[name] = await ort.InferenceSession.create(graphs[n], { executionProviders: ['wasm'] });
  }
  return new Dream({ shape: [640, 400], ...model.meta }, sessions);
}
