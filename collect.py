"""Play a browser game in headless Chromium and record it, on a virtual clock.

Reads   games/<game>.py, the page it names, games/<game>_gaits.json
Writes  data/<game>/frames/episode_*.npz, keys.json, meta.json, contact_sheet.png, clip.gif
        with --held-out: data/<game>/held_out/<kind of keys>.npz, meta.json

    python collect.py --game runner --episodes 190        # 48,640 frames
    python collect.py --game qwop --url copy/Athletics.html      # the real game, from a local copy
    python collect.py --game mygame.py --check            # is the description right? What to change
    python collect.py --game runner --replay keys.json    # key lists: of another recording, or your own play
    python collect.py --game runner --held-out            # what evaluate.py measures on, never trained on
    python collect.py --data data/played --player docs/model/runner/player.json    # a trained player plays

The same seed gives the same bytes, whatever the machine's speed. Stop it at any time: the same command
resumes. With --part 3/8 it is the third of eight machines.

Shapes: T frames of an episode, K keys
"""
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

import data
import plots
from capture import policies, workers
from capture.check import check, describe
from capture.games import load_game
from capture.player import STARTS, LivePlayer

HELD_OUT_SEED = 1_000_000  # added to the seed: no episode of training is played again
RHYTHM = 300               # frames of a rhythm: held-out patterns of keys, of which only the metres are kept


def save(folder, episode, arrays):
    """Sink of a worker: write each episode to its file."""
    data.save_episode(data.episode_path(folder, episode), arrays)


def keep(whole, episode, arrays):
    """Sink of a worker for held-out episodes: of each kind the first whole[kind], of others only the frames
    before FORK, of rhythms none."""
    kind, number = episode
    if number < whole[kind]:
        return arrays
    kept = {"keys": arrays["keys"], "over": arrays["over"]}
    if kind == "rhythms":
        return kept | {"score": arrays["score"].copy()}
    return kept | {"frames": arrays["frames"][:policies.FORK].copy()}


def draw(folder, frame_ms):
    """Draw 12 frames of each of 8 episodes as contact_sheet.png, and 128 of the first one, in which its first
    life ends, as clip.gif."""
    shape = (data.read_json(folder / "meta.json") or {}).get("shape")
    first, rows = list(data.episode_files(folder))[:8], []
    for _, episode in data.load_episodes(folder, ("frames", "over"), first):
        frames = episode["frames"]
        if not rows:
            start = max(0, episode["over"].argmax() - 112)  # 0 if no life ends
            plots.draw_clip(folder / "clip.gif", frames[start:start + 128], frame_ms, shape)
        rows.append(frames[np.linspace(0, len(frames) - 1, 12).astype(int)])
    if rows:
        plots.draw_strip(folder / "contact_sheet.png", rows)


def print_summary(folder):
    """Print how many lives were recorded, how long they last, and how far they get."""
    frames, lengths, scores, first = 0, [], [], []
    for _, episode in data.load_episodes(folder, ("restart", "over", "score")):
        frames += len(episode["restart"])
        lengths += np.diff(np.flatnonzero(episode["restart"])).tolist()
        scores += episode.get("score", np.zeros(0)).tolist()
        if "score" in episode:
            first.append(data.first_life(episode["over"], episode["score"]))
    if lengths:
        print(f"{frames:,} frames, {1000 * len(lengths) / frames:.1f} lives end in 1,000 of them; "
              f"they last {np.mean(lengths):.1f} frames (median {np.median(lengths):.0f})")
    if scores:
        print(f"score: median {np.median(scores):.1f}, 90% below {np.quantile(scores, 0.9):.1f}, "
              f"most {max(scores):.1f}; of the first lives: median {np.median(first):.1f}")


