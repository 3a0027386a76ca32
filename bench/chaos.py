"""How chaotic is a game? The held-out rhythms are played in it again with tiny changes: a dream with errors
as small would have the Spearman correlation of metres that is printed.

    python bench/chaos.py --game runner                     # about a minute
    python bench/chaos.py --game qwop --url copy/Athletics.html

Reads   games/<game>.py, the page it names; held-out episodes of the game
Prints  for each change the correlation, and the median metres
"""
import sys
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright
from scipy.stats import spearmanr

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import data  # noqa: E402
from capture.browser import Recorder  # noqa: E402
from capture.games import load_game  # noqa: E402
from capture.workers import add_worker_arguments  # noqa: E402

TICKS = 3  # a frame, as the rhythms were recorded


def later(keys, frames):
    """The same keys (T, K), started some frames later"""
    return np.concatenate([np.zeros((frames, keys.shape[1]), np.uint8), keys])[:len(keys)]


def one_change_later(keys):
    """The same keys (T, K), but the first that are changed are changed a frame later"""
    changes, keys = np.flatnonzero((keys[1:] != keys[:-1]).any(1)), keys.copy()
    keys[changes[:1] + 1] = keys[changes[:1]]
    return keys


def main():
    parser = data.bare_parser(__doc__)
    parser.add_argument("--game", default="runner", help="runner, qwop, or the path of a description")
    add_worker_arguments(parser)
    args = parser.parse_args()
    game = load_game(args.game, args.url)
    _, rhythms = data.load_held_out(data.held_out_folder(data.game_folder("data", args.game)))
    if not rhythms:
        raise SystemExit(f"{args.game} has no held-out rhythms: run collect.py --held-out")
    known = data.first_life(rhythms["over"], rhythms["score"])
    changes = {"none": lambda keys: keys,
               "started a frame later": lambda keys: later(keys, 1),
               "started 2 frames later": lambda keys: later(keys, 2),
               "one change a frame later": one_change_later}
    with sync_playwright() as playwright:
        recorder = Recorder(playwright, game, 1, args.timeout)
        for title, change in changes.items():
            lists = [change(keys) for keys in rhythms["keys"]]
            metres = [life["scores"][-1] for life in recorder.run(lists, TICKS, stall=len(lists[0]))]
            spearman = spearmanr(metres, known).statistic
            print(f"{title:24} Spearman {spearman:.2f}, median {np.median(metres):.1f} m", flush=True)
        recorder.close()


if __name__ == "__main__":
    data.run(main, "the lines above are what was measured")
