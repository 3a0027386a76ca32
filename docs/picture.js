'use strict';
// A picture of one's own: chosen, dropped or pasted. It is cut to the game if there is more on it, and judged.

const SAME = 24;      // levels by which pixels of one margin may differ
const STRANGE = 2.2;  // times the autoencoder's usual error: frames of the game keep below, with a margin of 3% none does
const LOOK = 640;     // pixels: the size in which margins are looked for, and the width in which a box is drawn

// Does a canvas give back what was painted? Some browsers add noise to it, against fingerprinting.
function givesBack() {
  const brush = surface(), data = Uint8Array.from({ length: 4 * SIDE * SIDE }, (_, i) => i % 4 === 3 ? 255 : i * 7 >> 2);
  putFrame(brush, data);
  return brush.getImageData(0, 0, SIDE, SIDE).data.every((x, i) => x === data[i]);
}

// What is inside of the margins of a picture, each of one colour -> box [left, top, width, height]
function withoutMargins(bitmap) {
  const brush = surface(LOOK, LOOK), last = LOOK * LOOK - 1;
  brush.drawImage(bitmap, 0, 0, LOOK, LOOK);
  const { data } = brush.getImageData(0, 0, LOOK, LOOK);
  // How many lines from a corner on have its colour? step: from line to line, along: from pixel to pixel
  const margin = (corner, step, along) => {
    const isLike = i => [0, 1, 2].every(c => Math.abs(data[4 * i + c] - data[4 * corner + c]) < SAME);
    for (let n = 0; n < LOOK * LOOK; n++) {
      if (!isLike(corner + Math.floor(n / LOOK) * step + n % LOOK * along)) return Math.floor(n / LOOK) / LOOK;
    }
    return 0;  // all of one colour
  };
  const { width, height } = bitmap, left = margin(0, 1, LOOK), top = margin(0, LOOK, 1);
  const right = 1 - margin(last, -1, -LOOK), bottom = 1 - margin(last, -LOOK, -1);
  return [left * width, top * height, (right - left) * width, (bottom - top) * height];
}

// The middle of a box in the shape width / height
function middle([left, top, width, height], shape) {
  const [w, h] = [Math.min(width, height * shape), Math.min(height, width / shape)];
  return [left + (width - w) / 2, top + (height - h) / 2, w, h];
}

// A box of a picture as a frame -> {box, z, error: of its painting}
async function judge(dream, bitmap, box) {
  const small = surface();
  small.imageSmoothingQuality = 'high';
  small.drawImage(bitmap, ...box, 0, 0, SIDE, SIDE);
  const { data } = small.getImageData(0, 0, SIDE, SIDE), z = await dream.encode(data);
  return { box, z, error: differenceOf(data, await dream.paint(z)) };
}

// The part of a picture that looks most like the game -> {z, isPart, isStrange}
async function readPicture(dream, bitmap) {
  const { shape: [wide, high], fidelity } = dream.meta, shape = wide / high;
  const limit = STRANGE * 255 / 10 ** ((fidelity?.autoencoder?.psnr_db ?? 30) / 20);
  const whole = await judge(dream, bitmap, [0, 0, bitmap.width, bitmap.height]);
  const isShaped = ({ box: [, , w, h] }) => [1, shape].some(fit => Math.abs(w / h / fit - 1) < 0.04);
  let best = whole;
  if (whole.error > limit || !isShaped(whole)) {
    const inside = withoutMargins(bitmap);
    for (const box of [inside, middle(inside, shape), middle(whole.box, shape)]) {
      const part = await judge(dream, bitmap, box);
      if (part.error < best.error) best = part;
    }
  }
  return { z: best.z, isPart: best !== whole, isStrange: best.error > limit || !isShaped(best) };
}

function beginAt(z) {
  loop.takeOver();
  loop.setTruth(null);
  loop.begin({ z });
}

// Let a person drag a box over a picture: the dream continues from what is in it.
function cutOut(bitmap) {
  const scale = LOOK / bitmap.width, brush = surface(LOOK, scale * bitmap.height), { canvas } = brush;
  const at = ({ offsetX: x, offsetY: y }) => [x / canvas.clientWidth * canvas.width, y / canvas.clientHeight * canvas.height]
    .map((place, n) => Math.min(Math.max(place, 0), n ? canvas.height : canvas.width));
  const boxOf = ([x, y], [x2, y2]) => [Math.min(x, x2), Math.min(y, y2), Math.abs(x2 - x), Math.abs(y2 - y)];
  const draw = box => {
    brush.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    brush.strokeRect(...box);
  };
  let corner = null;
  canvas.onpointerdown = event => {
    corner = at(event);
    canvas.setPointerCapture(event.pointerId);
  };
  canvas.onpointermove = event => { if (corner) draw(boxOf(corner, at(event))); };
  canvas.onpointercancel = () => { corner = null; };
  canvas.onpointerup = event => {
    const box = corner ? boxOf(corner, at(event)).map(side => side / scale) : [];
    corner = null;
    if (box[2] > SIDE / 2 && box[3] > SIDE / 2) loop.queue(async () => beginAt((await judge(dream, bitmap, box)).z));
  };
  brush.lineWidth = 3;
  brush.strokeStyle = '#c2410c';
  draw([0, 0, 0, 0]);
  notice('Drag a box around the game. ', canvas);
}

async function startFromPicture(file) {
  const noPicture = `"${file.name}" is not a picture that this browser can open: try a PNG or JPEG`;
  const bitmap = await explain(noPicture, createImageBitmap(file));  // turned as its camera says, the first if it moves
  const { z, isPart, isStrange } = await readPicture(dream, bitmap);
  beginAt(z);
  if (isStrange || (await driftOf(dream)).drift > 1) {
    notice('This does not look like a frame of the game: the dream paints what it can of it. ',
      make('button', { onclick: () => cutOut(bitmap) }, 'Show it where the game is'));
  } else if (isPart) notice('Only the part of your picture that is the game was taken: the dream continues from it.');
  else notice('The dream continues from your picture, as well as 16 numbers can describe it.');
}

function connectPictures() {
  const take = ({ files: [file], types = [] }) => {
    if (file) loop.queue(() => startFromPicture(file));
    else if (types.includes('text/uri-list')) notice('This is the address of a picture: save the picture, drop the file.');
  };
  byId('file').onchange = ({ target }) => {
    take(target);
    target.value = '';
  };
  addEventListener('dragover', event => event.preventDefault());
  addEventListener('drop', event => {
    event.preventDefault();
    take(event.dataTransfer);
  });
  addEventListener('paste', event => take(event.clipboardData));
  byId('noise').hidden = givesBack();
}
