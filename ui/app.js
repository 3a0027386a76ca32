// The tab "Play" of app.py, run by gr.HTML as js_on_load after docs/keys.js: sends held keys, draws images.
// gr.HTML gives it: element, props.models, props.max_images (of one step), server.start, .step, .stay (of app.py).

const IN_FLIGHT = 3;      // calls on their way at once: hides a network delay of up to three frames
const SILENT_MS = 3000;   // no answer for so long: the server is gone
const STAY_MS = 1500;     // a paused page tells the server this often that it is still there
const IMAGE_MS = 33;      // between two images: there are several on the way from one frame to the next

const find = (selector) => element.querySelector(selector);
const canvas = find("canvas"), state = find("output"), pace = find(".pace"), pause = find(".pause");
const [models, starts, speeds, chances] = [".model", ".start", ".speed", ".chance"].map(find);
const context = canvas.getContext("2d");

let model;
let visitor = null;       // the name that the server has given us
let shown = 0;            // number of the newest answer drawn: answers may arrive out of order
let lost = true;          // not started, or unknown to the server, or the server is gone
let paused = false, once = false, watching = false;  // the last: its player plays, until a person presses a key
let wake = () => {};      // what to do when a key changes
let starting = false, inFlight = 0, lastAnswer = 0, drawn = [];
const isTyping = ({ target }) => isAway() ||
  !element.contains(target) && Boolean(target.closest?.("input, textarea, select, [contenteditable]"));
const keyboard = new HeldKeys(find(".keys"), [], { onKey, commands: { KeyR: () => start() }, isTyping });

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const say = (text) => { if (state.textContent !== text) state.textContent = text; };
const frameMs = () => model.frame_ms / Number(speeds.value);
const isAway = () => document.hidden || !element.offsetParent; // another tab is shown

function onKey(down) {
  if (down) watch(false);
  wake();
}

// Draw the images of an answer one after the other, until those of a newer one come.
async function show(answer, asked) {
  const images = await Promise.all(answer.images.map(async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
  }));
  if (asked !== visitor || answer.number <= shown) return;
  shown = answer.number;
  if (watching) keyboard.show(answer.keys);
  const started = performance.now(), every = frameMs() / images.length;
  for (const [n, image] of images.entries()) {
    if (n) await sleep(started + n * every - performance.now());
    if (asked !== visitor || answer.number !== shown) return;
    context.drawImage(image, 0, 0);
    Object.assign(canvas.dataset, { number: shown, step: answer.step, image: n, keys: answer.keys.join("") });
    drawn.push(performance.now());
  }
}

// One call to the server -> its answer, or null after saying what went wrong.
async function ask(name, call) {
  if (!inFlight++) lastAnswer = performance.now();
  const answer = await server[name](call).catch(() => null);
  inFlight--;
  lastAnswer = performance.now();
  if (answer && !answer.error) return answer;
  if (call.visitor === visitor) lost = true; // not by a late answer to an earlier name
  say(answer ? answer.error : "disconnected: the server does not answer, trying again");
  return null;
}

async function start() {
  if (starting) return;
  starting = true;
  const { name } = model, answer = await ask("start", { visitor, model: name, start: Number(starts.value) });
  if (answer) {
    if (answer.visitor !== visitor) shown = 0;
    visitor = answer.visitor;
    lost = model.name !== name;  // another dream was chosen meanwhile: play() starts again
    show(answer, visitor);
  } else await sleep(1000);
  starting = false;
}

async function step() {
  const asked = visitor, images = Math.ceil(frameMs() / IMAGE_MS - 0.1);
  const keys = watching ? null : keyboard.held();
  const options = { images: Math.min(images, props.max_images), temperature: Number(chances.value) };
  const answer = await ask("step", { visitor, keys, ...options });
  if (answer) show(answer, asked);
}

function showStatus() {
  const now = performance.now();
  drawn = drawn.filter((time) => now - time < 2000);
  const frames = (1000 / frameMs()).toPrecision(2), images = (drawn.length / 2).toFixed(0);
  pace.textContent = lost || paused || isAway() ? "" : `${frames} frames/s dreamed, ${images} images/s shown`;
  if (inFlight && now - lastAnswer > SILENT_MS) say("disconnected: the server does not answer");
  else if (isAway() || paused) say("paused");
  else if (!lost) say(document.hasFocus() ? "playing" : "playing (click here to use the keyboard)");
}

// Wait until the next frame is due. A key that changes brings it forward by up to half a frame; the frame
// after it is on time again, so that the pace stays the game's.
async function nextDue(due) {
  const early = due - frameMs() / 2, key = new Promise((done) => { wake = done; });
  await Promise.race([sleep(due - performance.now()), key]);
  if (performance.now() < early) await sleep(early - performance.now());
}

async function play() {
  let due = performance.now();
  while (element.isConnected) {
    keyboard.pollGamepad();
    const resting = isAway() || paused && !once;
    if (lost) await start();
    else if (resting && performance.now() - lastAnswer > STAY_MS) await ask("stay", { visitor });
    else if (!resting && inFlight < IN_FLIGHT) {
      once = false;
      step();
    }
    due = Math.max(due + frameMs(), performance.now());
    await nextDue(due);
  }
}

function setPaused(on) {
  paused = on;
  pause.textContent = on ? "Play" : "Pause";
}

// Let the player that learned in this dream play it from a new life, or no more.
function watch(on) {
  if (on === watching) return;
  watching = on;
  find(".watch").setAttribute("aria-pressed", on);
  keyboard.show();
  if (!on) return;
  setPaused(false);
  starts.value = 0;
  start();
}

// Another dream: its keys, start states and shape.
function choose(name) {
  model = props.models.find((one) => one.name === name);
  models.value = name;
  keyboard.setKeys(model.keys);
  starts.replaceChildren(...Array.from({ length: model.starts }, (_, i) =>
    new Option(i ? `mid-run ${i}` : "a new life", i)));
  starts.parentElement.hidden = model.starts < 2;
  chances.parentElement.hidden = !model.noise_size;
  find(".watch").hidden = !model.player;
  watch(false);
  find(".plain").hidden = !model.plain;
  find("a").href = `${window.gradio_config.root}/${model.plain}`; // behind a proxy too
  find("kbd").hidden = keyboard.codes.includes("KeyR"); // then it is a key of the game
  document.title = find("h1").textContent = `${titleOf(model)}, hallucinated`;
  canvas.style.setProperty("--shape", model.shape ? model.shape[0] / model.shape[1] : "");
}

element.addEventListener("change", ({ target }) => target.blur()); // the keyboard stays with the game
element.addEventListener("click", ({ target }) => target.closest("button")?.blur());
find(".restart").onclick = start;
pause.onclick = () => setPaused(!paused);
find(".watch").onclick = () => watch(!watching);
find(".once").onclick = () => { once = true; setPaused(true); };
models.onchange = () => { choose(models.value); start(); };
starts.onchange = start;
models.append(...props.models.map(({ name }) => new Option(name, name)));
models.parentElement.hidden = props.models.length < 2;
choose(props.models[0].name);
setInterval(showStatus, 250);
play();
