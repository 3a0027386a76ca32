"""Play the dream from Python: a Gradio app on ONNX graphs, without torch.

Reads   docs/model/*, --model: folders of export.py, with the players that learned in them
        held_out/<game>: recorded clips; --data: logs of training
        docs/keys.js, ui/app.js, ui/play.*: the tab "Play"; docs/: the plain page, served at /plain/

    python app.py                        # http://127.0.0.1:7860 after 3 seconds
    python app.py --model data/runner/model --port 7861 --no-browser

ui/app.js calls Visitors.start and .step, up to three at once. ui/panels.py has the other tabs and the API.

Shapes: K keys, Z latent features; a visitor has one dream, so N is 1 everywhere
"""
# ruff: noqa: E402 (what Gradio reads of the environment when it is imported comes first)
import os

SETTINGS = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GRADIO_")}
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
for name in ("NO_PROXY", "no_proxy"):  # Gradio calls itself
    os.environ[name] = f"127.0.0.1,localhost,{os.environ.get(name) or os.environ.get('NO_PROXY', '')}"
ON_SPACE = "SPACE_ID" in os.environ  # whose proxy tells the visitors' addresses
os.environ.setdefault("FORWARDED_ALLOW_IPS", "*" if ON_SPACE else "127.0.0.1")

import argparse
import base64
import contextlib
import io
import secrets
import socket
import tempfile
import threading
import time
from functools import partial, update_wrapper
from pathlib import Path

import gradio as gr
import numpy as np
import onnxruntime
from PIL import Image
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

import data
from capture.player import find_player
from dream import Model, draw_noise
from ui import panels
from ui.door import UPLOAD_MB, Door

HERE = Path(__file__).parent
IDLE_S = 4      # a visitor who has not called for so long has left
MAX_CALLS = 4   # of one visitor at the same time: the page has three steps in flight, and one restart
MAX_IMAGES = 12 # for one step: the last is the frame itself, the others lie between it and the frame before
AROUND = ".main.app { padding: clamp(8px, 2vh, 24px) 4px !important; }"  # Gradio's takes much of a phone
UNKNOWN = {"error": "unknown visitor: start again"}


class Visitor:
    """One visitor: the model, the state of the dream, and how many steps and answers there have been."""

    def __init__(self, address):
        self.model, self.state, self.steps, self.answers = None, None, 0, 0
        self.address, self.seen = address, time.monotonic()
        self.lock, self.calls = threading.Lock(), threading.BoundedSemaphore(MAX_CALLS)

    def restart(self, model, player, state):
        """Begin at a start state -> its frame, uint8 (1, 96, 96, 3). player: a Player, or None."""
        self.model, self.player, self.state, self.steps, self.over = model, player, state, 0, False
        self.seed, self.life, self.dz = secrets.randbits(32), 0, 0 * state[0]
        self.keys = [0] * len(model.meta["keys"])
        return model.decode(state[0])

    def step(self, keys, count, temperature):
        """Hold keys (K), None: those of the player, for one frame -> images on the way to it, it last: uint8
        (count, 96, 96, 3)."""
        before, new_life = self.state[0], self.over
        if keys is None:
            keys = self.player.choose(before, self.dz, self.life)[0].tolist() if self.player else self.keys
        self.keys = keys
        noise = draw_noise([self.seed], self.steps, self.model.noise_size, temperature)
        self.state, (self.over,) = self.model.step(self.state, [keys], noise)
        self.steps += 1
        dz = self.state[0] - before
        self.life, self.dz = (0, 0 * dz) if new_life else (self.life + 1, dz)
        if self.over or new_life:  # a cut: nothing lies between its frames
            return self.model.decode(self.state[0])
        return self.model.decode(before + dz * np.linspace(0, 1, count + 1, dtype=np.float32)[1:, None])

    def answer(self, work):
        """Do one call's work, after earlier ones -> numbered images: answers may arrive out of order."""
        if not self.calls.acquire(blocking=False):
            return {"error": f"more than {MAX_CALLS} calls at the same time"}
        try:
            with self.lock:
                self.seen, self.answers = time.monotonic(), self.answers + 1
                return {"images": list(map(data_url, work())), "number": self.answers, "step": self.steps,
                        "keys": self.keys}
        finally:
            self.calls.release()


