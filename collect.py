"""Play a browser game in headless Chromium and record it, on a virtual clock.

Reads   games/<game>.py, the page it names, games/<game>_gaits.json
Writes  data/<game>/frames/episode_*.npz, keys.json, meta.json, contact_sheet.png, clip.gif
        with --held-out: data/<game>/held_out/<kind of keys>.npz, meta.json

    python collect.py --game runner --episodes 190        # 48,640 frames
    python collect.py --game qwop                         # the real game, from its page (--url: from a local copy)
    python collect.py --game runner --replay keys.json    # key lists again: somebody's recording, or your own play
    python collect.py --game runner --held-out            # what evaluate.py measures on: no training ever sees it

The same seed gives the same bytes, whatever the machine's speed. Stop it at any time: the same command goes on.
"""
import argparse

import numpy as np
from tqdm import tqdm

import data
from capture import policies
from capture import browser as recorder
import plots

HELD_OUT_SEED = 1_000_000  # added to the seed, so that no episode of training is played again


class Save:
    """What a worker does with an episode: writes it. Picklable."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, episode, arrays):
        data.save_episode(data.episode_path(self.folder, episode), arrays)


def draw_pictures(folder, frame_ms):
    """Write a contact sheet (8 episodes, 12 frames each) and a GIF of the first episode beside the data."""
    shown = list(data.episode_files(folder))[:8]
    rows = []
    for _, episode in data.load_episodes(folder, ("frames",), wanted=shown.__contains__):
        frames = episode["frames"]
        rows.append(frames[np.linspace(0, len(frames) - 1, 12).astype(int)])
        if len(rows) == 1:
            plots.draw_clip(folder / "clip.gif", frames[:128], frame_ms)
    if not rows:
        raise SystemExit("none of the first episodes can be read: run the same command again to record them anew")
    plots.draw_strip(folder / "contact_sheet.png", rows)


def tell(folder):
    """Say in words what was recorded: lives, falls, and where on the track."""
    frames, lengths, scores = 0, [], []
    for _, episode in data.load_episodes(folder, ("restart", "score")):
        starts = np.flatnonzero(episode["restart"])
        frames += len(episode["restart"])
        lengths += np.diff(starts).tolist()
        scores.append(episode.get("score", np.zeros(0)))
    if lengths:
        print(f"{frames:,} frames, {1000 * len(lengths) / frames:.1f} lives end in 1,000 of them; "
              f"those last {np.mean(lengths):.1f} frames (median {np.median(lengths):.0f})")
    if len(scores := np.concatenate(scores)):
        low, high = np.floor(scores.min()), np.ceil(scores.max())
        edges = np.unique([low, *(x for x in (0, 1, 2, 5, 10, 20, 50, 90, 100, 200, 500) if low < x < high), high])
        share = np.histogram(scores, edges)[0] / len(scores)
        print("score: " + ", ".join(f"{a:g} to {b:g}: {s:.1%}" for a, b, s in zip(edges, edges[1:], share)))


def key_lists(folder, game, args):
    """The episodes whose keys are given, {number: (keys, skip)}: those of the folder's keys.json, and with --replay
    those files' behind them. What is there already is not added again."""
    path, lists = folder / "keys.json", []
    if args.replay and not path.exists() and data.episode_files(folder):
        raise SystemExit(f"{folder} has episodes but no keys.json: run the command that recorded them once more, which "
                         "writes it, or name another --data")
    if path.exists() and path.with_name("meta.json").exists():  # else nothing has been recorded with it
        lists = policies.load_lists(path, game, args.ticks_per_frame, args.frames)
    there = {(keys.tobytes(), skip) for keys, skip in lists}
    for file in args.replay:
        new = policies.load_lists(file, game, args.ticks_per_frame, args.frames)
        lists += [(keys, skip) for keys, skip in new if (keys.tobytes(), skip) not in there]
        there |= {(keys.tobytes(), skip) for keys, skip in new}
    return dict(enumerate(lists))


class Keep:
    """What a worker does with an episode that goes into a file together with others: hands it over, those from
    number `whole` on without most of their pictures. Picklable."""

    def __init__(self, whole):
        self.whole = whole

    def __call__(self, episode, arrays):
        if episode < self.whole:
            return arrays
        return {"frames": arrays["frames"][:policies.FORK].copy(), "keys": arrays["keys"], "over": arrays["over"]}


