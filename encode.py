"""Turn episodes into latents with the trained autoencoder: recorded ones, and with --live ones that are never
stored.

Reads   data/<game>/ae.pt, data/<game>/frames
Writes  data/<game>/latents/episode_*.npz   z (T, Z), keys (T, K), restart, over, score (T,); meta.json

    python encode.py --game runner                  # what is recorded
    python encode.py --game runner --live 4000      # then on to 4,000 episodes, encoded as they are played
    python encode.py --game runner --add a b        # and what a player has played there
    python encode.py --game runner --merge a b      # copy what other machines have encoded in a/ and b/

Live episodes are recorded as collect.py did. Stop it at any time: the same command goes on.

Shapes: T frames of an episode, Z latent features, K keys
"""
import shutil

import torch
from tqdm import tqdm

import data
import models
from capture import workers
from capture.games import load_game
from engine import training

NAMES = ("frames", "keys", "restart", "over", "score")
ADDED = 10 ** 6  # number of the first episode of the first folder to --add, and so on


class Encode:
    """Writes the latents of an episode: in this process or, as it is picklable, in a worker that records."""

    def __init__(self, folder, made_with, device="cpu", encoder=None):
        """folder: of the game. made_with: hash of its encoder. encoder: of its ae.pt, on the device; a worker
        opens it itself."""
        self.folder, self.made_with, self.device, self.encoder = folder, made_with, device, encoder

    def __call__(self, episode, arrays):
        if self.encoder is None:
            torch.set_num_threads(1)  # each worker has one core
            self.encoder = training.load(self.folder / "ae.pt", models.Autoencoder)[0].encoder
            training.check_encoder(self.made_with, self.encoder, "what was encoded so far",
                                   "run encode.py again")
        with torch.no_grad():
            z = models.in_batches(self.encoder, torch.from_numpy(arrays["frames"].copy()).to(self.device))
        rest = {name: arrays[name] for name in NAMES[1:] if name in arrays}
        data.save_episode(data.episode_path(self.folder / "latents", episode), {"z": z.cpu().numpy(), **rest})


def is_same(old, new):
    """Do two meta.json of latents (old: or None) belong to the same recording and autoencoder? Browsers may
    differ, as in collect.py."""
    ignored = dict.fromkeys(("browser", "version", "added"))
    return old is not None and old | ignored == new | ignored


def merge(latents, others):
    """Copy what a folder of latents lacks from other such folders. Equal episodes are kept, unequal ones are
    named and left. Ends the program with one line if a folder was made in another way."""
    for other in others:
        meta, own = (data.read_json(folder / "meta.json") for folder in (other, latents))
        if meta is None or own and not is_same(own, meta):
            raise SystemExit(f"{other} has no latents of the same recording and autoencoder as {latents}")
        data.write_json(latents / "meta.json", meta)
        copied = 0
        for number, path in data.episode_files(other).items():
            target = data.episode_path(latents, number)
            if not target.exists():
                part = target.with_suffix(".part")
                shutil.copyfile(path, part)
                part.replace(target)
                copied += 1
            elif target.read_bytes() != path.read_bytes():
                print(f"{path} differs from {target}, which is kept")
        print(f"{copied} episodes copied from {other}")


def main():
    parser = data.make_parser(__doc__)
    parser.add_argument("--live", type=int, default=0, help="how many episodes there are to be in all")
    parser.add_argument("--add", nargs="+", default=[], metavar="DATA",
                        help="--data folders in which a player has played the game (collect.py --player): "
                             "encode these episodes, too")
    parser.add_argument("--device", help="for recorded episodes: cpu, cuda or mps; the best by default")
    parser.add_argument("--merge", nargs="+", default=[], metavar="DATA",
                        help="instead: copy the latents that lie in these --data folders into this one")
    workers.add_worker_arguments(parser)
    workers.add_part(parser)
    args = parser.parse_args()

    # What was recorded, and how
    folder = data.game_folder(args.data, args.game)
    frames, latents = folder / "frames", folder / "latents"
    if args.merge:
        with data.disk_errors(folder), data.lock(latents):
            latents.mkdir(exist_ok=True)
            merge(latents, [data.game_folder(other, args.game) / "latents" for other in args.merge])
        return
    device, _ = training.pick_device(args.device)
    model, _ = training.load(folder / "ae.pt", models.Autoencoder, device)
    recording, files = data.read_json(frames / "meta.json"), data.episode_files(frames)
    if recording is None or not files and not args.live:
        raise SystemExit(f"no episodes in {frames}: run collect.py first")
    if args.live:  # the same game and keys as in collect.py
        if recording["policy"] is None:
            raise SystemExit(f"{frames} holds replayed key lists, so there is no policy for more episodes")
        workers.fill_arguments(args, recording)
        workers.check_arguments(args, args.live)
        game = load_game(args.game, args.url)
        policy = workers.make_policy(game, args)
        workers.check_meta(frames / "meta.json", workers.describe(game, args, policy))
    sources, added = {0: frames}, {}
    for n, other in enumerate(args.add, 1):
        sources[n * ADDED] = other = data.game_folder(other, args.game) / "frames"
        played = data.read_json(other / "meta.json")
        own = ("game", "keys", "ticks_per_frame", "frames", "description")
        if played is None:
            raise SystemExit(f"no episodes in {other}: run collect.py --player first")
        if wrong := data.difference(played, {name: recording[name] for name in own if name in recording}):
            raise SystemExit(f"{other} was recorded with {wrong}: record it like {frames}")
        added[str(n * ADDED)] = [played.get("policy"), played.get("seed")]
    with data.disk_errors(folder), data.lock(latents):
        latents.mkdir(exist_ok=True)
        # Latents of another autoencoder or recording are of no use any more
        meta = recording | {"encoder": training.hash_of(model.encoder), "names": list(NAMES)}
        known = data.read_json(latents / "meta.json")
        if not is_same(known, meta):
            old = data.episode_files(latents)
            for path in old.values():
                path.unlink()
            if old:
                print(f"{len(old)} episodes in {latents} were of another autoencoder, recording or version: "
                      "deleted")
            known = {}
        before = known.get("added", {})
        if any(before.get(number, one) != one for number, one in added.items()):
            raise SystemExit(f"{latents} has other episodes in the place of these: name the folders to --add "
                             "in the same order as before, new ones last")
        data.write_json(latents / "meta.json", meta | {"added": before | added})
        data.set_damaged_aside(latents, ("z", *NAMES[1:]))
        done = data.episode_files(latents)
        stored = {first: {n for n in data.episode_files(source) if first + n not in done}
                  for first, source in sources.items()}
        count = sum(map(len, stored.values()))
        live = [n for n in range(args.live)[args.part] if n not in done and n not in files]
        print(f"{len(done)} episodes are encoded in {latents}, {count + len(live)} to do; {device}")

        # Recorded episodes here, on the device; live ones in the workers that play them
        with tqdm(total=(count + len(live)) * recording["frames"], unit=" frames", unit_scale=True,
                  smoothing=0.05) as bar:
            encode = Encode(folder, meta["encoder"], device, model.encoder)
            for first, numbers in stored.items():
                source = data.load_episodes(sources[first], NAMES, numbers) if numbers else ()
                for number, arrays in source:
                    encode(first + number, arrays)
                    bar.update(recording["frames"])
            if live:
                for _ in workers.record(game, policy, live, args, Encode(folder, meta["encoder"]), bar):
                    pass  # it is written there


if __name__ == "__main__":
    data.run(main, "what was encoded is kept, the same command goes on")
