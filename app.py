"""Play the dream, and look into it: a Gradio app on ONNX graphs, without torch.

Reads   docs/model/* or --model: folders of export.py; held_out/<game>: recorded clips; --data: what training left
        app.js (what the playing page does), docs/ (the page that needs no server, offered at /plain/)

    python app.py                        # http://127.0.0.1:7860 after 3 seconds
    python app.py --model data/runner/model --port 7861 --no-browser

Play goes by calls of app.js to Visitors.start and .step, three of them on their way at once; everything else is
ordinary Gradio, in panels.py, an API for scripts among it.

Shapes: K keys, Z latent features; one player, so N is 1 everywhere
"""
import os

os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")  # both are read at import

import argparse
import base64
import io
import secrets
import threading
import time
from pathlib import Path

import gradio as gr
import numpy as np
import onnxruntime
from PIL import Image
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from ui import panels
from dream import Model

HERE = Path(__file__).parent
IDLE_S = 4      # a visitor who has not asked for a frame for so long has left (looked at once a second)
CALLS = 4       # of one visitor at the same time: the page keeps three on their way, and one restart
PICTURES = 12   # of one frame at most: the last is the frame itself, the others lie between it and the one before
JUMP = 8        # a step of so many dz_std is a cut (a new life): nothing lies between its two frames
UNKNOWN = {"error": "unknown visitor: start again"}


class Dream:
    """One running dream: its state, and what follows from keys. `steps` counts since its start."""

    def __init__(self, model, state):
        self.model, self.steps, self.state = model, 0, state

    def paint(self):
        """-> [the picture of where the dream is], uint8 (96, 96, 3)."""
        return self.model.decode(self.state[0])

    def step(self, keys, count=1):
        """keys (K) of 0 and 1, held for one frame -> `count` pictures uint8 (count, 96, 96, 3) on the way to it."""
        before = self.state[0]
        self.state = self.model.step(before, [keys], *self.state[1:])
        self.steps += 1
        way = self.state[0] - before
        if np.abs(way / self.model.meta["dz_std"]).max() > JUMP:
            return self.paint()
        return self.model.decode(before + way * np.linspace(0, 1, count + 1, dtype=np.float32)[1:, None])


class Visitor:
    """Who plays: a dream, and the number of the last answer, which no restart turns back."""

    def __init__(self):
        self.dream, self.frame, self.seen = None, 0, time.monotonic()
        self.lock, self.calls = threading.Lock(), threading.BoundedSemaphore(CALLS)


