"""One game in headless Chromium, on a virtual clock: start the browser, open the page, record episodes.

Shapes: L frames that are played, T that are recorded of them, K keys
"""
import base64
import contextlib
import dataclasses
import functools
import http.server
import os
import queue
import re
import secrets
import shutil
import sys
import threading
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import sync_playwright

import data
from data import SIZE

HERE = Path(__file__).parent
TIMEOUT = 60                # seconds for a page to load or an episode to come back
LARGEST = 10 ** 5            # bytes of a frame with its pose, at most
SHAPE = "canvas => recorder.shape(canvas)"
MANY = 20                   # of what the page reports, so much is kept
LONG_SOUND = 10 ** 6         # bytes; of a longer one the browser only loads what it plays
LONG_LOAD = 10              # seconds after which virtual time goes on although the page still loads
DECODE = 0.05               # seconds that a picture or sound may take after it is loaded
AUTOPLAY = "--autoplay-policy=no-user-gesture-required"
# What draws WebGL in headless Chromium, best first: Mesa's llvmpipe (or a real GPU) needs a third less CPU
# than SwiftShader; "browser" is what it chooses by itself (Metal, Direct3D).
BACKENDS = {"gles-egl": ["--use-angle=gles-egl", "--ignore-gpu-blocklist"],
            "gl-egl": ["--use-angle=gl-egl", "--ignore-gpu-blocklist"],
            "browser": ["--ignore-gpu-blocklist"],
            "swiftshader": ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]}
# Draw one pixel: returns what drew it, or "" if it has not the right colour.
TEST_WEBGL = """() => {
  const gl = document.createElement("canvas").getContext("webgl", { preserveDrawingBuffer: true });
  if (!gl) return "";
  const info = gl.getExtension("WEBGL_debug_renderer_info"), pixel = new Uint8Array(4);
  gl.clearColor(1, 0.2, 0, 1);
  gl.clear(gl.COLOR_BUFFER_BIT);
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
  if (pixel.join() !== "255,51,0,255") return "";
  return gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
}"""


class GameError(RuntimeError):
    """A game cannot be played: one line for the user."""


class Lost(GameError):
    """The browser, its page or its GPU process died: a new browser may play the same episode."""


def find_browser(playwright):
    """Path of Playwright's own Chromium, an installed one, or Chrome. Ends the program if there is none."""
    names = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"
    windows = os.environ.get("PROGRAMFILES", "C:/Program Files")
    for path in (playwright.chromium.executable_path, *map(shutil.which, names),
                 "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
                 f"{windows}/Google/Chrome/Application/chrome.exe"):
        if path and Path(path).exists():
            return str(path)
    raise SystemExit("no Chromium found: run  playwright install chromium  (or  apt install chromium)")


def only(game, server):
    """Flags of a browser that finds the recorder's port, the game's host, what it allows, and no other."""
    hosts = [server.address.removeprefix("http://"), *game.allow]
    if "://" in game.url:
        url = urlsplit(game.url)
        hosts += [f"{url.hostname}:{port}" for port in ([url.port] if url.port else [80, 443])]
    return [f"--host-resolver-rules={', '.join(f'MAP {host} {host}' for host in hosts)}, MAP * ~NOTFOUND"]


def launch(playwright, flags=("--disable-gpu",)):
    """A headless Chromium on this machine -> Playwright's Browser."""
    path, args = find_browser(playwright), [AUTOPLAY, *flags]
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium has no sandbox for root
    problem = ""
    for sandbox in (False,) if is_root else (True, False):
        try:
            browser = playwright.chromium.launch(executable_path=path, args=args, chromium_sandbox=sandbox)
        except BrowserError as error:
            problem = data.first_line(error)
            continue
        if not sandbox and not is_root:
            print(f"{path} has no sandbox on this system ({problem}): record only pages that you trust",
                  file=sys.stderr)
        return browser
    raise SystemExit(f"{path} does not start ({problem}): run  playwright install chromium")


def launch_webgl(playwright, more=()):
    """A headless Chromium with the first of BACKENDS that works, and more flags -> Browser, "backend:
    renderer"."""
    for name, flags in BACKENDS.items():
        browser, renderer = launch(playwright, [*flags, *more]), ""
        with contextlib.suppress(BrowserError):  # a backend may crash the browser
            page = browser.new_page()
            renderer = page.evaluate(TEST_WEBGL)
            page.close()
        if renderer:
            return browser, f"{name}: {renderer}"
        browser.close()
    raise GameError(f"no WebGL in this browser, tried {', '.join(BACKENDS)}: install Mesa's software GL (apt "
                    "install libegl1 libgles2 libgl1-mesa-dri), or record the open runner: --game runner")


