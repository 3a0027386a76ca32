"""Play a browser game on a virtual clock and record it: the browser, the page and the worker processes.

collect.py and `encode.py --live` use record(); a game is described by a file like games/runner.py.

Shapes: T frames of an episode, K keys
"""
import functools
import http.server
import multiprocessing
import os
import queue
import runpy
import shutil
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import sync_playwright

import data
from data import SIZE

VERSION = "0.1.0"           # of this project, written beside what it records
HERE = Path(__file__).parent
TIMEOUT = 60                # seconds for a page to load or an episode to come back
FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
         "--mute-audio", "--disable-gpu", "--disable-background-timer-throttling", "--disable-renderer-backgrounding"]


@dataclass
class Game:
    """One game's description: what a file in games/ may say. JavaScript is run in the page's global scope."""
    name: str
    url: str                  # full address, or a page in `serve`
    canvas: str               # CSS selector of the canvas
    keys: list                # names of the keys: letters, or KeyboardEvent codes such as ArrowLeft and Space
    tick_ms: float            # length of one fixed update, in milliseconds
    restart: str              # statement that starts a life
    over: str                 # expression, true when the life has ended
    start: str = ""           # statement that runs once after loading
    pose: str = ""            # expression: x, y, angle of every body in one list
    score: str = ""           # expression: a number
    serve: str = None         # folder that is served on loopback, relative to the description's folder
    catches_up: bool = False  # its loop runs every tick that is due before it draws


def load_game(name):
    """The Game named on the command line: `runner`, or the path of a description file."""
    path = Path(name) if name.endswith(".py") else HERE / "games" / f"{name}.py"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in (HERE / "games").glob("*.py")))
        raise SystemExit(f"no game {name}: name one of {known}, or the path of a description like games/runner.py")
    said = {k: v for k, v in runpy.run_path(str(path)).items() if not k.startswith("_")}
    try:
        game = Game(name=path.stem, **said)
    except TypeError as error:
        raise SystemExit(f"{path}: {str(error).split('() ')[-1]} (see class Game in recorder.py)") from None
    if game.serve:
        home = HERE if path.resolve().parent == HERE / "games" else path.resolve().parent
        game.serve = str(home / game.serve)
    return game


def add_arguments(parser):
    """The options of whatever records."""
    parser.add_argument("--frames", type=int, default=256, help="frames of an episode")
    parser.add_argument("--ticks-per-frame", type=int, default=3, help="updates of the game between two frames")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="browsers at the same time")
    parser.add_argument("--seed", type=int, default=0)


def check_arguments(args, episodes):
    """End the program if an option of add_arguments(), or the number of episodes, makes no sense."""
    if min(episodes, args.ticks_per_frame, args.workers) < 1 or args.frames < 2 or args.seed < 0:
        raise SystemExit("episodes, --ticks-per-frame and --workers must be at least 1, --frames 2, --seed 0")


def describe(game, args):
    """How episodes are made, for the meta.json beside them: a dict. args: those of add_arguments()."""
    return {"game": game.name, "url": game.url, "keys": game.keys, "tick_ms": game.tick_ms,
            "ticks_per_frame": args.ticks_per_frame, "frames": args.frames, "seed": args.seed,
            "policy": {"name": "random", "press": data.PRESS, "let_go": data.LET_GO},
            "viewport": [SIZE, SIZE], "version": VERSION}


def check_meta(path, meta):
    """End the program if the folder of this meta.json holds episodes that were made in another way."""
    old = data.read_json(path) or meta
    for name, value in meta.items():
        if old.get(name) != value and name != "version":
            raise SystemExit(f"{path.parent} was recorded with {name} {old.get(name)}, not {value}: name another "
                             "--data, or move that folder away")


# ---------------------------------------------------------------------------------------------------------- browser

def find_browser(playwright):
    """Path of a Chromium: Playwright's own, else an installed Chrome or Chromium. Ends the program if there is none."""
    own = Path(playwright.chromium.executable_path)
    if own.exists():
        return str(own)
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"):
        if path := shutil.which(name):
            return path
    places = [Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
              Path(os.environ.get("PROGRAMFILES", "C:/Program Files")) / "Google/Chrome/Application/chrome.exe"]
    for path in places:
        if path.exists():
            return str(path)
    raise SystemExit("no Chromium found: run  playwright install chromium  (or  apt install chromium)")


def launch(playwright):
    """A headless Chromium on this machine -> Playwright's Browser."""
    path = find_browser(playwright)
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # whom Chromium refuses a sandbox
    try:
        return playwright.chromium.launch(executable_path=path, args=FLAGS + ["--no-sandbox"] * root)
    except BrowserError as error:
        raise SystemExit(f"{path} does not start ({error.message.splitlines()[0]}): "
                         "run  playwright install chromium") from None


