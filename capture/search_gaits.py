"""Find key patterns that run: play the game without drawing, keep the patterns that get far in many different
ways.

Reads   games/<game>.py, the page it names
Writes  games/<game>_gaits.json, beside the description

    python -m capture.search_gaits --game runner --minutes 10

A pattern has a period, and for each key the part of it in which the key is held. Of all patterns with about
the same period and posture the one that gets farthest is kept (MAP-Elites, Mouret and Clune 2015); new ones
are changed copies of those, or random. The game must tell a score. Stop it at any time: the same command goes
on from the kept patterns.
"""
import argparse
import json
import multiprocessing
import time

import numpy as np
from playwright.sync_api import sync_playwright
from tqdm import tqdm

import data
from capture import policies, workers
from capture.browser import TIMEOUT, GameError, Recorder
from capture.games import load_game

TICKS = policies.GRID       # a frame: keys change at its borders
BATCH = 8                   # patterns that a browser plays in one go
STALL = 100                 # frames without a better score, after which a life is not worth following

browser = None              # of a worker process: its Recorder


def open_browser(game, timeout):
    """Start of a worker process."""
    global browser
    try:
        browser = Recorder(sync_playwright().start(), game, 1, timeout)
    except (GameError, SystemExit) as error:  # raised here, the pool would start worker after worker
        browser = GameError(str(error))


def play(patterns, frames):
    """-> for each pattern the frames and score of its life, and a name of what it looks like."""
    if isinstance(browser, GameError):
        raise browser
    keys = [policies.gait_keys(pattern, frames, TICKS) for pattern in patterns]
    return [(*measure(life), look(pattern, life)) for pattern, life in zip(patterns, browser.run(keys, TICKS, STALL))]


def measure(life):
    """-> frames until the best score, that score."""
    best = int(np.argmax(life["scores"]))
    return best + 1, life["scores"][best]


def look(pattern, life):
    """What a pattern looks like, coarsely: its period, and how high and how far forward the first body is
    held."""
    period = int(np.log2(pattern["period"]) * 4)
    if not life["poses"]:
        return (period,)
    poses = np.array(life["poses"])
    return period, round(poses[:, 1].mean() / 0.7), round(poses[:, 2].mean() / 0.25)


def random_pattern(keys, rng):
    start = rng.random(keys)
    return {"period": rng.uniform(9, 75), "on": np.stack([start, start + rng.uniform(0.1, 0.7, keys)], 1) % 1}


def new_pattern(rows, keys, rng):
    """A random pattern, or a copy of a kept one with small or large changes, sometimes with a key as another
    has it."""
    if len(rows) < 10 or rng.random() < 0.1:
        return random_pattern(keys, rng)
    if rng.random() < 0.5:  # one of the best third
        rows = sorted(rows, key=lambda row: -row["score"])[:max(10, len(rows) // 3)]
    pattern, other = (rows[rng.integers(len(rows))] for _ in range(2))
    size = 10 ** rng.uniform(-3, -0.7)
    on = (pattern["on"] + rng.normal(0, size, pattern["on"].shape)) % 1
    if rng.random() < 0.2:
        key = rng.integers(len(on))
        on[key] = other["on"][key]
    return {"period": float(np.clip(pattern["period"] * np.exp(rng.normal(0, size / 2)), 6, 120)), "on": on}


def save(path, game, played, kept, least):
    """Write the kept patterns from the farthest on, one a line. played: how many were tried in all."""
    rows = sorted((kept[look] for look in kept if kept[look]["score"] >= least), key=lambda row: -row["score"])
    lines = [json.dumps({**row, "on": row["on"].tolist()}) for row in rows]
    data.write_text(path, f'{{"game": "{game.name}", "played": {played}, "gaits": [\n ' + ",\n ".join(lines) + "\n]}\n")


def rounded(pattern):
    """As it will stand in the file: what is played must be what is kept."""
    return {**pattern, "period": round(pattern["period"], 4), "on": np.round(pattern["on"], 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="runner", help="runner, qwop, or the path of a description")
    parser.add_argument("--url", help="another address of the game's page, or the .html file of a local copy")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--frames", type=int, default=1500, help="longest life that is followed, at 3 ticks a frame")
    parser.add_argument("--least", type=float, default=5, help="score from which on a pattern is kept")
    parser.add_argument("--workers", type=int, default=workers.default_workers(), help="browsers at the same time")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds that a page may take to load")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if min(args.minutes, args.frames, args.workers, args.timeout) <= 0:
        raise SystemExit("--minutes, --frames, --workers and --timeout must be more than 0")

    game = load_game(args.game, args.url)
    if not game.score:
        raise SystemExit(f"{args.game} tells no score, so nothing says how far a pattern gets: add score to it")
    before = data.read_json(game.gaits) or {"gaits": []}
    played = before.get("played", 0)
    rng = np.random.default_rng([args.seed, played])
    kept, best, many = {}, 0, 0  # look -> pattern with its frames and score
    waiting = [{"period": gait["period"], "on": np.array(gait["on"])} for gait in before["gaits"]]  # to play again
    end = time.monotonic() + 60 * args.minutes
    with workers.no_interrupt():  # Ctrl-C is for this process alone, which then ends the others
        pool = multiprocessing.get_context("spawn").Pool(args.workers, open_browser, (game, args.timeout))
    with pool, data.disk_errors(game.gaits), tqdm(unit=" patterns") as bar:
        saved = time.monotonic()
        while waiting or time.monotonic() < end:
            while len(waiting) < args.workers * 2 * BATCH:
                waiting.append(rounded(new_pattern(list(kept.values()), len(game.keys), rng)))
            jobs = [waiting[n::args.workers * 2] for n in range(args.workers * 2)]
            waiting = []
            for job, lives in zip(jobs, pool.starmap(play, [(job, args.frames) for job in jobs])):
                for pattern, (frames, score, how) in zip(job, lives):
                    if score > kept.get(how, {"score": min(1, args.least)})["score"]:
                        kept[how] = {**pattern, "frames": frames, "score": score, "look": how}
                        best = max(best, score)
                bar.update(len(job))
                played += len(job)
            many = sum(row["score"] >= args.least for row in kept.values())
            bar.set_postfix_str(f"best {best:.1f}, {many} kept, {max(0, end - time.monotonic()) / 60:.1f} min left")
            if time.monotonic() - saved > 30:
                save(game.gaits, game, played, kept, args.least)
                saved = time.monotonic()
        save(game.gaits, game, played, kept, args.least)
    print(f"{many} patterns in {game.gaits}, the best gets to {best:.1f}")


if __name__ == "__main__":
    try:
        try:
            main()
        except GameError as error:
            time.sleep(0.5)  # Ctrl-C reaches the browsers, too: then this sleep ends as that, not as their error
            raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit("\nstopped: the kept patterns are saved every half minute, the same command goes on") from None