class Visitors:
    """All visitors, by a secret name that the server makes. Who is silent for IDLE_S may lose the place. One
    address has half of the places at most.

    The page calls start, step and stay: a dict in, a dict out, with images or {"error": one line}.
    """

    def __init__(self, models, players, places):
        self.models, self.players, self.places = models, players, places
        self.playing, self.lock = {}, threading.Lock()

    def start(self, call, address):
        """{model, start: number of a start state, visitor: none at first} -> first frame, visitor."""
        call = call if isinstance(call, dict) else {}
        chosen, start = str(call.get("model")), call.get("start")
        model = self.models.get(chosen)
        if model is None:
            return {"error": f"model must be one of: {', '.join(self.models)}"}
        if not isinstance(start, int) or not 0 <= start < len(model.starts):
            return {"error": f"start must be a number from 0 to {len(model.starts) - 1}"}
        if not (name := self.find_place(str(call.get("visitor")), address)):
            return {"error": f"all places are taken ({self.places}, half of them for one address): waiting"}
        visitor = self.playing[name]
        player, state = self.players[chosen], model.starts[start]
        return {"visitor": name, **visitor.answer(lambda: visitor.restart(model, player, state))}

    def find_place(self, name, address):
        """The name of a visitor who plays already, or a new one, or None if all places are taken. Whoever has
        been silent longest loses the place."""
        with self.lock:
            if name in self.playing:
                return name
            mine = [other for other, visitor in self.playing.items() if visitor.address == address]
            is_full = len(self.playing) >= self.places
            rivals = mine if len(mine) >= (self.places + 1) // 2 else list(self.playing) if is_full else []
            if rivals:
                oldest = min(rivals, key=lambda other: self.playing[other].seen)
                if time.monotonic() - self.playing[oldest].seen < IDLE_S:
                    return None
                del self.playing[oldest]
            name = secrets.token_urlsafe(16)
            self.playing[name] = Visitor(address)
            return name

    def step(self, call):
        """{visitor, keys: K times 0 or 1, or null: the player's, images: 1 to MAX_IMAGES, temperature
        of the noise, 0 to 2} -> images on the way to the next frame, keys that were held."""
        visitor = self.find(call)
        if visitor is None or visitor.model is None:
            return UNKNOWN
        keys, images, expected = call.get("keys"), call.get("images", 1), len(visitor.model.meta["keys"])
        is_row = isinstance(keys, list) and len(keys) == expected and all(key in (0, 1) for key in keys)
        if not is_row and not (visitor.player and "keys" in call and keys is None):
            return {"error": f"keys must be {expected} numbers, each 0 or 1"}
        if not isinstance(images, int) or not 1 <= images <= MAX_IMAGES:
            return {"error": f"images must be a number from 1 to {MAX_IMAGES}"}
        temperature = call.get("temperature", 1)
        if not isinstance(temperature, (int, float)) or not 0 <= temperature <= 2:
            return {"error": "temperature must be a number from 0 to 2"}
        return visitor.answer(lambda: visitor.step(keys, images, temperature))

    def stay(self, call):
        """{visitor}: keeps the place of a visitor who pauses."""
        if visitor := self.find(call):
            visitor.seen = time.monotonic()
        return {} if visitor else UNKNOWN

    def find(self, call):
        """The visitor who calls, or None."""
        return self.playing.get(str(call.get("visitor"))) if isinstance(call, dict) else None

    def functions(self):
        """start, step and stay as gr.HTML takes them: no methods; Gradio gives them the request."""
        def start(call, request: gr.Request):
            return self.start(call, request.client.host)

        return [start, *(update_wrapper(partial(method), method) for method in (self.step, self.stay))]


