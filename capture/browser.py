"""Play a browser game on a virtual clock and record it: the browser, the page and the worker processes.

collect.py and `encode.py --live` use record(); a game is described by a file like games/runner.py.

Shapes: L frames that are played, T that are recorded of them, K keys
"""
import contextlib
import functools
import hashlib
import http.server
import multiprocessing
import os
import queue
import re
import runpy
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import sync_playwright

import data
from capture import policies
from data import SIZE

VERSION = "0.1.0"           # of this project, written beside what it records
HERE = Path(__file__).parent.parent
TIMEOUT = 60                # seconds for a page to load or an episode to come back
FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
         "--mute-audio", "--disable-background-timer-throttling", "--disable-renderer-backgrounding"]
# What makes headless Chromium draw, best first. WebGL: Mesa's llvmpipe (or a real GPU) needs a third less CPU than
# SwiftShader; "browser" is whatever it does by itself (Metal, Direct3D).
BACKENDS = {"gles-egl": ["--use-angle=gles-egl", "--ignore-gpu-blocklist"],
            "gl-egl": ["--use-angle=gl-egl", "--ignore-gpu-blocklist"],
            "browser": ["--ignore-gpu-blocklist"],
            "swiftshader": ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]}
START = 10                  # seconds for a worker and its browser to start
ATTEMPTS = 3                # at an episode, when the browser dies under it


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
    webgl: bool = False       # it draws with WebGL: then every frame is drawn small, straight into its place
    before: str = ""          # script that runs before the page's own
    ready: str = "true"       # expression: true when loading is over
    draw: str = ""            # statement that switches drawing on and off by the variable `on`, for skipped frames
    gaits: Path = None        # where search_gaits.py keeps its key patterns: <name>_gaits.json beside the description
    hooks: dict = field(default_factory=dict)  # name -> expression that must be true before anything is recorded
    home: str = None          # the description's url, also when a copy is played


def load_game(name, url=None):
    """The Game named on the command line: `runner`, or the path of a description file. url: another address of it, or
    an .html file, whose folder is then served on loopback."""
    path = Path(name) if name.endswith(".py") else HERE / "games" / f"{name}.py"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in (HERE / "games").glob("*.py")))
        raise SystemExit(f"no game {name}: name one of {known}, or the path of a description like games/runner.py")
    said = {k: v for k, v in runpy.run_path(str(path)).items() if not k.startswith("_")}
    try:
        game = Game(name=path.stem, gaits=path.with_name(f"{path.stem}_gaits.json"), **said)
    except TypeError as error:
        raise SystemExit(f"{path}: {str(error).split('() ')[-1]} (see class Game in recorder.py)") from None
    if game.serve:
        home = HERE if path.resolve().parent == HERE / "games" else path.resolve().parent
        game.serve = str(home / game.serve)
    game.home = game.url
    if url:
        game.url, game.serve = url, None
        if "://" not in url:
            if not Path(url).is_file():
                raise SystemExit(f"--url {url} is neither an address like http://127.0.0.1:8000/ nor an .html file")
            game.url, game.serve = Path(url).name, str(Path(url).resolve().parent)
    return game


