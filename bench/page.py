"""How fast the page dreams, beside a page made as the original's: in turns, in the same browser.

Reads   docs/ with a model in docs/model; onnxruntime-web 1.22 from npm
Writes  a table; nothing is kept

    python tests/benchmark_page.py --model qwop          # needs npm and the network

The original's page, as far as it is known: onnxruntime-web 1.22 with one thread of wasm, weights in float32, Mish as
x * tanh(softplus(x)), the decoder as four transposed convolutions, float pictures turned into bytes by JavaScript.
"""
import argparse
import functools
import http.server
import io
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from benchmark_app import latencies
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import models  # noqa: E402
from capture import browser as recorder  # noqa: E402

PACKAGE = "onnxruntime-web@1.22.0"
FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
PAGE = """<!doctype html><canvas id="picture" width="96" height="96"></canvas><script src="ort.wasm.min.js"></script>"""
OPEN = """async hidden => {
  ort.env.wasm.numThreads = 1;
  const dynamics = await ort.InferenceSession.create('dynamics.onnx');
  const decoder = await ort.InferenceSession.create('decoder.onnx');
  const brush = document.querySelector('canvas').getContext('2d'), image = brush.createImageData(96, 96);
  const zeros = shape => new ort.Tensor('float32', new Float32Array(shape.reduce((a, b) => a * b)), shape);
  let state = { z: zeros([1, 16]), h: zeros(hidden), c: zeros(hidden) };
  window.frame = async keys => {
    const next = await dynamics.run({ ...state, keys: new ort.Tensor('float32', Float32Array.from(keys), [1, 4]) });
    state = { z: next.z_next, h: next.h_next, c: next.c_next };
    const picture = (await decoder.run({ z: state.z })).picture.data;
    for (let i = 0; i < 9216; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = Math.round(255 * picture[c * 9216 + i]);
      image.data[4 * i + 3] = 255;
    }
    brush.putImageData(image, 0, 0);
  };
}"""
OURS = """async () => {
  pause(true);
  await new Promise(done => wish(async () => { done(); await new Promise(() => {}); }));  // the loop stands still
  window.frame = async keys => { await dream.step(keys); draw(await dream.paint()); };
}"""
WATCH = """() => {
  const step = dream.step.bind(dream), paint = draw;
  let fed = [], asked = null;
  dream.step = async keys => { await step(keys); fed = keys; };
  window.draw = rgba => {
    paint(rgba);
    if (asked && fed[asked.key]) { asked.done(performance.now() - asked.pressed); asked = null; }
  };
  window.latencyOf = key => { window.seen = new Promise(done => { asked = { key, done, pressed: Infinity }; }); };
  addEventListener('keydown', () => { if (asked) asked.pressed = performance.now(); }, true);
}"""
TIME = """async count => {
  const times = [];
  for (let n = 0; n < count; n++) {
    const begun = performance.now();
    await frame([n & 1, n >> 1 & 1, n >> 2 & 1, n >> 3 & 1]);
    times.push(performance.now() - begun);
  }
  return times;
}"""


class Written(torch.nn.Module):
    """A function as a module, which is what torch.onnx.export takes."""

    def __init__(self, network, function):
        super().__init__()
        self.network, self.function = network, function

    def forward(self, *inputs):
        return self.function(self.network, *inputs)


def plain_mish(self, x):
    return x * torch.tanh(F.softplus(x))


def paint(decoder, z):
    """z (N, Z) -> pictures float32 (N, 3, 96, 96), the first layer as the convolution that it is."""
    return decoder.rest(decoder.first(decoder.head(z)[:, :, None, None]))


def step(dynamics, z, keys, h, c):
    z_next, (h, c) = dynamics(z[:, None], keys[:, None], (h, c))
    return z_next[:, 0], h, c


@torch.no_grad()
def write_original(folder):
    """Both graphs in the original's way and sizes, with random weights: speed does not depend on them."""
    models.Mish.forward = plain_mish
    decoder, dynamics = models.Autoencoder().eval().decoder, models.Dynamics().eval()
    h, c = torch.randn(2, 3, 1, 128)
    for name, function, network, inputs, outputs in (
            ("decoder", paint, decoder, {"z": torch.randn(1, 16)}, ["picture"]),
            ("dynamics", step, dynamics, {"z": torch.randn(1, 16), "keys": torch.rand(1, 4), "h": h, "c": c},
             ["z_next", "h_next", "c_next"])):
        torch.onnx.export(Written(network, function), tuple(inputs.values()), folder / f"{name}.onnx",
                          input_names=list(inputs), output_names=outputs, external_data=False, verbose=False)
    (folder / "index.html").write_text(PAGE)
    package = subprocess.run(["npm", "pack", PACKAGE], cwd=folder, check=True, capture_output=True, text=True).stdout
    with tarfile.open(folder / package.split()[-1]) as archive:
        for name in FILES:
            (folder / name).write_bytes(archive.extractfile(f"package/dist/{name}").read())


def serve(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwop", help="folder in docs/model")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--frames", type=int, default=60, help="of each page in a round")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_original(Path(folder))
        browser, pages, times = recorder.launch(playwright), {}, {}
        for name, url, script, given in (("original's", serve(folder), OPEN, [3, 1, 128]),
                                         ("ours", f"{serve(ROOT / 'docs')}index.html?model={args.model}", OURS, None)):
            pages[name] = browser.new_page()
            pages[name].goto(url)
            if name == "ours":
                pages[name].wait_for_selector("body[data-state=ready]")
                ms = latencies(pages[name], 60, WATCH)
            pages[name].evaluate(script, given)
            pages[name].evaluate(TIME, 30)
        for _ in range(args.rounds):
            for name, page in pages.items():
                page.bring_to_front()
                times.setdefault(name, []).append(page.evaluate(TIME, args.frames))
        browser.close()
    out = io.StringIO()
    for name, rounds in times.items():
        print(f"{name:12} ms a frame: p50 {np.median(rounds):5.2f} | p95 {np.quantile(rounds, 0.95):5.2f}", file=out)
    ratios = np.median(times["original's"], axis=1) / np.median(times["ours"], axis=1)
    print(f"{out.getvalue()}ours is {np.median(ratios):.2f} times as fast (median of {args.rounds} rounds, "
          f"{ratios.min():.2f} to {ratios.max():.2f})")
    print(f"key to changed picture, ms: p50 {np.median(ms):.0f}, p95 {np.quantile(ms, 0.95):.0f}, max {ms.max():.0f}")


if __name__ == "__main__":
    main()