def data_url(frame):
    """A frame as JPEG in a data URL: 0.1 ms and 5 kB, where a PNG takes 1.3 ms and 16 kB. JPEG's error
    (39 dB) is a tenth of the autoencoder's."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=92, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def make_page(visitors, data_folder, scratch):
    """All tabs. The plain page of the model number n is at plain/?model=played<n>."""
    files = "ui/play.html", "ui/play.css", "docs/keys.js", "ui/app.js"
    html, css, keys_js, app_js = [(HERE / path).read_text("utf-8") for path in files]
    props = []
    for n, (name, model) in enumerate(visitors.models.items()):
        meta = {field: model.meta.get(field) for field in ("game", "keys", "shape", "frame_ms")}
        plain = f"plain/?model=played{n}" if (model.folder / "model.js").exists() else None
        props.append({"name": name, "starts": len(model.starts), "noise_size": model.noise_size,
                      "player": bool(visitors.players[name]), "plain": plain, **meta})
    with gr.Blocks(title="A game, hallucinated", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        with gr.Tab("Play"):
            gr.HTML(html_template=html, css_template=css, js_on_load=keys_js + app_js, models=props,
                    max_images=MAX_IMAGES, server_functions=visitors.functions(), apply_default_css=False)
        panels.comparison(visitors.models, data_folder, scratch)
        panels.training(page, data_folder, scratch)
        panels.api(visitors.models)
    return page


def find_port(host, port):
    """The number of a port. Ends the program with one line if the app cannot listen there."""
    try:
        if not 0 < int(port) < 65536:
            raise ValueError("not from 1 to 65535")
        family, *_, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        socket.create_server(address, family=family).close()
        return int(port)
    except (OSError, ValueError) as error:
        raise SystemExit(f"cannot listen on {host} port {port} ({error}): choose another --port") from None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a folder of export.py, to play beside the shipped ones")
    parser.add_argument("--data", type=Path, default="data", help="data folder, for the tab Your training")
    parser.add_argument("--host", default=SETTINGS.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", default=SETTINGS.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument("--visitors", type=int, default=16, help="people who can play at the same time")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    args = parser.parse_args()
    onnxruntime.disable_telemetry_events()

    # The models: the chosen one first
    folders = {path.parent.name: path.parent for path in sorted(HERE.glob("docs/model/*/meta.json"))[::-1]}
    if args.model:
        is_shipped = args.model.resolve() == folders.get(args.model.name)
        folders = {args.model.name if is_shipped else str(args.model): args.model, **folders}
    if not folders:
        raise SystemExit("no model in docs/model: choose one with --model, or make one with  make pipeline")
    models = {name: Model(folder, threads=1) for name, folder in folders.items()}  # visitors share the cores
    players = {name: find_player(model) for name, model in models.items()}
    port, root = find_port(args.host, args.port), SETTINGS.get("GRADIO_ROOT_PATH", "")
    if root and not root.startswith(("/", "http://", "https://")):
        raise SystemExit(f"GRADIO_ROOT_PATH is {root!r}: write it like /dream or https://example.com/dream")

    # The plain page, with the same models
    routes = [Mount(f"/plain/model/played{n}", StaticFiles(directory=folder))
              for n, folder in enumerate(folders.values())]
    routes.append(Mount("/plain", StaticFiles(directory=HERE / "docs", html=True)))
    door = Middleware(Door, args.host, root)

    # Serve until Ctrl-C
    with tempfile.TemporaryDirectory(prefix="dream-") as scratch:
        page = make_page(Visitors(models, players, args.visitors), args.data, Path(scratch))
        page.queue(default_concurrency_limit=2, max_size=64)
        page.launch(server_name=args.host, server_port=port, root_path=root, css=AROUND, quiet=True,
                    inbrowser=not args.no_browser and not ON_SPACE, prevent_thread_lock=True, ssr_mode=False,
                    show_error=True, max_file_size=f"{UPLOAD_MB}mb", footer_links=["api"],
                    enable_monitoring=False, app_kwargs={"routes": routes, "middleware": [door]})
        print(f"playing {', '.join(models)} at {page.local_url} (Ctrl-C ends)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(60)
        print("stopped", flush=True)
    os._exit(130)  # calls may be running in threads of onnxruntime, which must not outlive their models


if __name__ == "__main__":
    data.run(main, "stopped")
