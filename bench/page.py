"""How fast the page dreams, beside a page made like the original's: in turns, in the same browser. Then both
sets of graphs in Python, with one thread.

Reads   docs/ with a model in docs/model; onnxruntime-web 1.22 from npm
Writes  nothing: it prints a table

    python bench/page.py --model qwop          # needs npm and the network

The original's page, as far as it is known: onnxruntime-web 1.22 with one thread of wasm, weights in float32,
Mish as x * tanh(softplus(x)), the decoder as four transposed convolutions, float pictures turned into bytes
by JavaScript.
"""
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import data  # noqa: E402
import dream  # noqa: E402
import models  # noqa: E402
from bench.app import latencies  # noqa: E402
from capture.browser import Server, launch  # noqa: E402
from engine import graphs  # noqa: E402

PACKAGE = "onnxruntime-web@1.22.0"
FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
PAGE = """<!doctype html><canvas id="picture" width="96" height="96"></canvas>
<script src="ort.wasm.min.js"></script>"""
OPEN = """async hidden => {
  ort.env.wasm.numThreads = 1;
  const dynamics = await ort.InferenceSession.create('dynamics.onnx');
  const decoder = await ort.InferenceSession.create('decoder.onnx');
  const brush = document.querySelector('canvas').getContext('2d'), image = brush.createImageData(96, 96);
  const zeros = shape => new ort.Tensor('float32', new Float32Array(shape.reduce((a, b) => a * b)), shape);
  let state = { z: zeros([1, 16]), h: zeros(hidden), c: zeros(hidden) };
  window.frame = async keys => {
    const held = new ort.Tensor('float32', Float32Array.from(keys), [1, 4]);
    const next = await dynamics.run({ ...state, keys: held });
    state = { z: next.z_next, h: next.h_next, c: next.c_next };
    const picture = (await decoder.run({ z: state.z })).picture.data;
    for (let i = 0; i < 9216; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = Math.round(255 * picture[c * 9216 + i]);
      image.data[4 * i + 3] = 255;
    }
    brush.putImageData(image, 0, 0);
  };
}"""
STAND_STILL = """async () => {
  // the loop stands still
  await new Promise(done => loop.queue(async () => { done(); await new Promise(() => {}); }));
  window.frame = async keys => { await dream.step(keys); loop.draw(await dream.paint()); };
}"""
WATCH = """() => {
  const step = dream.step.bind(dream), draw = loop.draw.bind(loop);
  let row = [], press = null;
  dream.step = async keys => { await step(keys); row = keys; };
  loop.draw = rgba => {
    draw(rgba);
    if (press && row[press.key]) { press.done(performance.now() - press.at); press = null; }
  };
  window.latencyOf = key => { window.seen = new Promise(done => { press = { key, done, at: Infinity }; }); };
  addEventListener('keydown', () => { if (press) press.at = performance.now(); }, true);
}"""
TIME = """async count => {
  const times = [];
  for (let n = 0; n < count; n++) {
    const started = performance.now();
    await frame([n & 1, n >> 1 & 1, n >> 2 & 1, n >> 3 & 1]);
    times.push(performance.now() - started);
  }
  return times;
}"""


class Function(torch.nn.Module):
    """A function as a module, which is what torch.onnx.export takes."""

    def __init__(self, network, function):
        super().__init__()
        self.network, self.function = network, function

    def forward(self, *inputs):
        return self.function(self.network, *inputs)


def plain_mish(self, x):
    return x * torch.tanh(F.softplus(x))


@torch.no_grad()
def write_original(folder):
    """Both graphs in the original's sizes and operators, with random weights, which change no speed."""
    models.Mish.forward = plain_mish
    decoder = models.Decoder(models.AutoencoderConfig(**models.ORIGINAL_AUTOENCODER)).eval()
    config = models.DynamicsConfig(hidden=128, widths=(1024, 2048, 1024), over=False)
    dynamics = models.Dynamics(config).eval()
    h, c = torch.randn(2, 3, 1, 128)
    for name, function, network, inputs, outputs in (
            ("decoder", models.Decoder.forward, decoder, {"z": torch.randn(1, 16)}, ["picture"]),
            ("dynamics", graphs.step, dynamics,
             {"z": torch.randn(1, 16), "keys": torch.rand(1, 4), "h": h, "c": c},
             ["z_next", "h_next", "c_next"])):
        torch.onnx.export(Function(network, function), tuple(inputs.values()), folder / f"{name}.onnx",
                          input_names=list(inputs), output_names=outputs, external_data=False, verbose=False)
    (folder / "index.html").write_text(PAGE)
    package = subprocess.run(["npm", "pack", PACKAGE], cwd=folder, check=True, capture_output=True,
                             text=True).stdout
    with tarfile.open(folder / package.split()[-1]) as archive:
        for name in FILES:
            (folder / name).write_bytes(archive.extractfile(f"package/dist/{name}").read())


