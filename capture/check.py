"""Before a recording: play a description and say what is wrong with it, or write a first draft of one.

    python collect.py --game mygame.py --check
    python collect.py --describe path/to/game.html > path/to/game.py

Shapes: T frames, K keys
"""
import dataclasses
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import sync_playwright

import data
import plots
from capture import policies
from capture.browser import GameError, Recorder
from capture.games import CODES, Game

LONG, SHORT, TRIAL = 1000, 200, 60  # frames: of random keys; of those that are repeated; of each key
PATIENCE = 60                      # seconds that LONG may take: fewer frames of a slow game are played
LEAST = 0.002                      # part of the picture that changes in any game


def differ(one, other):
    """The first frame in which two episodes (or their beginnings) differ, or None."""
    T = min(len(one["frames"]), len(other["frames"]))
    others = (one["frames"][:T] != other["frames"][:T]).any((1, 2, 3))
    return int(others.argmax()) if others.any() else None


class Check:
    """Plays a game and prints a line for each thing that it looks at."""

    def __init__(self, recorder, game, ticks_per_frame):
        self.recorder, self.game, self.ticks = recorder, game, ticks_per_frame
        self.random = policies.random_keys(LONG, len(game.keys), np.random.default_rng(0))
        self.problems = 0

    def say(self, about, text, problem=""):
        """Print a line, and what to change if there is a problem."""
        self.problems += bool(problem)
        print(f"{'!' if problem else ' '} {about:8}{text}{': ' if problem else ''}{problem}")

    def play(self, keys):
        """An episode. Keeps the rate, in frames a second."""
        start = time.monotonic()
        episode = self.recorder.play(np.ascontiguousarray(keys, np.uint8), self.ticks)
        self.rate = len(keys) / (time.monotonic() - start)
        return episode

    def play_anew(self, keys, **changes):
        """An episode on a page loaded anew, with another description."""
        self.recorder.game, self.recorder.played = dataclasses.replace(self.game, **changes), False
        self.recorder.open(anew=True)
        return self.play(keys)

    def run(self, path):
        """Play, print, and draw what was seen -> how many problems there are. path: of the PNG."""
        self.play(self.random[:TRIAL])
        self.random = self.random[:max(SHORT, int(PATIENCE * self.rate))]
        episode = self.play_anew(self.random)
        rate = self.rate
        self.check_picture(episode)
        self.check_lives(episode)
        self.check_bytes(episode)
        rows = self.check_keys()
        self.check_pace(episode, rate)
        for line in self.recorder.troubles[:3]:
            self.say("page", f"it reports: {line}")
        rows.append(episode["frames"][np.linspace(0, len(self.random) - 1, 12).astype(int)])
        path.parent.mkdir(parents=True, exist_ok=True)
        plots.draw_strip(path, rows)
        names = "; ".join(["no key", *self.game.keys, f"{len(self.random)} frames of random keys"])
        self.say("look at", f"{path}, from the top: {names}")
        return self.problems

    def check_picture(self, episode):
        frames = episode["frames"]
        moving = (frames.max(0) != frames.min(0)).any(-1).mean()
        colours = len(np.unique(frames[::20].reshape(-1, 3), axis=0))
        text = f"{self.game.canvas}, {' x '.join(map(str, self.recorder.shape))}: {colours} colours, " \
               f"{100 * moving:.1f}% of the picture change"
        self.say("canvas", text, "is it the right canvas, and does the game run?" if moving < LEAST else "")

    def check_lives(self, episode):
        over, frames = episode["over"], episode["frames"]
        first = np.flatnonzero(episode["restart"][1:]) + 1  # frames of later lives
        if self.game.over.strip() == "false":
            self.say("lives", "never end, as over says")
            return
        if not len(first):
            self.say("lives", f"none ended in {len(over)} frames of random keys: is over right?")
            return
        lengths, problem = np.diff([0, *first]), ""
        text = f"{len(first)} ended in {len(over)} frames, after {np.median(lengths):.0f} each (median)"
        if over[first].mean() > 0.5:
            problem = ("over is still true after restart, which must lead to play: a menu needs "
                       'press("Enter") or click(x, y) in it')
        elif (frames[first] == frames[first - 1]).all((1, 2, 3)).mean() > 0.5:
            problem = "restart does not change the picture: does it begin a new life?"
        elif np.median(lengths) < 5:
            problem = "is over right? Write  skip_until  if a life begins before play does"
        self.say("lives", text, problem)

    def check_bytes(self, episode):
        """Play the same keys on another fresh page, then twice on one page: what does restart leave?"""
        keys, fresh = self.random[:SHORT], self.game.fresh
        at = differ(episode, self.play_anew(keys))
        self.say("bytes", "the same keys give the same frames twice" if at is None else
                 f"the same keys give other frames from frame {at} on", "" if at is None else
                 "the game takes time or random numbers from elsewhere: a worker, the network")
        try:
            at = differ(self.play_anew(keys, fresh=False), self.play(keys))
        except GameError:
            if not fresh:
                raise
            at = 0  # restart does not lead to play in mid-life
        if at is None:
            self.say("restart", f"leaves nothing behind{'; with fresh = False recording is faster' * fresh}")
        elif fresh:
            self.say("restart", "leaves something behind, or fails in mid-life: each episode has a new page")
        else:
            self.say("restart", f"an episode after another differs from frame {at} on", "it leaves something "
                     "behind, or the clock is seen: reset that, or leave out  fresh = False")

    def check_keys(self):
        """Try each key alone, and random play without it -> rows of frames, the first without keys."""
        T, keys = TRIAL, self.game.keys
        still = self.play_anew(np.zeros((T, len(keys))))
        rows, alone, together = [still["frames"][3::5]], [], []
        for k, key in enumerate(keys):
            held = np.zeros((T, len(keys)))
            held[4:25, k] = held[28:, k] = 1  # held, let go, held again
            trial = self.play_anew(held)
            rows.append(trial["frames"][3::5])
            without = self.random[:SHORT].copy()
            without[:, k] = 0
            if differ(still, trial) is not None:
                alone.append(key)
            elif differ(*(self.play_anew(keys, repeats=False)  # any key would end another's repeats
                          for keys in (self.random[:SHORT], without))) is not None:
                together.append(key)
        neither = [key for key in keys if key not in (*alone, *together)]
        more = f", with others {', '.join(together)}" if together else ""
        problem = (f"{', '.join(neither)} changes nothing: check the name; if the game waits in a menu or "
                   'for a click, write  press("Enter")  or  click()  in start')
        text = f"that change the picture: {', '.join(alone) or 'none'}{more}"
        self.say("keys", text, problem if neither else "")
        return rows

    def check_pace(self, episode, rate):
        game, ms = self.game, self.ticks * self.game.tick_ms
        loop = self.recorder.page.evaluate("recorder.clock.loop")
        waits = loop["waits"]
        text = (f"a frame is {self.ticks} ticks of {game.tick_ms:.4g} ms = {ms:.0f} ms; {rate:.0f} a second "
                "are recorded")
        problems, named = [], ", ".join(f"{wait:.4g}" for wait in waits)
        if not loop["frames"] and waits and min(abs(wait / game.tick_ms - 1) for wait in waits) > 0.03:
            problems.append(f"its timers wait {named} ms: is tick_ms one of them?")
        other = differ(episode, self.play_anew(self.random[:TRIAL], catches_up=not game.catches_up))
        if game.catches_up and other is not None:
            problems.append("it moves otherwise if each tick is drawn: write  catches_up = False")
        elif other is None and not game.catches_up and self.ticks > 1:
            text += "; with catches_up = True it is the same, and faster"
        self.say("pace", text, "; ".join(problems))