class Visitors:
    """Everyone who plays now, by a secret name that the server made. Who leaves is forgotten in 5 seconds.

    start() and step() are what the page calls: one dict in, one dict out, pictures or {"error": one line}.
    """

    def __init__(self, models, places):
        self.models, self.places, self.playing, self.door = models, places, {}, threading.Lock()
        threading.Thread(target=self.sweep, daemon=True).start()

    def sweep(self):
        while True:
            time.sleep(1)
            with self.door:
                for name, visitor in list(self.playing.items()):
                    if time.monotonic() - visitor.seen > IDLE_S:
                        del self.playing[name]

    def start(self, call):
        """{model, start: a number, or 16 of them that are z, visitor: none at first} -> the first picture, and the
        visitor's name."""
        call = call if isinstance(call, dict) else {}
        name, start, model = str(call.get("visitor")), call.get("start"), self.models.get(str(call.get("model")))
        if model is None:
            return {"error": f"model must be one of: {', '.join(self.models)}"}
        try:
            if isinstance(start, int) and start not in range(len(model.starts)):
                raise ValueError
            state = model.starts[start] if isinstance(start, int) else model.state(start)
        except (ValueError, TypeError):
            return {"error": f"start must be a number from 0 to {len(model.starts) - 1}, or "
                             f"{model.features} numbers that are z"}
        with self.door:
            if name not in self.playing:
                if len(self.playing) >= self.places:
                    return {"error": f"all places are taken ({self.places}): waiting for one"}
                name = secrets.token_urlsafe(16)
                self.playing[name] = Visitor()
            visitor = self.playing[name]

        def begin():
            visitor.dream = Dream(model, state)
            return visitor.dream.paint()

        return {"visitor": name, **self.turn(visitor, begin)}

    def step(self, call):
        """{visitor, keys: K times 0 or 1, pictures: 1 to PICTURES} -> pictures on the way to the next frame of this
        visitor's dream, the last of them the frame itself."""
        visitor = self.find(call)
        if visitor is None or visitor.dream is None:
            return UNKNOWN
        keys, count = call.get("keys"), call.get("pictures", 1)
        wanted = len(visitor.dream.model.meta["keys"])
        if not isinstance(keys, list) or len(keys) != wanted or any(key not in (0, 1) for key in keys):
            return {"error": f"keys must be {wanted} numbers, each 0 or 1"}
        if not isinstance(count, int) or not 1 <= count <= PICTURES:
            return {"error": f"pictures must be a number from 1 to {PICTURES}"}
        return self.turn(visitor, lambda: visitor.dream.step(keys, count))

    def stay(self, call):
        """{visitor}: who pauses is still there."""
        visitor = self.find(call)
        if visitor is None:
            return UNKNOWN
        visitor.seen = time.monotonic()
        return {"visitor": call["visitor"]}

    def find(self, call):
        """Who calls, or None."""
        return self.playing.get(str(call.get("visitor"))) if isinstance(call, dict) else None

    @staticmethod
    def turn(visitor, move):
        """Let one visitor move, one call after the other -> the numbered pictures."""
        if not visitor.calls.acquire(blocking=False):
            return {"error": f"more than {CALLS} calls at the same time"}
        try:
            with visitor.lock:
                visitor.seen, visitor.frame = time.monotonic(), visitor.frame + 1
                pictures = [data_url(picture) for picture in move()]
                return {"frame": visitor.frame, "step": visitor.dream.steps, "pictures": pictures}
        finally:
            visitor.calls.release()


