'use strict';
// Keep and share: a GIF of the last seconds, a link that dreams the same again.

const GIF_SCALE = 3, GIF_WIDTH = 96;
const LINK_FRAMES = 6000;  // longer dreams make links that some programs cut

// Keys of a dream as text for a link: a letter (two from five keys on) for what is held, then for how many frames.
function logToText(log, keys) {
  const letters = Math.ceil(keys / 4);
  let text = '';
  for (let from = 0, to; from < log.length; from = to) {
    for (to = from; to < log.length && log[to] === log[from]; to++);
    for (let n = letters - 1; n >= 0; n--) text += String.fromCharCode(97 + (log[from] >> 4 * n & 15));
    text += to - from;
  }
  return text;
}

// The text of logToText() -> numbers, one a frame. Raises an error if it is none.
function textToLog(text, keys) {
  const letters = Math.ceil(keys / 4), log = [];
  for (const [, held, times] of wholly(text, `([a-p]{${letters}})(\\d{1,6})`)) {
    const bits = [...held].reduce((sum, letter) => sum * 16 + letter.charCodeAt(0) - 97, 0);
    if (bits >= 2 ** keys || log.length + Number(times) > LINK_FRAMES) throw new Error('this link is damaged');
    for (let n = 0; n < Number(times); n++) log.push(bits);
  }
  return log;
}

function wholly(text, pattern) {
  if (!new RegExp(`^(${pattern})*$`).test(text)) throw new Error('this link is damaged');
  return text.matchAll(new RegExp(pattern, 'g'));
}

const sumToText = sum => sum.toString(16).padStart(8, '0');

// The part of a model's checksum that a link carries: another model dreams other pictures.
const modelMark = meta => meta.sha256['dynamics.onnx'].slice(0, 8);

function linkTo(dream, name) {
  const words = { model: name }, said = { start: dream.start, keys: logToText(dream.log, dream.meta.keys.length),
    sum: sumToText(dream.sum), dream: modelMark(dream.meta) };
  const address = location.href.split(/[?#]/)[0];
  return `${address}?${new URLSearchParams(words)}#${new URLSearchParams(said)}`;
}

// What the address says after its # -> {start, log, sum, mark}, or null. Raises an error if it is damaged.
function readLink(meta) {
  const said = new URLSearchParams(location.hash.slice(1));
  if (!said.has('keys')) return null;
  const start = Number(said.get('start'));
  if (!(start in meta.starts)) throw new Error('this link is damaged');
  return { start, log: textToLog(said.get('keys'), meta.keys.length), sum: said.get('sum'), mark: said.get('dream') };
}

// Moments of the dream as an animated GIF in the shape of the game -> Blob. tell(share done); pause() between frames.
async function makeGif(dream, moments, tell) {
  const [wide, high] = dream.meta.shape ?? [640, 400];
  const width = GIF_WIDTH * GIF_SCALE, height = Math.round(width * high / wide);
  const small = surface(), brush = Object.assign(document.createElement('canvas'), { width, height })
    .getContext('2d', { willReadFrequently: true });
  const gif = gifenc.GIFEncoder(), image = small.createImageData(SIDE, SIDE);
  for (const [n, moment] of moments.entries()) {
    image.data.set(await dream.paint(moment.state.z.data));
    small.putImageData(image, 0, 0);
    brush.drawImage(small.canvas, 0, 0, width, height);
    const { data } = brush.getImageData(0, 0, width, height);
    const palette = gifenc.quantize(data, 128);
    gif.writeFrame(gifenc.applyPalette(data, palette), width, height, { palette, delay: dream.meta.frame_ms });
    if (n % 10 === 0) { tell(n / moments.length); await new Promise(requestAnimationFrame); }
  }
  gif.finish();
  return new Blob([gif.bytes()], { type: 'image/gif' });
}

function saveAs(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);  // ms: Safari reads it a little later
}
