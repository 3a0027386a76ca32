'use strict';
// The world: a state (z, h, c); the dynamics moves it on under the held keys, the decoder paints it. No DOM here.
// Needs ort (vendor/onnxruntime-web/ort.wasm.min.js). The model is what export.py wrote into model.js.
//
//   const dream = await openDream(self.ORT_WASM, self.DREAM_MODEL);
//   const rgba = await dream.step([1, 0, 0, 0]);    // Uint8Array, 96 x 96 x 4: what a canvas takes

class Dream {
  // meta: meta.json's content. dynamics, decoder: sessions of onnxruntime-web.
  constructor(meta, dynamics, decoder) {
    Object.assign(this, { meta, dynamics, decoder });
    const shape = dynamics.inputMetadata.find(input => input.name === 'h').shape;  // (L, N, H)
    this.stateShape = [shape[0], 1, shape[2]];
    this.keys = new ort.Tensor('float32', new Float32Array(meta.keys.length), [1, meta.keys.length]);
    this.restart();
  }

  // Back to one of the start states; the first is the beginning of a life. Not while a step is under way.
  restart(number = 0) {
    const start = this.meta.starts[number % this.meta.starts.length];
    const zeros = new Float32Array(this.stateShape[0] * this.stateShape[2]);
    const tensor = (numbers, shape) => new ort.Tensor('float32', Float32Array.from(numbers), shape);
    this.state = {
      z: tensor(start.z, [1, start.z.length]),
      h: tensor(start.h?.flat() ?? zeros, this.stateShape),
      c: tensor(start.c?.flat() ?? zeros, this.stateShape),
    };
    this.frame = 0;  // frames dreamed since the restart
  }

  // The numbers that are the picture.
  get z() {
    return this.state.z.data;
  }

  // One frame on. keys: 1 or 0 for each of meta.keys -> the picture. One call at a time.
  async step(keys) {
    this.keys.data.set(keys);
    const next = await this.dynamics.run({ ...this.state, keys: this.keys });
    this.state = { z: next.z_next, h: next.h_next, c: next.c_next };
    this.frame += 1;
    return this.paint();
  }

  // The picture of the present state.
  async paint() {
    return (await this.decoder.run({ z: this.state.z })).rgba.data;
  }
}

// base64(gzip(bytes)) -> Uint8Array
async function unpack(text) {
  const bytes = Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// engine: {mjs, wasm}, model: {meta, dynamics, decoder}, packed. Nothing is fetched, so file:// works too.
async function openDream(engine, model) {
  const [mjs, wasm, dynamics, decoder] = await Promise.all(
    [engine.mjs, engine.wasm, model.dynamics, model.decoder].map(unpack));
  ort.env.wasm.numThreads = 1;  // more need headers that a plain host does not send
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([mjs], { type: 'text/javascript' })) };
  ort.env.wasm.wasmBinary = wasm;
  const open = graph => ort.InferenceSession.create(graph, { executionProviders: ['wasm'] });
  return new Dream(model.meta, await open(dynamics), await open(decoder));
}
