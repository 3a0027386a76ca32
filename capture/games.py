"""A game's description: the fields that a file in games/ may set, and how it is loaded."""
import hashlib
import json
import re
import runpy
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
# The keys that input.js can press: letters, digits, KeyboardEvent codes, or a mouse or finger somewhere.
POINTER = re.compile(r"(mouse|touch):click|(mouse|touch|pointer):"
                     r"(left|right|top|bottom|centre|(0|1|0?\.\d+),(0|1|0?\.\d+))")
CODES = [*(f"Arrow{way}" for way in ("Left", "Right", "Up", "Down")), "Space", "Enter", "Escape", "Tab",
         "Backspace", "Delete", *(f"{name}{side}" for name in ("Shift", "Control", "Alt", "Meta")
                                  for side in ("Left", "Right")),
         "Comma", "Period", "Slash", "Semicolon", "Quote", "BracketLeft", "BracketRight", "Backslash",
         "Minus", "Equal", "Backquote"]


@dataclass
class Game:
    """One game's description. Its JavaScript runs in the global scope of the page."""
    name: str
    url: str                  # full address, or a page in `serve`
    canvas: str               # CSS selector of the canvas
    keys: list                # letters, KeyboardEvent codes such as ArrowLeft, or POINTER names
    tick_ms: float            # length of one fixed update, in milliseconds
    restart: str              # statement that begins a new life
    over: str                 # expression: true when the life has ended
    start: str = ""           # statement that runs once after loading
    started: str = "true"     # expression: true when that has led to the game, such as after a menu's level
    skip_until: str = ""      # expression: frames of a life before it is true are played, not recorded
    fresh: bool = True        # the page is loaded anew for each episode; False: restart leaves nothing behind
    repeats: bool = True      # a held key repeats its keydown; False: the game ignores that
    pose: str = ""            # expression: x, y, angle of every body in one list
    score: str = ""           # expression: a number
    serve: str = None         # folder, relative to the description, or page that is served on loopback
    catches_up: bool = False  # its loop runs every tick that is due, then draws once
    webgl: bool = False       # it draws with WebGL: frames are drawn small; "shown": scaled down instead
    allow: list = field(default_factory=list)  # hosts that the page may reach beside its own
    before: str = ""          # script that runs before the page's own
    ready: str = "true"       # expression: true when loading is over
    draw: str = ""            # statement that turns drawing on or off (variable `on`), for skipped frames
    gaits: Path = None        # <name>_gaits.json beside the description, written by capture/search_gaits.py
    hooks: dict = field(default_factory=dict)  # name -> expression that must be true before recording
    home: str = None          # the description's url, even if --url names a copy
    digest: str = None        # a hash of the description: with another one, other frames are recorded


def check_key(path, key):
    """End the program with one line if input.js can press no such key."""
    if re.fullmatch("[a-zA-Z0-9]|Key[A-Z]|Digit[0-9]", key) or key in CODES or POINTER.fullmatch(key):
        return
    raise SystemExit(f"{path}: no key is called {key!r}: write a letter, a digit, mouse:click, touch:click, "
                     "pointer:, mouse: or touch: and a place (left, right, top, bottom, centre or parts like "
                     f"0.2,0.5), or one of {', '.join(CODES)}")


def path_of(name):
    """Of the description that the command line names: `runner`, or a path."""
    return Path(name) if name.endswith(".py") else ROOT / "games" / f"{name}.py"


def gaits_of(name):
    """Where the gaits of a game lie: beside its description."""
    path = path_of(name)
    return path.with_name(f"{path.stem}_gaits.json")


def load_game(name, url=None):
    """The Game that the command line names: `runner`, or the path of a description file.

    url: another address of its page, or an .html file, which is then served on loopback. Ends the program
    with one line if there is no such game, or its description has unknown or missing fields."""
    path = path_of(name)
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in (ROOT / "games").glob("*.py")))
        raise SystemExit(f"no game {name}: name one of {known}, or the path of a description like "
                         "games/runner.py")
    fields = {k: v for k, v in runpy.run_path(str(path)).items() if not k.startswith("_")}
    try:
        game = Game(name=path.stem, gaits=gaits_of(name), **fields)
    except TypeError as error:
        reason = str(error).split("() ")[-1]
        raise SystemExit(f"{path}: {reason} (see class Game in capture/games.py)") from None
    for key in game.keys:
        check_key(path, str(key))
    ships = path.resolve().parent == ROOT / "games"
    if not ships and (ROOT / "games" / path.name).exists():
        raise SystemExit(f"{path}: a game that ships is called {path.stem}, and its data lies in "
                         f"data/{path.stem}: give this file another name")
    fields["fresh"] = game.fresh  # recordings depend on it, also where the description leaves it out
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode())
    if game.serve:
        game.serve = str((ROOT if ships else path.resolve().parent) / game.serve)
        page = Path(game.serve) / game.url.partition("?")[0]
        if not ships and page.is_file():  # games of the same name and description differ by their page
            digest.update(page.read_bytes())
    game.home, game.digest = game.url, digest.hexdigest()[:12]
    if url:
        game.url, game.serve = url, None
        if "://" not in url:
            if not Path(url).is_file():
                raise SystemExit(f"--url {url} is neither an address like http://127.0.0.1:8000/ nor an "
                                 ".html file")
            game.serve = str(Path(url).resolve())
            game.url = Path(game.serve).name
    return game
