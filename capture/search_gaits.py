"""Search for gaits, key patterns that get far: play the game without drawing, keep the best of each kind.

Reads   games/<game>.py, the page it names
Writes  games/<game>_gaits.json, beside the description

    python -m capture.search_gaits --game runner --minutes 10

A pattern is a period, and for each key the part of it in which the key is held. The search is MAP-Elites
(Mouret and Clune 2015): of all patterns with about the same period and posture the one that gets farthest is
kept, and new patterns are random, or mutated copies of kept ones. The game must have a score. Stop it at any
time: the same command resumes from the kept patterns.
"""
import itertools
import json
import time

import numpy as np
from tqdm import tqdm

import data
from capture import policies, workers
from capture.games import load_game

TICKS = policies.GRID       # ticks per frame: keys change only between two frames
BATCH = 8                   # patterns that a browser plays in one call
STALL = 100                 # frames without a better score after which a life is given up


def play(patterns, frames):
    """Play each pattern for one life -> [(look, frames until its best score, that score)]."""
    recorder = workers.job.get_recorder()
    keys = [policies.gait_keys(pattern, frames, TICKS) for pattern in patterns]
    results = []
    for pattern, life in zip(patterns, recorder.run(keys, TICKS, STALL)):
        best = int(np.argmax(life["scores"]))
        results.append((look(pattern, life["poses"]), best + 1, life["scores"][best]))
    return results


def look(pattern, poses):
    """What a pattern looks like, coarsely: its period, and height and lean of the first body."""
    period = int(np.log2(pattern["period"]) * 4)
    if not poses:
        return (period,)
    poses = np.array(poses)
    return period, round(poses[:, 1].mean() / 0.7), round(poses[:, 2].mean() / 0.25)


def save(path, game, played, rows):
    """Write the kept patterns, the farthest first, one a line. played: how many were tried in all."""
    lines = ",\n ".join(json.dumps(row) for row in sorted(rows, key=lambda row: -row["score"]))
    data.write_text(path, f'{{"game": "{game.name}", "played": {played}, "gaits": [\n {lines}\n]}}\n')


def search(game, pool, args):
    """Play and keep patterns for args.minutes, save them after every round."""
    old = data.read_json(game.gaits) or {"gaits": []}
    played = old.get("played", 0)
    rng = np.random.default_rng([args.seed, played])
    patterns = [{"period": gait["period"], "on": gait["on"]} for gait in old["gaits"]]  # first: the kept ones
    kept = {}  # look -> pattern with its frames and score; those below args.least are only mutated
    end = time.monotonic() + 60 * args.minutes
    patience = workers.START + args.timeout * (1 + 2 * BATCH * args.frames / 500)
    with tqdm(unit=" patterns") as bar:
        while True:
            # A round
            while len(patterns) < 2 * args.workers * BATCH:
                patterns.append(policies.new_pattern(list(kept.values()), len(game.keys), rng))
            jobs = [(patterns[n:n + BATCH], args.frames) for n in range(0, len(patterns), BATCH)]
            results = itertools.chain.from_iterable(pool.starmap_async(play, jobs).get(patience))
            for pattern, (name, frames, score) in zip(patterns, results):
                if score > (kept[name]["score"] if name in kept else min(1, args.least)):
                    kept[name] = {**pattern, "frames": frames, "score": score, "look": name}
            played += len(patterns)
            bar.update(len(patterns))
            patterns = []

            rows = [row for row in kept.values() if row["score"] >= args.least]
            save(game.gaits, game, played, rows)
            best, left = max((row["score"] for row in rows), default=0), end - time.monotonic()
            if left < 0:
                break
            bar.set_postfix_str(f"best {best:.1f}, {len(rows)} kept, {left / 60:.1f} min left")
    print(f"{len(rows)} patterns in {game.gaits}, the best gets to {best:.1f}")


def main():
    parser = data.bare_parser(__doc__)
    parser.add_argument("--game", default="runner", help="runner, qwop, or the path of a description")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--frames", type=int, default=1500, help="longest life, in frames of 3 ticks")
    parser.add_argument("--least", type=float, default=5, help="lowest score of a pattern that is kept")
    parser.add_argument("--seed", type=int, default=0)
    workers.add_worker_arguments(parser)
    args = parser.parse_args()
    if min(args.minutes, args.frames, args.workers, args.timeout) <= 0:
        raise SystemExit("--minutes, --frames, --workers and --timeout must be more than 0")
    game = load_game(args.game, args.url)
    if not game.score:
        raise SystemExit(f"{args.game} has no score, which says how far a pattern gets: add score to it")

    args.supersample = 1
    with workers.open_pool(args.workers, workers.Job(game, args)) as pool, data.disk_errors(game.gaits):
        search(game, pool, args)


if __name__ == "__main__":
    data.run(main, "the kept patterns are saved, the same command resumes")