class Server:
    """Serves a folder, a page (or nothing) on loopback, and keeps what is posted to its `mailbox`: a secret
    address, so that nobody else's bytes are taken for an episode.

    Of a page's folder it serves the page, what its markup names, and folders: others may have left more
    there."""

    def __init__(self, folder):
        self.largest = 0  # bytes that may be posted
        posted, secret, limit = queue.Queue(1), f"/{secrets.token_urlsafe(16)}", lambda: self.largest
        root, named = Path(folder or os.devnull).resolve(), None
        if root.is_file():
            links = re.findall(r"""\b(?:src|href)\s*=\s*["']?(?:\./)?([^"'\s>?#]+)""",
                               root.read_text(errors="replace"), re.I)
            root, named = root.parent, {root.name, *map(unquote, links)}

        class Handler(http.server.SimpleHTTPRequestHandler):
            def send_head(self):
                path = Path(self.translate_path(self.path)).resolve()
                if not path.is_relative_to(root):
                    return self.send_error(404)  # a link that leads out of the folder
                first, *rest = path.relative_to(root).parts or [""]
                if named and (first.startswith(".") or not rest and first not in named):
                    return self.send_error(404)
                return super().send_head()

            def list_directory(self, path):
                return self.send_error(404)

            def do_POST(self):
                size = self.headers.get("Content-Length", "")
                if self.path != secret or not re.fullmatch("[0-9]{1,12}", size) or int(size) > limit():
                    self.send_error(404)
                    return
                body = self.rfile.read(int(size))
                with contextlib.suppress(queue.Full):  # one episode is asked for at a time
                    posted.put_nowait(body)
                self.send_response(204)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.end_headers()

            def log_message(self, *args):
                pass

        scripts = {".js": "text/javascript", ".mjs": "text/javascript"}
        Handler.extensions_map = {**Handler.extensions_map, **scripts}
        handler = functools.partial(Handler, directory=root)
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.handle_error = lambda *args: None  # a browser that closes drops its connections
        self.posted, self.address = posted, f"http://127.0.0.1:{self.http.server_port}"
        self.mailbox = self.address + secret
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


