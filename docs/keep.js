'use strict';
// Keep and share: a GIF of the last seconds, a link that dreams the same again.

const GIF_ENCODER = 'vendor/gifenc/gifenc.js';
const GIF_WIDTH = 288;     // pixels
const LINK_FRAMES = 6000;  // longer dreams make links that some programs cut
const DAMAGED = 'This link cannot be played: it is damaged.';

const sumToText = sum => sum.toString(16).padStart(8, '0');

// The part of a model's checksum that a link carries: another model gives another dream.
const modelMark = meta => meta.sha256['dynamics.onnx'].slice(0, 8);

// Keys of a dream as text for a link: a letter (two from five keys on) for what is held, then for how many frames.
function logToText(log, keys) {
  const width = Math.ceil(keys / 4), letter = digit => String.fromCharCode(97 + parseInt(digit, 16));
  const text = log.map(bits => bits.toString(16).padStart(width, '0')).join('').replace(/./g, letter);
  return text.replace(new RegExp(`(.{${width}})\\1*`, 'g'), (run, held) => held + run.length / width);
}

// The text of logToText() -> numbers, one a frame. Raises an error if it is none.
function textToLog(text, keys) {
  const run = `([a-p]{${Math.ceil(keys / 4)}})(\\d{1,6})`, log = [];
  must(new RegExp(`^(${run})*$`).test(text), DAMAGED);
  for (const [, letters, times] of text.matchAll(new RegExp(run, 'g'))) {
    const bits = [...letters].reduce((sum, letter) => sum * 16 + letter.charCodeAt(0) - 97, 0);
    must(bits < 2 ** keys && log.length + Number(times) <= LINK_FRAMES, DAMAGED);
    for (let n = 0; n < Number(times); n++) log.push(bits);
  }
  return log;
}

function linkTo(dream, model) {
  const { start, log, sum, meta, noiseSize, seed, temperature: chance } = dream, keys = logToText(log, meta.keys.length);
  // The model's mark comes last: a link without all of it was cut
  const parts = { start, keys, ...noiseSize ? { seed, chance } : {}, sum: sumToText(sum), dream: modelMark(meta) };
  return `${location.href.split(/[?#]/)[0]}?${new URLSearchParams({ model })}#${new URLSearchParams(parts)}`;
}

// The address as {name: value}, whatever mail and chat programs made of it: %23 for #, &amp; for &, a full stop or a
// bracket at its end, parameters that track people.
function readAddress(text = location.search + location.hash) {
  text = text.replace(/%(25)+/g, '%');
  try {
    text = decodeURIComponent(text);
  } catch { /* a lone % */ }
  const parts = text.split(/[?#&;]+/).map(part => part.split('='));
  return Object.fromEntries(parts.map(([name, value = '']) => [name, value.replace(/\W+$/, '')]));
}

// What the address tells of a dream -> {start, log, sum, mark, seed, temperature}, or null. Raises an error if it is
// damaged.
function readLink(meta) {
  const { start, keys, sum, dream: mark, seed, chance = 1 } = readAddress();
  if (keys === undefined) return null;
  must(mark?.length === 8, 'This link cannot be played: its end is missing.');
  must(Number(start) in meta.starts || mark !== modelMark(meta), DAMAGED);
  must(Number(chance) >= 0, DAMAGED);
  return { start: Number(start), log: textToLog(keys, meta.keys.length), sum, mark, seed: Number(seed),
    temperature: Number(chance) };
}

// ---- what the buttons do

// A link of another version of the model would not repeat its dream: that is said, and offered.
function openLink(link) {
  if (!link) return;
  const { mark, log, start } = link, own = modelMark(dream.meta);
  if (mark === own) return playLink(link, `A dream from a link: ${log.length} frames. Press any key to take over.`);
  const onclick = () => loop.queue(() => playLink(link, 'The keys of the link, in another version of the dream: it goes its own way.'));
  notice(`This link was made with version ${mark} of the dream. This is version ${own}, where it would be another dream. `,
    make('button', { onclick }, `Play its keys from ${start in dream.meta.starts ? 'its' : 'the'} start`));
}

function playLink({ start, log, sum, seed, temperature }, text) {
  pause(false);
  for (const box of document.querySelectorAll('#nudge, .sliders :checked')) box.checked = false;  // they would change it
  byId('chance').value = temperature;
  loop.setTruth(null);
  loop.begin(start in dream.meta.starts ? start : 0);
  readOptions();
  Object.assign(dream, { seed, temperature });
  loop.at = -1;
  loop.remember();  // with that seed
  loop.setPlayer('link', frame => {
    if (frame < log.length) return keysOf(log[frame], dream.meta.keys.length);
    const own = sumToText(dream.sum), same = 'the same frames, bit for bit';
    const result = sum === own ? same : `the link says ${sum}, so this is another dream`;
    notice(`${log.length} frames repeated. Checksum ${own}: ${result}. Your turn.`);
    return null;
  });
  notice(text);
}

function copyLink(model) {
  const kept = byId('kept');
  kept.textContent = dream.log.length > LINK_FRAMES ? 'This dream is too long for a link. Restart first.'
    : 'This dream was changed on its way, or did not begin at a start state: no link can repeat it. Restart first.';
  if (dream.start === null || dream.log.length > LINK_FRAMES) return;
  const href = linkTo(dream, model), link = make('a', { href }, `This link repeats ${dream.log.length} frames`);
  kept.replaceChildren(link);
  navigator.clipboard?.writeText(href).then(() => {
    link.append(' (copied)');
    speak('The link is copied.');
  }, () => {});
}

// The past up to the present moment as an animated GIF in the shape of the game.
async function saveGif() {
  if (!self.gifenc) await loadScript(GIF_ENCODER, 'The GIF encoder is missing.');
  const { shape: [wide, high], frame_ms: delay, game } = dream.meta, kept = byId('kept');
  const moments = loop.past.slice(0, loop.at + 1), height = Math.round(GIF_WIDTH * high / wide);
  const small = surface(), large = surface(GIF_WIDTH, height), gif = gifenc.GIFEncoder();
  for (const [n, { state }] of moments.entries()) {
    putFrame(small, await dream.paint(state.z.data));
    large.drawImage(small.canvas, 0, 0, GIF_WIDTH, height);
    const { data } = large.getImageData(0, 0, GIF_WIDTH, height), palette = gifenc.quantize(data, 128);
    gif.writeFrame(gifenc.applyPalette(data, palette), GIF_WIDTH, height, { palette, delay });
    if (n % 10) continue;
    kept.textContent = `Saving ${Math.round(100 * n / moments.length)}%`;
    await new Promise(done => setTimeout(done));
  }
  gif.finish();
  const file = new Blob([gif.bytes()], { type: 'image/gif' }), href = URL.createObjectURL(file);
  const link = make('a', { href, download: `${game}-dream.gif` }, 'Save it again');
  kept.replaceChildren(`${moments.length} frames, ${megabytes(file.size)} MB. `, link);
  link.click();
}
