"""Play the dream: a Gradio page where a person holds the keys and two ONNX graphs answer with pictures.

Reads   a model folder of export.py: meta.json, decoder.onnx, dynamics.onnx
        app.js (what the page does), docs/ (the page that needs no server, offered at /plain/)

    python app.py                        # http://127.0.0.1:7860 after 2 seconds, docs/model/runner
    python app.py --model data/runner/model --port 7861 --no-browser

Shapes: L LSTM layers, H hidden width, K keys; one player, so N is 1 everywhere
"""
import os

os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")  # both are read at import

import argparse
import base64
import hashlib
import io
import json
import secrets
import threading
import time
from pathlib import Path

import gradio as gr
import numpy as np
import onnxruntime as ort
from PIL import Image
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

HERE = Path(__file__).parent
FORMAT = 1      # of meta.json: what export.py writes
IDLE_S = 4      # a visitor who has not asked for a frame for so long has left (looked at once a second)
CALLS = 4       # of one visitor at the same time: the page keeps three on their way, and one restart


class Model:
    """An opened model folder. Ends the program with one line if it cannot be played."""

    def __init__(self, folder):
        try:
            self.meta = meta = json.loads((folder / "meta.json").read_text())
            if meta["format"] != FORMAT:
                raise SystemExit(f"{folder} has format {meta['format']}, this app plays format {FORMAT}: "
                                 "run  python export.py  again")
            self.decoder = self.open(folder / "decoder.onnx")
            self.dynamics = self.open(folder / "dynamics.onnx")
            shapes = {array.name: array.shape for array in self.dynamics.get_inputs()}
            layers, _, hidden = shapes["h"]
            self.starts = [self.start(state, (layers, 1, hidden), shapes["z"][1]) for state in meta["starts"]]
            if not (self.starts and meta["game"] and meta["keys"] and meta["frame_ms"] > 0):
                raise ValueError("meta.json has no start state, no game, no keys or no pace")
        except FileNotFoundError as error:
            raise SystemExit(f"no model in {folder} ({Path(error.filename).name} is missing): "
                             "run  make pipeline  or  python export.py  first") from None
        except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
            raise SystemExit(f"{folder} is not a model folder of export.py, {type(error).__name__}: {error}: "
                             "run  python export.py  again") from None

    def open(self, path):
        """One graph, run on one thread: frames are small and the cores belong to the other visitors."""
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.meta["sha256"].get(path.name):
            raise SystemExit(f"{path} is not the file that meta.json tells of (sha256 differs): "
                             "run  python export.py  again, or copy the whole folder again")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    @staticmethod
    def start(state, shape, features):
        """A start state of meta.json -> z (1, Z), h and c (L, 1, H), which are zero if it has none."""
        z = np.array(state["z"], np.float32).reshape(1, features)
        return z, *(np.array(state.get(name) or np.zeros(shape), np.float32).reshape(shape) for name in "hc")


class Dream:
    """One running dream: its state, and what follows from keys. `steps` counts since its start."""

    def __init__(self, model, start):
        self.model, self.steps, (self.z, self.h, self.c) = model, 0, model.starts[start]

    def paint(self):
        """-> rgba uint8 (96, 96, 4) of where the dream is."""
        return self.model.decoder.run(["rgba"], {"z": self.z})[0][0]

    def step(self, keys):
        """keys (K) of 0 and 1, held for one frame -> rgba uint8 (96, 96, 4)."""
        feed = {"z": self.z, "keys": np.array([keys], np.float32), "h": self.h, "c": self.c}  # (1, K)
        self.z, self.h, self.c = self.model.dynamics.run(["z_next", "h_next", "c_next"], feed)
        self.steps += 1
        return self.paint()


class Visitor:
    """Who plays: a dream, and the number of the last picture sent, which no restart turns back."""

    def __init__(self):
        self.dream, self.frame, self.seen = None, 0, time.monotonic()
        self.lock, self.calls = threading.Lock(), threading.BoundedSemaphore(CALLS)


class Visitors:
    """Everyone who plays now, by a secret name that the server made. Who leaves is forgotten in 5 seconds.

    start() and step() are what the page calls: one dict in, one dict out, a frame or {"error": one line}.
    """

    def __init__(self, model, places):
        self.model, self.places, self.playing, self.door = model, places, {}, threading.Lock()
        threading.Thread(target=self.sweep, daemon=True).start()

    def sweep(self):
        while True:
            time.sleep(1)
            with self.door:
                for name, visitor in list(self.playing.items()):
                    if time.monotonic() - visitor.seen > IDLE_S:
                        del self.playing[name]

    def start(self, call):
        """{start, visitor (none at first)} -> the picture of that start state, and the visitor's name."""
        call = call if isinstance(call, dict) else {}
        name, start = str(call.get("visitor")), call.get("start")
        if not isinstance(start, int) or start not in range(len(self.model.starts)):
            return {"error": f"start must be a number from 0 to {len(self.model.starts) - 1}"}
        with self.door:
            if name not in self.playing:
                if len(self.playing) >= self.places:
                    return {"error": f"all places are taken ({self.places}): waiting for one"}
                name = secrets.token_urlsafe(16)
                self.playing[name] = Visitor()

        def begin(visitor):
            visitor.dream = Dream(self.model, start)
            return visitor.dream.paint()

        return {"visitor": name, **self.turn(name, begin)}

    def step(self, call):
        """{visitor, keys: K times 0 or 1} -> the next picture of this visitor's dream."""
        call = call if isinstance(call, dict) else {}
        keys, count = call.get("keys"), len(self.model.meta["keys"])
        if not isinstance(keys, list) or len(keys) != count or any(key not in (0, 1) for key in keys):
            return {"error": f"keys must be {count} numbers, each 0 or 1"}
        return self.turn(str(call.get("visitor")), lambda visitor: visitor.dream.step(keys))

    def turn(self, name, move):
        """Let one visitor move, one call after the other -> the numbered picture."""
        visitor = self.playing.get(name)
        if visitor is None:
            return {"error": "unknown visitor: start again"}
        if not visitor.calls.acquire(blocking=False):
            return {"error": f"more than {CALLS} calls at the same time"}
        try:
            with visitor.lock:
                visitor.seen, visitor.frame = time.monotonic(), visitor.frame + 1
                picture = data_url(move(visitor))
                return {"frame": visitor.frame, "step": visitor.dream.steps, "picture": picture}
        finally:
            visitor.calls.release()