def default_workers():
    """A browser a core, as far as 2 GB of memory each allow."""
    return max(1, min(os.cpu_count(), data.memory_bytes() // (2 * 10 ** 9)))


def add_arguments(parser):
    """The options of whatever records."""
    parser.add_argument("--url", help="another address of the game's page, or the .html file of a local copy")
    parser.add_argument("--frames", type=int, default=256, help="frames of an episode")
    parser.add_argument("--ticks-per-frame", type=int, default=3, help="updates of the game between two frames")
    parser.add_argument("--policy", choices=policies.POLICIES,
                        help="which keys: random ones, gaits that run, a person's, single ones held, every choice at "
                             "the same moments, or a mix (the default where gaits are known)")
    parser.add_argument("--supersample", type=int, default=2,
                        help="WebGL games are drawn at 96 times this, then averaged (1 to 4)")
    parser.add_argument("--workers", type=int, default=default_workers(), help="browsers at the same time")
    parser.add_argument("--timeout", type=float, default=TIMEOUT,
                        help="seconds that a page may take to load, or a browser to play 500 frames")
    parser.add_argument("--seed", type=int, default=0)


def check_arguments(args, episodes):
    """End the program if an option of add_arguments(), or the number of episodes, makes no sense."""
    if min(episodes, args.ticks_per_frame, args.workers) < 1 or args.frames < 2 or args.seed < 0:
        raise SystemExit("episodes, --ticks-per-frame and --workers must be at least 1, --frames 2, --seed 0")
    if args.supersample not in (1, 2, 3, 4) or args.timeout <= 0:
        raise SystemExit("--supersample must be 1, 2, 3 or 4, --timeout more than 0")


def make_policy(game, args):
    """The keys that these options ask for. args: those of add_arguments()."""
    gaits = policies.load_gaits(game.gaits)
    name = args.policy or ("mix" if gaits else "random")
    if name in ("mix", "gait") and not gaits:
        raise SystemExit(f"{game.name} has no gaits in {game.gaits}: run  python search_gaits.py --game "
                         f"{args.game}  first, or use --policy random")
    return policies.Policy(name, len(game.keys), args.frames, args.ticks_per_frame, args.seed, gaits)


def describe(game, args):
    """How episodes are made, for the meta.json beside them: a dict. args: those of add_arguments()."""
    policy = make_policy(game, args)
    said = {"name": policy.name}
    if policy.name in ("random", "mix"):
        said |= {"press": policies.PRESS, "let_go": policies.LET_GO}
    if policy.name in ("gait", "mix"):
        said["gaits"] = hashlib.sha256(game.gaits.read_bytes()).hexdigest()[:12]
    return {"game": game.name, "url": game.home, "keys": game.keys, "tick_ms": game.tick_ms,
            "ticks_per_frame": args.ticks_per_frame, "frames": args.frames, "seed": args.seed, "policy": said,
            "viewport": [SIZE * args.supersample] * 2 if game.webgl else [SIZE, SIZE], "version": VERSION}


def check_meta(path, meta, but=("version",)):
    """End the program if the folder of this meta.json holds episodes that were made in another way."""
    old = data.read_json(path) or meta
    for name, value in meta.items():
        if old.get(name) != value and name not in but:
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


def launch(playwright, flags=("--disable-gpu",)):
    """A headless Chromium on this machine -> Playwright's Browser."""
    path = find_browser(playwright)
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # whom Chromium refuses a sandbox
    try:
        return playwright.chromium.launch(executable_path=path, args=[*FLAGS, *flags, *["--no-sandbox"] * root])
    except BrowserError as error:
        raise SystemExit(f"{path} does not start ({error.message.splitlines()[0]}): "
                         "run  playwright install chromium") from None


def launch_webgl(playwright):
    """A headless Chromium with the first of BACKENDS that draws -> Browser, words that name what draws."""
    for name, flags in BACKENDS.items():
        browser, drawn = launch(playwright, flags), ""
        with contextlib.suppress(BrowserError):  # a backend may end the browser, too
            page = browser.new_page()
            drawn = page.evaluate("""() => {
                const gl = document.createElement("canvas").getContext("webgl", { preserveDrawingBuffer: true });
                if (!gl) return "";
                const info = gl.getExtension("WEBGL_debug_renderer_info"), pixel = new Uint8Array(4);
                gl.clearColor(1, 0.2, 0, 1);
                gl.clear(gl.COLOR_BUFFER_BIT);
                gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
                const drawn = pixel.join() === "255,51,0,255";
                return drawn && gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
            }""")
            page.close()
        if drawn:
            return browser, f"{name}: {drawn}"
        browser.close()
    raise RuntimeError(f"no WebGL in this browser, tried {', '.join(BACKENDS)}: install Mesa's software GL "
                       "(apt install libegl1 libgles2 libgl1-mesa-dri), or record the open runner: --game runner")


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


class Lost(RuntimeError):
    """The browser, its page or its graphics died: the same episode may be played again in a new one."""


class Recorder:
    """One browser with one page of one game. Raises RuntimeError with a line for the user if it does not play."""

    def __init__(self, playwright, game, supersample=2, patience=TIMEOUT):
        self.game, self.patience = game, patience
        self.server = Server(game.serve)
        self.browser, self.backend = launch_webgl(playwright) if game.webgl else (launch(playwright), "software")
        context = self.browser.new_context(viewport={"width": 800, "height": 600}, bypass_csp=True)
        if "://" in game.url:  # a page from the network needs leave to send its frames to this machine
            with contextlib.suppress(BrowserError):  # a browser that does not know this permission does not ask for it
                context.grant_permissions(["local-network-access"])
        self.page = context.new_page()
        self.page.set_default_timeout(patience * 1000)
        self.page.add_init_script(path=HERE / "capture" / "recorder.js")
        self.page.add_init_script(script=game.before)
        self.open(supersample)

    @property
    def facts(self):
        """What meta.json says of it: browser, words that name it and what draws in it; shape, [width, height] of the
        game's canvas."""
        return {"browser": f"Chromium {self.browser.version}, {self.backend}", "shape": self.shape}

    def open(self, supersample):
        """Load the page, wait until the game is ready, start it and try its hooks."""
        game = self.game
        url = game.url if "://" in game.url else f"{self.server.address}/{game.url}"
        try:
            answer = self.page.goto(url, wait_until="load")
            if answer and not answer.ok:
                raise RuntimeError(f"{game.name}: {url} answers {answer.status} {answer.status_text}: check url in "
                                   "the game's description")
            ready = self.page.evaluate("([ready, patience]) => recorder.ready(ready, patience)",
                                       [game.ready, self.patience * 1000])
            problem = self.page.evaluate("([canvas, webgl]) => recorder.problem(canvas, webgl)",
                                         [game.canvas, game.webgl])
            if problem:
                raise RuntimeError(f"{game.name}: {problem} ({url})")
            self.shape = self.page.evaluate("(canvas) => recorder.shape(canvas)", game.canvas)
            if ready:
                functions = {"restart": f"() => {{ {game.restart}; }}", "over": f"() => ({game.over})",
                             "pose": game.pose and f"() => ({game.pose})",
                             "score": game.score and f"() => ({game.score})",
                             "draw": game.draw and f"(on) => {{ {game.draw}; }}"}
                functions = ", ".join(f"{k}: {v}" for k, v in functions.items() if v)
                self.page.evaluate(f"""([names, supersample]) => {{
                    {game.start};
                    recorder.begin({{ {functions}, ...names }}, supersample);
                }}""", [{"keys": game.keys, "canvas": game.canvas, "tickMs": game.tick_ms,
                         "catchesUp": game.catches_up}, supersample])
            for name, expression in game.hooks.items():
                if not self.page.evaluate(f"() => {{ try {{ return ({expression}); }} catch {{ return false; }} }}"):
                    raise RuntimeError(f"{game.name}: hook {name} does not hold on {url}: the game has changed, its "
                                       "description must follow")
            if not ready:
                raise RuntimeError(f"{game.name}: {url} was not ready within {self.patience} s: check ready in the "
                                   "game's description")
        except BrowserError as error:
            line = f"{game.name}: cannot open {url}: {error.message.splitlines()[0]}"
            if not self.browser.is_connected():
                raise Lost(line) from None
            if "ERR_" in line and not game.serve:
                line += ": is it reachable? Name a copy of it with --url, or record the open runner: --game runner"
            else:
                line += ": check url and start in the game's description"
            raise RuntimeError(line) from None

    def evaluate(self, script, job):
        """What the page's script returns. Raises Lost when there is no page any more."""
        try:
            return self.page.evaluate(script, job)
        except BrowserError as error:
            line = error.message.splitlines()[0]
            lost = not self.browser.is_connected() or re.search("crash|closed|context lost", line)
            raise (Lost if lost else RuntimeError)(f"{self.game.name}: the game stopped: {line}") from None

    def play(self, keys, ticks_per_frame, skip=0):
        """Play keys uint8 (skip + T, K) from a fresh life -> arrays of one episode (see data.py), without the first
        `skip` frames."""
        T = len(keys) - skip
        bodies = self.evaluate("job => recorder.play(job)",
                               {"keys": keys.tolist(), "skip": skip, "ticksPerFrame": ticks_per_frame,
                                "address": f"{self.server.address}/episode"}) // 3
        body = self.server.posted.get(timeout=self.patience)
        episode = {"keys": keys[skip:]}
        floats = np.frombuffer(body, np.float32, count=T * (3 * bodies + bool(self.game.score)))
        start = floats.nbytes
        episode["frames"] = np.frombuffer(body, np.uint8, T * SIZE * SIZE * 3, start).reshape(T, SIZE, SIZE, 3)
        marks = np.frombuffer(body, np.uint8, 2 * T, start + episode["frames"].nbytes).astype(bool)
        episode["restart"], episode["over"] = marks.reshape(2, T)
        if bodies:
            episode["pose"] = floats[:T * 3 * bodies].reshape(T, bodies, 3)
        if self.game.score:
            episode["score"] = floats[T * 3 * bodies:]
        many = len(np.unique(keys[skip:], axis=0)) > keys.shape[1]  # few keys may leave a game as it is
        if T > 1 and many and (episode["frames"] == episode["frames"][0]).all():
            raise RuntimeError(f"{self.game.name}: {T} frames without change: is {self.game.canvas} the right canvas, "
                               "and does the game run?")
        return episode

    def run(self, lists, ticks_per_frame, stall):
        """Play key lists, each uint8 (T, K), without drawing and to the end of their first life, or until the score
        has not grown for `stall` frames -> a list of dicts: scores (a number a frame), poses (of every tenth frame, a
        list of 3 x bodies numbers)."""
        return self.evaluate("job => recorder.run(job)", {"lists": [keys.tolist() for keys in lists],
                                                          "ticksPerFrame": ticks_per_frame, "stall": stall})

    def close(self):
        """End the browser and the server. Never raises: the browser may be dead."""
        with contextlib.suppress(BrowserError):
            self.browser.close()
        self.server.http.shutdown()


# ---------------------------------------------------------------------------------------------------------- workers

def work(game, policy, options, episodes, done, sink):
    """A worker process: play the numbered episodes, give each to `sink`, report to the queue `done`. A browser that
    dies under an episode is replaced, and the episode played again from its first frame."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker at once and its browser with it
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()  # never outlive collect.py
    try:
        with sync_playwright() as playwright:
            recorder, attempts = None, 0
            for episode in episodes:
                keys, skip = policy(episode)
                while True:
                    try:
                        if recorder is None:
                            recorder = Recorder(playwright, game, options["supersample"], options["timeout"])
                            done.put(("browser", recorder.facts))
                        arrays = recorder.play(keys, policy.ticks_per_frame, skip)
                        break
                    except Lost as error:
                        attempts += 1
                        if attempts == ATTEMPTS:
                            raise
                        done.put(("lost", f"{error}: episode {episode} is recorded again in a new browser"))
                        recorder.close()
                        recorder = None
                attempts = 0
                done.put(("episode", (episode, sink(episode, arrays))))
            if recorder:
                recorder.close()
    except (RuntimeError, SystemExit, BrowserError, queue.Empty) as error:
        done.put(("error", str(error) or f"{game.name}: no episode came back within {options['timeout']:g} s"))
    except OSError as error:
        done.put(("disk", (error.errno, error.strerror, error.filename)))


@contextlib.contextmanager
def no_interrupt():
    """Processes that are started meanwhile do not listen to Ctrl-C: they would report it while they import."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def record(game, policy, episodes, args, sink):
    """Record the numbered episodes in args.workers processes. Yields ("browser", its facts) once for each browser, then
    ("episode", (number, what sink(number, arrays) returned)) in the order in which they get ready, and ("lost", words)
    for a browser that died.

    args: those of add_arguments(). sink: picklable, called in the worker. Ends the program with one line when the
    game cannot be played; raises OSError when the sink could not write.
    """
    spawn = multiprocessing.get_context("spawn")
    done, options = spawn.Queue(), {"supersample": args.supersample, "timeout": args.timeout}
    processes = [spawn.Process(target=work, daemon=True,
                               args=(game, policy, options, episodes[n::args.workers], done, sink))
                 for n in range(min(args.workers, len(episodes)))]
    with no_interrupt():
        for process in processes:
            process.start()
    # A page whose script never ends cannot be asked: what is silent for this long, hangs.
    left, heard, patience = len(episodes), time.monotonic(), START + args.timeout * (1 + policy.frames / 500)
    try:
        while left:
            try:
                kind, value = done.get(timeout=1)
            except queue.Empty:
                if not any(process.is_alive() for process in processes):
                    raise SystemExit(f"{game.name}: every recording process has died; what was recorded is kept, "
                                     "run the same command again") from None
                if time.monotonic() - heard > patience:
                    raise SystemExit(f"{game.name}: nothing came back for {patience:g} s: the game hangs, or needs a "
                                     "longer --timeout. What was recorded is kept") from None
                continue
            heard = time.monotonic()
            if kind == "error":
                time.sleep(0.5)  # Ctrl-C reaches the browsers, too: then this sleep ends as that, not as their error
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