class Server:
    """Serves a folder on loopback and receives what the page posts."""

    def __init__(self, folder):
        posted = self.posted = queue.Queue()

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_POST(self):
                posted.put(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.end_headers()

            def log_message(self, *args):
                pass

        Handler.extensions_map = {**Handler.extensions_map, ".js": "text/javascript", ".mjs": "text/javascript"}
        handler = functools.partial(Handler, directory=folder or os.devnull)
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.handle_error = lambda *args: None  # a browser that closes hangs up in the middle of an answer
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


class Recorder:
    """One browser with one page of one game. Raises RuntimeError with a line for the user if it does not play."""

    def __init__(self, playwright, game):
        self.game = game
        self.server = Server(game.serve)
        self.browser = launch(playwright)
        self.page = self.browser.new_page(viewport={"width": 800, "height": 600})
        self.page.set_default_timeout(TIMEOUT * 1000)
        self.page.add_init_script(path=HERE / "recorder.js")
        self.open()

    @property
    def version(self):
        return self.browser.version

    def open(self):
        game = self.game
        url = game.url if "://" in game.url else f"{self.server.address}/{game.url}"
        try:
            answer = self.page.goto(url, wait_until="load")
            if answer and not answer.ok:
                raise RuntimeError(f"{game.name}: {url} answers {answer.status} {answer.status_text}: check url in "
                                   "the game's description")
            problem = self.page.evaluate("selector => recorder.problem(selector)", game.canvas)
            if problem:
                raise RuntimeError(f"{game.name}: {problem} ({url})")
            optional = "".join(f"{k}: () => ({v})," for k, v in (("pose", game.pose), ("score", game.score)) if v)
            self.page.evaluate(f"""names => {{
                {game.start};
                const restart = () => {{ {game.restart}; }}, over = () => ({game.over});
                recorder.game = {{ restart, over, {optional} ...names }};
            }}""", {"keys": game.keys, "canvas": game.canvas, "tickMs": game.tick_ms, "catchesUp": game.catches_up})
        except BrowserError as error:
            raise RuntimeError(f"{game.name}: cannot open {url}: {error.message.splitlines()[0]}: check url "
                               "and start in the game's description") from None

    def play(self, keys, ticks_per_frame):
        """Play keys uint8 (T, K) from a fresh life -> arrays of one episode (see data.py)."""
        T = len(keys)
        job = {"keys": keys.tolist(), "ticksPerFrame": ticks_per_frame, "address": f"{self.server.address}/episode"}
        try:
            bodies = self.page.evaluate("job => recorder.play(job)", job) // 3
        except BrowserError as error:
            raise RuntimeError(f"{self.game.name}: the game stopped: {error.message.splitlines()[0]}") from None
        body = self.server.posted.get(timeout=TIMEOUT)
        episode = {"keys": keys}
        floats = np.frombuffer(body, np.float32, count=T * (3 * bodies + bool(self.game.score)))
        start = floats.nbytes
        episode["frames"] = np.frombuffer(body, np.uint8, T * SIZE * SIZE * 3, start).reshape(T, SIZE, SIZE, 3)
        episode["restart"] = np.frombuffer(body, np.uint8, T, start + episode["frames"].nbytes).astype(bool)
        if bodies:
            episode["pose"] = floats[:T * 3 * bodies].reshape(T, bodies, 3)
        if self.game.score:
            episode["score"] = floats[T * 3 * bodies:]
        if T > 1 and (episode["frames"] == episode["frames"][0]).all():
            raise RuntimeError(f"{self.game.name}: {T} frames without change: is {self.game.canvas} the right canvas, "
                               "and does the game run?")
        return episode

    def close(self):
        self.browser.close()
        self.server.http.shutdown()


# ---------------------------------------------------------------------------------------------------------- workers

def work(game, seed, frames, ticks_per_frame, episodes, done, sink):
    """A worker process: play the numbered episodes, give each to `sink`, report to the queue `done`."""
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()  # never outlive collect.py
    try:
        with sync_playwright() as playwright:
            recorder = Recorder(playwright, game)
            done.put(("browser", recorder.version))
            for episode in episodes:
                arrays = recorder.play(data.random_keys(frames, len(game.keys), seed, episode), ticks_per_frame)
                done.put(("episode", (episode, sink(episode, arrays))))
            recorder.close()
    except KeyboardInterrupt:
        pass
    except (RuntimeError, SystemExit, queue.Empty) as error:
        done.put(("error", str(error) or f"{game.name}: no episode came back within {TIMEOUT} s"))
    except OSError as error:
        done.put(("disk", (error.errno, error.strerror, error.filename)))


def record(game, episodes, seed, frames, ticks_per_frame, workers, sink):
    """Record the numbered episodes in `workers` processes. Yields ("browser", version) once for each worker, then
    ("episode", (number, what sink(number, arrays) returned)) in the order in which they get ready.

    sink: picklable, called in the worker. Ends the program with one line when the game cannot be played; raises
    OSError when the sink could not write.
    """
    spawn = multiprocessing.get_context("spawn")
    done = spawn.Queue()
    processes = [spawn.Process(target=work, daemon=True,
                               args=(game, seed, frames, ticks_per_frame, episodes[n::workers], done, sink))
                 for n in range(min(workers, len(episodes)))]
    for process in processes:
        process.start()
    left, heard, patience = len(episodes), time.monotonic(), TIMEOUT + frames  # one second a frame: far too slow
    try:
        while left:
            try:
                kind, value = done.get(timeout=1)
            except queue.Empty:
                if not any(process.is_alive() for process in processes):
                    raise SystemExit(f"{game.name}: every recording process has died; what was recorded is kept, "
                                     "run the same command again") from None
                if time.monotonic() - heard > patience:
                    raise SystemExit(f"{game.name}: nothing came back for {patience} s: does the page hang?") from None
                continue
            heard = time.monotonic()
            if kind == "error":
                raise SystemExit(value)
            if kind == "disk":
                raise OSError(*value)
            left -= kind == "episode"
            yield kind, value
    finally:
        if left or sys.exc_info()[0]:
            for process in processes:  # one that has failed ends by itself: let it tidy up
                process.join(timeout=1)
                process.terminate()
        for process in processes:
            process.join(timeout=10)


if __name__ == "__main__":  # which browser would be used? Exit code 1 if there is none.
    with sync_playwright() as chosen:
        print(find_browser(chosen))
