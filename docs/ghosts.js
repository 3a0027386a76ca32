'use strict';
// Ghosts: what else could happen. Dreams under the same keys with other noise, painted faintly over the dream. They begin
// anew at the dream every few seconds: after that, each is a game of its own.

const GHOSTS = 4;
const GHOST_S = 3;    // seconds from one beginning to the next
const FAINT = 0.15;   // of full strength, for each of them

class Ghosts {
  brushes = Array.from({ length: GHOSTS }, () => surface());
  frame = -1;         // of the dream when they were last moved on

  // On with the dream, which has just made a step from the state `before` under these keys -> how many have fallen
  async follow(dream, before, keys) {
    const { brushes } = this, { frame, meta, seed, noiseSize, temperature } = dream;
    if (frame !== this.frame + 1 || frame - this.first >= 1000 * GHOST_S / meta.frame_ms) {
      Object.assign(this, { first: frame, state: dream.copies(before, GHOSTS), fallen: new Set() });
    }
    this.frame = frame;
    const noise = brushes.flatMap((_, n) => [...drawNoise(mix(seed + n + 1), frame, noiseSize, temperature)]);
    this.state = await dream.advance(this.state, brushes.flatMap(() => keys), noise);
    for (const [n, brush] of brushes.entries()) {
      putFrame(brush, await dream.paint(rowOf(this.state.z, n)));
      if (this.state.over.data[n] > 0.5) this.fallen.add(n);
    }
    return this.fallen.size;
  }

  // Over a frame of the dream, if they belong to it
  drawOver(brush, frame) {
    brush.globalAlpha = FAINT;
    if (frame === this.frame) for (const { canvas } of this.brushes) brush.drawImage(canvas, 0, 0);
    brush.globalAlpha = 1;
  }
}