class Recorder:
    """A browser with one page of one game. Raises GameError if the game cannot be played."""

    def __init__(self, playwright, game, supersample=2, patience=TIMEOUT):
        self.game, self.patience = game, patience
        self.server = Server(game.serve)
        if game.webgl:
            self.browser, self.backend = launch_webgl(playwright, only(game, self.server))
        else:
            self.browser = launch(playwright, ["--disable-gpu", *only(game, self.server)])
            self.backend = "software"
        has_touch = any(key.startswith("touch:") for key in game.keys)
        context = self.browser.new_context(viewport={"width": 800, "height": 600}, bypass_csp=True,
                                           has_touch=has_touch)
        if "://" in game.url:  # a public page needs permission to send its frames to this machine
            with contextlib.suppress(BrowserError):  # older browsers have no such permission and need none
                context.grant_permissions(["local-network-access"])
        self.page = context.new_page()
        self.devtools = context.new_cdp_session(self.page)
        self.page.set_default_timeout(patience * 1000)
        self.watch()
        scripts = [(HERE / name).read_text() for name in ("clock.js", "input.js", "recorder.js")]
        self.page.add_init_script(script="\n".join(scripts))
        self.page.add_init_script(script=game.before)
        self.supersample, self.played = supersample, False
        self.open()

    def watch(self):
        """Keep what the page reports: errors, and what it loads, or could not."""
        self.troubles, self.loading, self.loaded = [], {}, 0  # requests: when each began, when the last ended
        self.printed = 0  # of the troubles

        def note(line):
            if line not in self.troubles and len(self.troubles) < MANY and self.page.url != "about:blank":
                self.troubles.append(line)

        def ended(request):
            self.loading.pop(request, None)
            self.loaded = time.monotonic()

        def failed(request):
            ended(request)
            if request.failure != "net::ERR_ABORTED":  # the page, or this program, has left
                note(f"cannot load {request.url}")

        def answered(answer):
            kind, size = answer.request.resource_type, int(answer.headers.get("content-length", 0))
            if kind == "eventsource" or kind == "media" and size > LONG_SOUND:  # these may never end
                ended(answer.request)
            if answer.status >= 400:
                note(f"cannot load {answer.url}: {answer.status}")

        def complained(line):
            if line.type == "error" and not line.text.startswith("Failed to load"):  # which is told below
                note(data.first_line(line.text))

        self.page.on("console", complained)
        self.page.on("pageerror", lambda error: note(data.first_line(error)))
        self.page.on("request", lambda request: self.loading.update({request: time.monotonic()}))
        self.page.on("requestfinished", ended)
        self.page.on("requestfailed", failed)
        self.page.on("response", answered)

    @property
    def url(self):
        """The full address of the game's page."""
        return self.game.url if "://" in self.game.url else f"{self.server.address}/{self.game.url}"

    @property
    def facts(self):
        """For meta.json: `browser`, its version and what draws in it; `shape`, [width, height] of the game's
        canvas."""
        return {"browser": f"Chromium {self.browser.version}, {self.backend}", "shape": self.shape}

    def open(self, anew=False):
        """Load the page, wait until the game is ready, start it and check its hooks. anew: what the page has
        stored is deleted, as in a new browser."""
        game = self.game
        url = self.url
        try:
            if anew:
                origin = self.page.evaluate("(sessionStorage.clear(), location.origin)")
                self.page.goto("about:blank")  # nothing is stored on the way out
                self.devtools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
            answer = self.page.goto(url, wait_until="load")
            if answer and not answer.ok:
                raise GameError(f"{game.name}: {url} answers {answer.status} {answer.status_text}: check url "
                                "in the game's description")
            description = dataclasses.asdict(game) | {"gaits": None}
            self.page.evaluate("game => recorder.describe(game)", description)
            ready, first = self.wait_for(game.ready), self.page.evaluate(SHAPE, game.canvas)
            failure = None
            try:
                if ready:
                    self.page.evaluate("recorder.game.start()")
                    ready = self.wait_for(game.started)
            except BrowserError as error:
                failure = error
            problem = self.page.evaluate("([canvas, webgl]) => recorder.problem(canvas, webgl)",
                                         [game.canvas, game.webgl])
            if problem and ready:  # this may be why start failed
                raise GameError(f"{game.name}: {problem} ({url})")
            if failure:
                raise failure
            if ready:
                self.page.evaluate("supersample => recorder.begin(supersample)", self.supersample)
                self.wait_for("recorder.clock.now === recorder.beginTime", 160)
            shape = self.page.evaluate(SHAPE, game.canvas)
            # A menu may have made the canvas, or start have made it as small as a frame
            self.shape = first if first and shape == [SIZE, SIZE] else shape
            self.check_hooks()  # even if the game is not ready: they may say why
            if not ready:
                problem = problem or "check ready and started in the game's description"
                raise GameError(f"{game.name}: {url} was not ready within {self.patience} s: {problem}"
                                f"{self.reported()}")
        except BrowserError as error:
            line = f"{game.name}: cannot open {url}: {data.first_line(error)}"
            if not self.browser.is_connected():
                raise Lost(line) from None
            if "ERR_" in line and not game.serve:
                line += (": is it reachable? Name a copy of it with --url, or record the open runner: "
                         "--game runner")
            else:
                line += ": check url and start in the game's description"
            raise GameError(line) from None

    def wait_for(self, expression, step=16):
        """Let virtual time pass in steps (ms) until the page's expression is true -> whether it is, within
        the patience. Time stands still while the page loads something, so that loading changes nothing."""
        end = time.monotonic() + self.patience
        while not self.page.evaluate("([expression, ms]) => recorder.wait(expression, ms)",
                                     [expression, 0 if self.is_loading() else step]):
            if time.monotonic() > end:
                return False
        return True

    def is_loading(self):
        now = time.monotonic()
        return now - self.loaded < DECODE or any(now - begin < LONG_LOAD for begin in self.loading.values())

    def check_hooks(self):
        """Raise GameError if one of the description's hooks is not true."""
        for name, expression in self.game.hooks.items():
            script = f"() => {{ try {{ return ({expression}); }} catch {{ return false; }} }}"
            if not self.page.evaluate(script):
                raise GameError(f"{self.game.name}: hook {name} fails on {self.url}: the game has "
                                "changed, change its description")

    def evaluate(self, script, job):
        """What the page's script returns. Raises Lost if the page is gone."""
        try:
            return self.page.evaluate(script, job)
        except BrowserError as error:
            line = data.first_line(error)
            lost = not self.browser.is_connected() or re.search("crash|closed|context lost", line)
            raise (Lost if lost else GameError)(f"{self.game.name}: the game stopped: {line}"
                                                f"{self.reported()}") from None

    def reported(self):
        """What the page has reported last, to end an error's line with, or ""."""
        return f" (the page reports: {'; '.join(self.troubles[-2:])})" if self.troubles else ""

    def new_errors(self):
        """Lines about errors of the page since the last call."""
        new, self.printed = self.troubles[self.printed:], len(self.troubles)
        return [f"{self.game.name}: the page reports: {line}" for line in new if "cannot load" not in line]

    def renew(self):
        """Before an episode: load the page anew if the description wants a fresh one for each."""
        if self.played and self.game.fresh:
            self.open(anew=True)
        self.played = True

    def play(self, keys, ticks_per_frame, skip=0):
        """Play keys uint8 (skip + T, K) from a fresh life -> arrays (see data.py) of the last T frames."""
        self.server.largest = (len(keys) - skip) * LARGEST
        self.renew()
        self.evaluate("job => recorder.play(job)",
                      {"keys": keys.tolist(), "skip": skip, "ticksPerFrame": ticks_per_frame,
                       "address": self.server.mailbox})
        return self.receive(keys[skip:])

    def play_live(self, player, frames, ticks_per_frame):
        """Let a player choose the keys from frame to frame -> arrays of the episode, as of play().

        player(frame uint8 (96, 96, 3), restart) -> keys (K)"""
        self.renew()
        self.evaluate("job => recorder.open(job)", {"frames": frames, "ticksPerFrame": ticks_per_frame})
        keys = np.zeros((frames, len(self.game.keys)), np.uint8)
        for t in range(frames):
            answer = self.evaluate("keys => recorder.step(keys)", keys[t - 1].tolist())
            frame = np.frombuffer(base64.b64decode(answer["rgb"]), np.uint8).reshape(SIZE, SIZE, 3)
            keys[t] = player(frame, answer["restart"])
        self.server.largest = frames * LARGEST
        self.evaluate("address => recorder.finish(address)", self.server.mailbox)
        return self.receive(keys)

    def receive(self, keys):
        """What the page has posted of an episode under keys (T, K) -> its arrays."""
        T, has_score = len(keys), bool(self.game.score)
        try:
            body = self.server.posted.get(timeout=self.patience)
        except queue.Empty:
            raise GameError(f"{self.game.name}: no episode came back within {self.patience:g} s") from None
        rest = 4 * T * has_score, T * SIZE * SIZE * 3, T, T  # bytes
        bodies, more = divmod(len(body) - sum(rest), 12 * T)
        if bodies < 0 or more:
            raise GameError(f"{self.game.name}: the page sent {len(body)} bytes, which are no {T} frames")
        sizes = 12 * T * bodies, *rest
        pose, score, frames, restart, over = np.split(np.frombuffer(body, np.uint8), np.cumsum(sizes[:-1]))
        episode = {"keys": keys, "frames": frames.reshape(T, SIZE, SIZE, 3),
                   "restart": restart.astype(bool), "over": over.astype(bool)}
        if bodies:
            episode["pose"] = pose.view(np.float32).reshape(T, bodies, 3)
        if has_score:
            episode["score"] = score.view(np.float32)
        varied = len(np.unique(keys, axis=0)) > keys.shape[1]  # a few keys may rightly change nothing
        if T > 1 and varied and (episode["frames"] == episode["frames"][0]).all():
            raise GameError(f"{self.game.name}: {T} frames without change: is {self.game.canvas} the right "
                            f"canvas, and does the game run?{self.reported()}")
        return episode

    def run(self, lists, ticks_per_frame, stall):
        """Play key lists, each uint8 (T, K), without drawing, until the first life ends or the score has not
        grown for `stall` frames -> a list of dicts: `scores` (one per frame), `poses` (of every tenth frame,
        3 x bodies numbers each)."""
        lists, lives = [keys.tolist() for keys in lists], []
        for some in [[keys] for keys in lists] if self.game.fresh else [lists]:
            self.renew()
            job = {"lists": some, "ticksPerFrame": ticks_per_frame, "stall": stall}
            lives += self.evaluate("job => recorder.run(job)", job)
        return lives

    def close(self):
        """Close the browser and the server. Never raises: the browser may be dead."""
        with contextlib.suppress(BrowserError):
            self.browser.close()
        self.server.http.shutdown()


if __name__ == "__main__":  # prints which browser is used; exit code 1 if there is none
    with sync_playwright() as playwright:
        print(find_browser(playwright))