def held_out(game, folder, args):
    """Record what only measures, one file for each kind of keys: a few whole episodes, and more with their first
    frames, all keys and falls alone, from which lives are counted."""
    gaits, choices = policies.load_gaits(game.gaits), policies.combinations(len(game.keys))
    whole, lives = 4, 60
    kinds = {"random": (whole, lives, args.frames), "human": (whole, lives, args.frames),
             "held": (2 + len(game.keys), 0, args.frames), "choices": (6 * len(choices), 0, policies.FORK + 10)}
    if gaits:
        kinds["gait"] = (whole, lives, args.frames)
    meta = recorder.describe(game, args) | {"seed": args.seed + HELD_OUT_SEED, "policy": None}
    recorder.check_meta(folder / "meta.json", meta)
    for kind, (whole, lives, frames) in kinds.items():
        path, episodes, recorded = folder / f"{kind}.npz", whole + lives, {}
        if path.exists():
            print(f"{path} is there")
            continue
        policy = policies.Policy(kind, len(game.keys), frames, args.ticks_per_frame, meta["seed"], gaits)
        with tqdm(total=episodes * frames, desc=kind, unit=" frames", unit_scale=True) as bar:
            for what, value in recorder.record(game, policy, range(episodes), args, Keep(whole)):
                if what == "episode":
                    recorded[value[0]] = value[1]
                    bar.update(frames)
                elif what == "lost":
                    bar.write(value)
                else:
                    data.write_json(folder / "meta.json", meta | value)
        arrays = {name: np.stack([recorded[n][name] for n in range(whole)]) for name in recorded[0]}
        if lives:
            arrays |= {f"more_{name}": np.stack([recorded[n][name] for n in range(whole, episodes)])
                       for name in recorded[whole]}
        data.save_episode(path, arrays, small=True)
        print(f"{path}: {episodes} episodes of {frames} frames, {path.stat().st_size / 1e6:.1f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="runner",
                        help="runner, qwop, or the path of a description like games/runner.py")
    parser.add_argument("--episodes", type=int, default=190, help="how many there should be in the end")
    parser.add_argument("--replay", nargs="+", default=[], metavar="FILE",
                        help="instead: key lists to play, added behind what is there")
    parser.add_argument("--held-out", action="store_true", help="instead: the episodes that evaluate.py measures on")
    parser.add_argument("--data", default="data", help="folder of all recordings")
    recorder.add_arguments(parser)
    args = parser.parse_args()
    recorder.check_arguments(args, args.episodes)

    game = recorder.load_game(args.game, args.url)
    if args.held_out:
        folder = data.game_folder(args.data, args.game) / "held_out"
        with data.disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            held_out(game, folder, args)
        return
    folder = data.game_folder(args.data, args.game) / "frames"
    with data.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        policy = recorder.make_policy(game, args)
        meta = recorder.describe(game, args)
        old = data.read_json(folder / "meta.json")
        if args.replay:
            meta |= {name: old[name] if old else None for name in ("policy", "seed")}
        replays = old and old["policy"] is None and not args.replay  # only those until now, and others are added
        recorder.check_meta(folder / "meta.json", meta, ("version", *["policy", "seed"] * bool(replays)))
        if replays:
            data.write_json(folder / "meta.json", old | {name: meta[name] for name in ("policy", "seed")})
        policy.lists = key_lists(folder, game, args)
        episodes = len(policy.lists) if args.replay else args.episodes
        policy.lists = {n: policy(n) for n in range(max(episodes, len(policy.lists)))}
        policies.save_lists(folder / "keys.json", game, args.ticks_per_frame, policy.lists.values())
        there = data.episode_files(folder)
        todo = [n for n in range(episodes) if n not in there]
        keys = "replay" if args.replay else policy.name
        print(f"{game.name}: {len(there)} episodes in {folder}, {len(todo)} to record with {args.workers} workers "
              f"({keys} keys)")
        with tqdm(total=len(todo) * args.frames, unit=" frames", unit_scale=True, smoothing=0.05) as bar:
            facts = None
            for kind, value in recorder.record(game, policy, todo, args, Save(folder)):
                if kind == "episode":
                    bar.update(args.frames)
                elif kind == "lost":
                    bar.write(value)
                elif facts != value:
                    facts = value
                    bar.write(f"in {facts['browser']}")
                    data.write_json(folder / "meta.json", meta | facts)
        draw_pictures(folder, args.ticks_per_frame * game.tick_ms)
    tell(folder)
    print(f"look at {folder / 'contact_sheet.png'} and {folder / 'clip.gif'}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("\nstopped: what was recorded is kept, the same command goes on") from None