def read_key_lists(folder, game, args):
    """The episodes whose keys are given -> {number: (keys, skip)}: those of the folder's keys.json, then
    those of the --replay files that it lacks."""
    path = folder / "keys.json"
    if args.replay and not path.exists() and data.episode_files(folder):
        raise SystemExit(f"{folder} has episodes but no keys.json: run the command that recorded them once "
                         "more, which writes it, or name another --data")
    lists = []
    if path.exists() and (folder / "meta.json").exists():  # without meta.json, nothing was recorded with it
        lists = policies.load_lists(path, game, args.ticks_per_frame, args.frames)
    known = {(keys.tobytes(), skip) for keys, skip in lists}
    for file in args.replay:
        new = policies.load_lists(file, game, args.ticks_per_frame, args.frames)
        lists += [(keys, skip) for keys, skip in new if (keys.tobytes(), skip) not in known]
        known |= {(keys.tobytes(), skip) for keys, skip in new}
    return dict(enumerate(lists))


def record_held_out(game, folder, args):
    """Record what evaluate.py measures on, one file for each kind of keys: a few whole episodes, and of more
    episodes only the first frames, the keys and the falls, from which lives are counted. Of rhythms only the
    keys, the falls and the metres. `constant` is what long dreams without keys, and with all, lie beside."""
    gaits, choices = policies.load_gaits(game.gaits), policies.combinations(len(game.keys))
    # kind: whole episodes, episodes that only count lives or metres, frames of each
    names = ("random", "human", "held", *(["gait"] if gaits else []))
    kinds = dict.fromkeys(names, (4, args.lives, args.frames)) | {
        "constant": (2, 0, args.frames), "choices": (6 * len(choices), 0, policies.FORK + 10)}
    if game.score:
        kinds["rhythms"] = (0, args.rhythms, RHYTHM)
    policy = policies.Policy(None, len(game.keys), args.frames, args.ticks_per_frame, None, gaits)
    meta = workers.describe(game, args, policy) | {"seed": args.seed + HELD_OUT_SEED}
    workers.check_meta(folder / "meta.json", meta)

    # All kinds in one run, as browsers start slowly
    lists = policy.lists
    for kind, (whole, lives, frames) in kinds.items():
        if not (folder / f"{kind}.npz").exists():
            name = "held" if kind == "constant" else kind  # of which the first hold no key, and all
            keys_of = policies.Policy(name, len(game.keys), frames, args.ticks_per_frame, meta["seed"], gaits,
                                      is_test=kind != "constant")
            lists |= {(kind, n): keys_of(n) for n in range(whole + lives)}
    sink = partial(keep, {kind: whole for kind, (whole, _, _) in kinds.items()})

    # The file of a kind is written when all its episodes are there
    recorded = {kind: {} for kind in kinds}
    frames = sum(len(keys) - skip for keys, skip in lists.values())
    print(f"{game.name}: {len(lists)} held-out episodes to record into {folder} with {args.workers} workers")
    with tqdm(total=frames, unit=" frames", unit_scale=True) as bar:
        for (kind, n), arrays in workers.record(game, policy, list(lists), args, sink, bar, folder, meta):
            recorded[kind][n] = arrays
            if len(recorded[kind]) == sum(kinds[kind][:2]):
                save_held_out(folder / f"{kind}.npz", recorded.pop(kind), kinds[kind][0])


def save_held_out(path, episodes, whole):
    """Write all episodes {number: arrays} of a kind, of which the first `whole` are whole ones, or none."""
    episodes = [episodes[n] for n in range(len(episodes))]
    first = episodes[:whole] or episodes
    arrays = {name: np.stack([episode[name] for episode in first]) for name in first[0]}
    if more := episodes[len(first):]:
        arrays |= {f"more_{name}": np.stack([episode[name] for episode in more]) for name in more[0]}
    data.save_episode(path, arrays)