def data_url(picture):
    """A picture uint8 (96, 96, 3) as JPEG in a data URL: 0.1 ms and 5 kB, where a PNG would be 1.3 ms and 16 kB. What
    it loses (39 dB are left) is a tenth of what the autoencoder has lost."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=92, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


HTML = """
<h1>A game, hallucinated</h1>
<p>No game runs here: every picture is dreamed by a small neural network from the one before and the keys that
you hold. <a href="plain/" target="_blank" rel="noopener">Play it in the browser alone</a></p>
<canvas width="96" height="96" role="img" aria-label="The dreamed game"></canvas>
<div class="keys" role="group" aria-label="Keys of the game: hold them"></div>
<div class="row"><button class="restart" type="button">Restart <kbd>R</kbd></button>
<button class="pause" type="button" aria-pressed="false">Pause</button>
<button class="once" type="button">Step</button>
<select class="model" aria-label="Dream"></select>
<select class="start" aria-label="Start state"></select>
<select class="speed" aria-label="Speed"></select></div>
<div class="row tell"><output>loading</output><span class="pace"></span></div>
"""
CSS = """
max-width: 640px; margin: 0 auto; font: 16px/1.5 system-ui, sans-serif; color: var(--body-text-color);
h1 { font-size: clamp(1.4rem, 5vw, 2rem); font-weight: 700; line-height: 1.2; letter-spacing: -0.02em; }
h1::first-letter { text-transform: uppercase; }
p { margin: 6px 0 16px; }
a { text-decoration: underline; text-underline-offset: 3px; }
canvas { --shape: 1.6; /* width / height, if the model does not say */ display: block; margin: 0 auto;
  width: min(100%, 52vh * var(--shape)); aspect-ratio: var(--shape); border-radius: 10px; background: #16181d; }
.keys { display: flex; flex-wrap: wrap; gap: 10px; margin: 14px 0; }
button, select { color: inherit; background: var(--background-fill-secondary); cursor: pointer;
  padding: 8px 12px; border: 1px solid var(--border-color-primary); border-radius: 10px; }
.keys button { flex: 1 1 64px; min-width: max-content; height: 64px; font-size: 1.4rem; font-weight: 600;
  border-bottom-width: 3px; touch-action: none; user-select: none; -webkit-user-select: none;
  -webkit-touch-callout: none; }
select { appearance: auto; }
button[aria-pressed="true"] { background: #c2410c; border-color: #c2410c; color: #fff; }
.row { display: flex; flex-wrap: wrap; gap: 10px; align-items: center; }
.tell { margin-top: 10px; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
kbd { font: inherit; font-size: 0.8em; padding: 0 5px; border: 1px solid; border-radius: 5px; }
[hidden] { display: none; }
"""
AROUND = ".main.app { padding: clamp(8px, 2vh, 24px) 4px !important; }"  # Gradio takes too much of a phone


def make_page(models, visitors, plain, data_folder):
    """All tabs. What app.js has to know of the models are the props of one gr.HTML. plain: {name of a model: address
    of the page that needs no server}."""

    def start(call):
        return visitors.start(call)

    def step(call):
        return visitors.step(call)

    def stay(call):
        return visitors.stay(call)

    known = [{"name": name, "game": model.meta["game"], "keys": model.meta["keys"], "shape": model.meta.get("shape"),
              "frame_ms": model.meta["frame_ms"], "starts": len(model.starts), "plain": plain.get(name)}
             for name, model in models.items()]
    with gr.Blocks(title="A game, hallucinated", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        with gr.Tab("Play"):
            gr.HTML(html_template=HTML, css_template=CSS, js_on_load=(HERE / "ui" / "app.js").read_text("utf-8"),
                    apply_default_css=False, server_functions=[start, step, stay], models=known,
                    most_pictures=PICTURES)
        panels.truth(models)
        panels.inside(models)
        panels.training(data_folder)
        panels.api(models)
    return page


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of export.py; the shipped ones are offered beside it")
    parser.add_argument("--data", type=Path, default="data", help="folder of all recordings: shows what training left")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument("--visitors", type=int, default=16, help="people who can play at the same time")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    args = parser.parse_args()
    onnxruntime.disable_telemetry_events()
    folders = {path.parent.name: path.parent for path in sorted(HERE.glob("docs/model/*/meta.json"), reverse=True)}
    if args.model:
        shipped = args.model.resolve() == folders.get(args.model.name)
        folders = {args.model.name if shipped else str(args.model): args.model, **folders}
    if not folders:
        raise SystemExit("no model in docs/model: name one with --model, or make one with  make pipeline")
    models = {name: Model(folder, threads=1) for name, folder in folders.items()}  # cores belong to other visitors, too
    plain = {name: f"plain/?model=played{n}" for n, (name, folder) in enumerate(folders.items())
             if (folder / "model.js").exists() and (HERE / "docs/index.html").exists()}
    routes = [Mount(f"/plain/model/played{n}", StaticFiles(directory=folder)) for n, folder in
              enumerate(folders.values())]
    routes.append(Mount("/plain", StaticFiles(directory=HERE / "docs", html=True, check_dir=False)))
    page = make_page(models, Visitors(models, args.visitors), plain, args.data)
    try:
        page.queue(default_concurrency_limit=2, max_size=64)
        page.launch(server_name=args.host, server_port=args.port, quiet=True, ssr_mode=False, footer_links=["api"],
                    css=AROUND, prevent_thread_lock=True, show_error=True, max_file_size=f"{panels.UPLOAD_MB}mb",
                    app_kwargs={"routes": routes},
                    inbrowser=not args.no_browser and "SPACE_ID" not in os.environ)
    except (OSError, OverflowError):
        raise SystemExit(f"cannot listen on {args.host} port {args.port}, it is in use or not allowed: "
                         f"try  python app.py --port {args.port + 1}") from None
    print(f"playing {', '.join(models)} at {page.local_url} (Ctrl-C ends)", flush=True)
    page.block_thread()


if __name__ == "__main__":
    main()