def data_url(rgba):
    """A picture as PNG in a data URL: 0.7 ms and 14 kB, where the raw bytes would be 0.1 ms and 49 kB."""
    file = io.BytesIO()
    Image.fromarray(rgba[..., :3]).save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


HTML = """
<h1>A game, hallucinated</h1>
<p>No game runs here: every picture is dreamed by a small neural network from the one before and the keys that
you hold. <a href="plain/?model=played" target="_blank" rel="noopener">Play it in the browser alone</a></p>
<canvas width="96" height="96" role="img" aria-label="The dreamed game"></canvas>
<div class="keys" role="group" aria-label="Keys of the game: hold them"></div>
<div class="row"><button class="restart" type="button">Restart <kbd>R</kbd></button>
<select aria-label="Start state"></select>
<span class="tell"><output>loading</output> &nbsp;<span class="pace"></span></span></div>
"""
CSS = """
max-width: 640px; margin: 0 auto; font: 16px/1.5 system-ui, sans-serif; color: var(--body-text-color);
h1 { font-size: clamp(1.4rem, 5vw, 2rem); font-weight: 700; line-height: 1.2; letter-spacing: -0.02em; }
h1::first-letter { text-transform: uppercase; }
p { margin: 6px 0 16px; }
a { text-decoration: underline; text-underline-offset: 3px; }
canvas { --shape: 1.6; /* width / height, if the model does not say */ display: block; margin: 0 auto;
  width: min(100%, 60vh * var(--shape)); aspect-ratio: var(--shape); border-radius: 10px; background: #16181d; }
.keys { display: flex; flex-wrap: wrap; gap: 10px; margin: 14px 0; }
button, select { color: inherit; background: var(--background-fill-secondary); cursor: pointer;
  padding: 8px 14px; border: 1px solid var(--border-color-primary); border-radius: 10px; }
.keys button { flex: 1 1 64px; min-width: max-content; height: 64px; font-size: 1.4rem; font-weight: 600;
  border-bottom-width: 3px; touch-action: none; user-select: none; -webkit-user-select: none;
  -webkit-touch-callout: none; }
.keys button[aria-pressed="true"] { background: #c2410c; border-color: #c2410c; color: #fff; }
.row { display: flex; flex-wrap: wrap; gap: 10px; align-items: center; }
.tell { margin-left: auto; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
kbd { font: inherit; font-size: 0.8em; padding: 0 5px; border: 1px solid; border-radius: 5px; }
[hidden] { display: none; }
"""
AROUND = ".main.app { padding: clamp(8px, 3vh, 32px) 4px !important; }"  # Gradio takes too much of a phone


def make_page(model, visitors, plain):
    """The whole page is one gr.HTML; its props are what app.js has to know of the model. plain: is there the page
    that needs no server?"""

    def start(call):
        return visitors.start(call)

    def step(call):
        return visitors.step(call)

    meta = model.meta
    with gr.Blocks(title=f"{meta['game']}, hallucinated", analytics_enabled=False) as page:
        gr.HTML(html_template=HTML, css_template=CSS, js_on_load=(HERE / "app.js").read_text("utf-8"),
                apply_default_css=False, server_functions=[start, step],
                game=meta["game"], keys=meta["keys"], shape=meta.get("shape"), frame_ms=meta["frame_ms"],
                starts=len(model.starts), plain=plain)
    return page


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE / "docs/model/runner", help="folder of export.py")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument("--visitors", type=int, default=16, help="people who can play at the same time")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    args = parser.parse_args()
    ort.disable_telemetry_events()
    model = Model(args.model)
    plain = (HERE / "docs/index.html").exists() and (args.model / "model.js").exists()
    page = make_page(model, Visitors(model, args.visitors), plain)
    routes = [Mount("/plain/model/played", StaticFiles(directory=args.model)),
              Mount("/plain", StaticFiles(directory=HERE / "docs", html=True, check_dir=False))]
    try:
        page.launch(server_name=args.host, server_port=args.port, quiet=True, ssr_mode=False, footer_links=[],
                    css=AROUND, prevent_thread_lock=True, app_kwargs={"routes": routes},
                    inbrowser=not args.no_browser and "SPACE_ID" not in os.environ)
    except (OSError, OverflowError):
        raise SystemExit(f"cannot listen on {args.host} port {args.port}, it is in use or not allowed: "
                         f"try  python app.py --port {args.port + 1}") from None
    print(f"playing {args.model} at {page.local_url} (Ctrl-C ends)", flush=True)
    page.block_thread()


if __name__ == "__main__":
    main()