def check(game, args, path):
    """collect.py --check: print about ten lines and draw a PNG -> exit code, 1 if there is a problem."""
    with sync_playwright() as playwright:
        try:
            recorder = Recorder(playwright, game, args.supersample, args.timeout)
            print(f"{game.name}: {recorder.facts['browser']}")
            problems = Check(recorder, game, args.ticks_per_frame).run(path)
        except GameError as error:
            raise SystemExit(str(error)) from None
        recorder.close()
    print(f"{problems} to change (!)" if problems else "good to record")
    return int(problems > 0)


# ---------------------------------------------------------------------------------------------- a first draft

class Look(Recorder):
    """Opens a page of which nothing is known, lets it run for a moment, keeps its scripts."""

    def open(self):
        self.scripts, responses = [], []
        self.page.on("response", lambda response: responses.append(response))
        try:
            self.page.goto(self.url)
            self.wait_for("recorder.clock.now > 500")
            self.scripts = [self.page.content()]
            self.scripts += [answer.text() for answer in responses
                             if answer.request.resource_type == "script" and answer.status == 200]
        except BrowserError as error:
            raise GameError(f"cannot open {self.url}: {data.first_line(error)}") from None
        self.canvases = self.page.evaluate("""() => [...document.querySelectorAll("canvas")].map((canvas) => {
            const name = canvas.id ? `#${canvas.id}` : "canvas";
            return { name, size: [canvas.width, canvas.height], problem: recorder.problem(name, false) };
        }).sort((a, b) => b.size[0] * b.size[1] - a.size[0] * a.size[1])""")
        self.loop = self.page.evaluate("recorder.clock.loop")
        if not self.canvases:
            raise GameError(f"{self.url}: {self.page.evaluate('recorder.problem(`canvas`, false)')}")