def record_episodes(game, folder, args):
    """Record the missing episodes of the policy, or of --replay's key lists."""
    # A folder's episodes are all recorded in the same way, but replays and others may lie in one folder
    policy = workers.make_policy(game, args)
    meta = workers.describe(game, args, policy)
    old = data.read_json(folder / "meta.json")
    if args.replay:
        meta |= {name: old[name] if old else None for name in ("policy", "seed")}
    if old and old["policy"] is None and not args.replay:
        workers.check_meta(folder / "meta.json", meta, ("version", "policy", "seed"))
        data.write_json(folder / "meta.json", old | {name: meta[name] for name in ("policy", "seed")})
    else:
        workers.check_meta(folder / "meta.json", meta)

    # All keys are known before the first episode: keys.json is the data set in small
    data.set_damaged_aside(folder, ("restart",))
    episodes = args.episodes
    if not args.player:
        policy.lists = read_key_lists(folder, game, args)
        episodes = len(policy.lists) if args.replay else args.episodes
        policy.lists = {n: policy(n) for n in range(max(episodes, len(policy.lists)))}
        policies.save_lists(folder / "keys.json", game, args.ticks_per_frame, policy.lists.values())

    recorded = data.episode_files(folder)
    missing = [n for n in range(episodes)[args.part] if n not in recorded]
    print(f"{game.name}: {len(recorded)} episodes in {folder}, {len(missing)} to record with {args.workers} "
          f"workers ({'replay' if args.replay else policy.name} keys)")
    with tqdm(total=len(missing) * args.frames, unit=" frames", unit_scale=True, smoothing=0.05) as bar:
        for _ in workers.record(game, policy, missing, args, partial(save, folder), bar, folder, meta):
            pass  # the sink has written it
    if args.player:  # its keys are known now
        played = [(episode["keys"], 0) for _, episode in data.load_episodes(folder, ("keys",))]
        policies.save_lists(folder / "keys.json", game, args.ticks_per_frame, played)
    draw(folder, args.ticks_per_frame * game.tick_ms)


def main():
    parser = data.make_parser(__doc__)
    parser.add_argument("--episodes", type=int,
                        help="how many there are to be in all (default: 190; with --player 32)")
    parser.add_argument("--replay", nargs="+", default=[], metavar="FILE",
                        help="instead: play these key lists, as episodes after those of the folder")
    parser.add_argument("--player", type=Path, metavar="FILE",
                        help="instead: this player.json, in its model folder, chooses the keys")
    parser.add_argument("--wander", type=float, default=0.0,
                        help="with --player: std of random changes of its numbers in each life; by chance "
                             "also a third or a tenth of it, or none")
    parser.add_argument("--held-out", action="store_true",
                        help="instead: record the episodes that evaluate.py measures on")
    parser.add_argument("--check", action="store_true",
                        help="instead: play the game for some seconds, say what to change in its description")
    parser.add_argument("--describe", metavar="PAGE",
                        help="instead: print the first draft of a description for this address or folder")
    parser.add_argument("--lives", type=int, default=60,
                        help="with --held-out: episodes of each kind from which only lives are counted")
    parser.add_argument("--rhythms", type=int, default=200,
                        help="with --held-out: key patterns of which only metres are kept")
    workers.add_arguments(parser)
    args = parser.parse_args()
    if args.describe:
        print(describe(args.describe))
        return

    if args.episodes is None:
        args.episodes = STARTS if args.player else 190
    frames, held_out = (data.game_folder(args.data, args.game) / name for name in ("frames", "held_out"))
    player = LivePlayer(args.player).model.meta if args.player else None
    if player and args.ticks_per_frame is None:
        args.ticks_per_frame = player["ticks_per_frame"]
    workers.fill_arguments(args, data.read_json(frames / "meta.json"))
    workers.check_arguments(args, args.episodes)
    game = load_game(args.game, args.url)
    if args.check:
        with data.disk_errors(frames.parent):
            raise SystemExit(check(game, args, frames.with_name("check.png")))
    own = {"game": game.name, "keys": game.keys, "ticks_per_frame": args.ticks_per_frame}
    if player and (wrong := data.difference(player, own)):
        raise SystemExit(f"{args.player} plays with {wrong}: name a player of this game, or its --game")
    folder = held_out if args.held_out else frames
    with data.disk_errors(folder), data.lock(folder):
        folder.mkdir(exist_ok=True)
        if args.held_out:
            record_held_out(game, folder, args)
            return
        record_episodes(game, folder, args)
    print_summary(folder)
    print(f"look at {folder / 'contact_sheet.png'} and {folder / 'clip.gif'}")


if __name__ == "__main__":
    data.run(main, "what was recorded is kept (with --held-out: each finished kind of keys), "
                   "the same command resumes")