def compare(pages, rounds, frames):
    """Milliseconds of each frame by page: arrays (rounds, frames), the pages in turns."""
    times = {name: [] for name in pages}
    for page in pages.values():
        page.evaluate(TIME, 30)
    for _ in range(rounds):
        for name, page in pages.items():
            page.bring_to_front()
            times[name].append(page.evaluate(TIME, frames))
    return {name: np.array(rounds) for name, rounds in times.items()}


def in_python(folder, model_name, rounds, frames):
    """The same with one thread of onnxruntime and no page."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    dynamics, decoder = (onnxruntime.InferenceSession(folder / f"{name}.onnx", options)
                         for name in ("dynamics", "decoder"))
    model = dream.Model(ROOT / "docs" / "model" / model_name, threads=1)
    zeros = np.zeros((3, 1, 128), np.float32)
    states = {"original's": [np.zeros((1, 16), np.float32), zeros, zeros], "here": model.starts[0]}

    def step_originally(state, keys):
        state = dynamics.run(None, dict(zip("zhc", state), keys=keys))
        return state, (255 * decoder.run(None, {"z": state[0]})[0]).round().astype(np.uint8)

    def step_here(state, keys):
        state, _ = model.step(state, keys)
        return state, model.decode(state[0])

    times = {name: np.zeros((rounds, frames)) for name in states}
    for number in range(rounds):
        for name, step in (("original's", step_originally), ("here", step_here)):
            for n in range(frames):
                keys = np.array([[n & 1, n >> 1 & 1, n >> 2 & 1, n >> 3 & 1]], np.float32)
                started = time.perf_counter()
                states[name], _ = step(states[name], keys)
                times[name][number, n] = 1000 * (time.perf_counter() - started)
    return times


def summary(times):
    """Times of compare() -> {page: {p50, p95}, ratio: of the medians, the median, least and most round}."""
    original, here = times.values()
    ratios = np.median(original, axis=1) / np.median(here, axis=1)
    figures = {name: {"p50": float(np.median(ms)), "p95": float(np.quantile(ms, 0.95))}
               for name, ms in times.items()}
    return figures | {"ratio": [float(x) for x in (np.median(ratios), ratios.min(), ratios.max())]}


def main():
    parser = data.bare_parser(__doc__)
    parser.add_argument("--model", default="qwop", help="folder in docs/model")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--frames", type=int, default=60, help="of each page in a round")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of lines")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_original(Path(folder))
        browser = launch(playwright)
        original, page = browser.new_page(), browser.new_page()
        original.goto(f"{Server(folder).address}/")
        original.evaluate(OPEN, [3, 1, 128])
        page.goto(f"{Server(ROOT / 'docs').address}/index.html?model={args.model}")
        page.wait_for_selector("body[data-state=ready]")
        ms = latencies(page, 60, WATCH)
        page.evaluate(STAND_STILL)
        figures = {"page": summary(compare({"original's": original, "here": page}, args.rounds, args.frames))}
        browser.close()
        figures["python"] = summary(in_python(Path(folder), args.model, args.rounds, args.frames))
        figures["key_ms"] = dict(zip(("p50", "p95", "max"), np.quantile(ms, (0.5, 0.95, 1)).tolist()))
    if args.json:
        print(json.dumps(figures))
        return
    for place in ("page", "python"):
        *pages, (_, ratio) = figures[place].items()
        for name, ms in pages:
            print(f"{place:7} {name:11} ms a frame: p50 {ms['p50']:5.2f} | p95 {ms['p95']:5.2f}")
        print(f"{place:7} here is {ratio[0]:.2f} times as fast (median of {args.rounds} rounds, "
              f"{ratio[1]:.2f} to {ratio[2]:.2f})")
    print("key to changed picture, ms: "
          + ", ".join(f"{name} {x:.0f}" for name, x in figures["key_ms"].items()))


if __name__ == "__main__":
    main()
