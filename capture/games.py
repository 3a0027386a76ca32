"""Games: what a description file in games/ may say, and how it is loaded."""
import runpy
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent


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
    gaits: Path = None        # what capture/search_gaits.py found: <name>_gaits.json beside the description
    hooks: dict = field(default_factory=dict)  # name -> expression that must be true before anything is recorded
    home: str = None          # the description's url, also when a copy is played


def load_game(name, url=None):
    """The Game named on the command line: `runner`, or the path of a description file.

    url: another address of its page, or an .html file, whose folder is then served on loopback. Ends the
    program with one line if there is no such game, or its description has unknown or missing fields."""
    path = Path(name) if name.endswith(".py") else ROOT / "games" / f"{name}.py"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in (ROOT / "games").glob("*.py")))
        raise SystemExit(f"no game {name}: name one of {known}, or the path of a description like games/runner.py")
    described = {k: v for k, v in runpy.run_path(str(path)).items() if not k.startswith("_")}
    try:
        game = Game(name=path.stem, gaits=path.with_name(f"{path.stem}_gaits.json"), **described)
    except TypeError as error:
        raise SystemExit(f"{path}: {str(error).split('() ')[-1]} (see class Game in capture/games.py)") from None
    if game.serve:
        home = ROOT if path.resolve().parent == ROOT / "games" else path.resolve().parent
        game.serve = str(home / game.serve)
    game.home = game.url
    if url:
        game.url, game.serve = url, None
        if "://" not in url:
            if not Path(url).is_file():
                raise SystemExit(f"--url {url} is neither an address like http://127.0.0.1:8000/ nor an .html file")
            game.url, game.serve = Path(url).name, str(Path(url).resolve().parent)
    return game