NUMBERS = {32: "Space", 37: "ArrowLeft", 38: "ArrowUp", 39: "ArrowRight", 40: "ArrowDown"}  # keyCode


def find_keys(text):
    """The names of keys that a page's scripts mention."""
    names = re.findall(rf"[\"'`]({'|'.join(CODES)}|Key[A-Z]|Digit\d)[\"'`]", text)
    names += re.findall(r"\.key\s*===?\s*[\"'](\w)[\"']", text)
    if re.search(r"\bkeyCode\b|\.which\b", text):
        names += [NUMBERS[int(number)] for number in re.findall(r"\b(32|37|38|39|40)\b", text)]
    if re.search("keydown|keyup|keypress", text) and not names:
        names.append("Space")
    if re.search(r"mousedown|pointerdown|[\"']click|onclick", text):
        names.append("mouse:click")
    if re.search("mousemove|pointermove", text):
        names += ["pointer:left", "pointer:right"]
    if re.search("touchstart", text) and not names:
        names.append("touch:click")
    return sorted(set(names))


def find_names(text, words):
    """Names that a page's scripts set or call and that have one of these words in them."""
    names = re.findall(rf"\b(\w*(?:{words})\w*)\s*(?:=[^=]|\()", text, re.I)
    return ", ".join(sorted(set(names), key=len)[:8]) or "nothing that sounds like it"


def describe(place):
    """collect.py --describe: a commented first draft of a description. place: an address, a folder with an
    index.html, or an .html file. Ends the program with one line if there is no such page."""
    path, url, serve = Path(place), place, None
    if "://" not in place:
        path = path / "index.html" if path.is_dir() else path
        if not path.is_file():
            raise SystemExit(f"no page {path}: name an address, a folder with index.html, or an .html file")
        url, serve = path.name, str(path.resolve().parent)
    path = path.resolve()
    name = urlsplit(url).hostname if not serve else path.parent.name if path.stem == "index" else path.stem
    game = Game(name, url, "canvas", [], 1000 / 60, "", "false", serve=serve)
    with sync_playwright() as playwright:
        try:
            page = Look(playwright, game)
        except GameError as error:
            raise SystemExit(str(error)) from None
        page.close()
    text = "\n".join(script for script in page.scripts if len(script) < 200_000)  # longer ones are libraries
    waits = page.loop["waits"]
    tick, loop = "1000 / 60", "it moves with animation frames"
    if waits and not page.loop["frames"]:
        tick, loop = f"{min(waits):.6g}", f"its timers wait {waits} ms"
    missing = re.findall(r"^cannot load (https?://\S+)$", "\n".join(page.troubles), re.M)
    hosts = {urlsplit(url).netloc for url in missing} - {urlsplit(page.url).netloc}
    canvas, names = page.canvases[0], [one["name"] for one in page.canvases]
    lines = [f'"""{name}: a first draft. Save it beside the page, fill in TODO, then --check it."""',
             *(['serve = "."'] if serve else []), f"url = {url!r}",
             f"canvas = {canvas['name']!r}  # {canvas['size']}; on the page: {names}",
             f"keys = {find_keys(text)}  # leave out those that pause, restart, or do nothing in play",
             f"tick_ms = {tick}  # {loop}; its own update if it has one",
             "# catches_up = True  # if its loop runs every update that is due, then draws once",
             *(["webgl = True"] if "WebGL" in canvas["problem"] else []),
             *([f"allow = {sorted(hosts)}  # it could not load something from there"] if hosts else []),
             "# start = 'press(\"Enter\")'  # or click(0.5, 0.5): if there is a menu",
             f'restart = "TODO"  # begins a life: {find_names(text, "restart|reset|begin|new|start")}',
             f'over = "TODO"  # true once it ended: {find_names(text, "over|dead|die|lost|lives|alive")}',
             f'# score = "TODO"  # a number: {find_names(text, "score|points|distance")}']
    return "\n".join(lines)
