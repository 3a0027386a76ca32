"""Turn episodes into latents with the trained autoencoder: recorded ones, and with --live ones that are never
stored.

Reads   data/<game>/ae.pt, data/<game>/frames
Writes  data/<game>/latents        z (E, T, 16), keys (E, T, K) uint8, restart (E, T) bool, done (E,) bool

    python encode.py --game runner                  # what is recorded
    python encode.py --game runner --live 4000      # then on to 4,000 episodes, encoded as they are played

Live episodes are recorded as collect.py did. Stop it at any time: the same command goes on.

Shapes: E episodes, T frames of an episode, Z latent features, K keys
"""
import argparse
import hashlib

import numpy as np
import torch
from tqdm import tqdm

import data
import models
import training
from capture import workers
from capture.games import load_game


class Encode:
    """Makes the latents of an episode: callable in this process or, picklable, in a worker that records."""

    def __init__(self, path, device="cpu", encoder=None):
        """path: of ae.pt. encoder: that lies in it, on the device; None in a worker, which opens it."""
        self.path, self.device, self.encoder = path, device, encoder

    def __call__(self, episode, arrays):
        """-> z (T, Z), keys (T, K), restart (T,)"""
        if self.encoder is None:
            torch.set_num_threads(1)  # each worker has one core
            self.encoder = training.load(self.path, models.Autoencoder)[0].encoder
        with torch.no_grad():
            z = models.in_batches(self.encoder, torch.from_numpy(arrays["frames"].copy()).to(self.device))
        return z.cpu().numpy(), arrays["keys"], arrays["restart"]


def prepare_live(args, recording, path):
    """The game and the policy to record on with, as collect.py did -> game, policy. path: of its
    meta.json."""
    if recording["policy"] is None:
        raise SystemExit(f"{path.parent} holds key lists that were played again: there is nothing to record on with")
    workers.arguments_of(recording, args)
    workers.check_arguments(args, args.live)
    game = load_game(args.game, args.url)
    workers.check_meta(path, workers.describe(game, args))
    return game, workers.make_policy(game, args)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="runner", help="name or path of the game's description")
    parser.add_argument("--live", type=int, default=0, help="how many episodes there should be in the end")
    parser.add_argument("--data", default="data", help="folder of all recordings")
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32",
                        help="of z on disk; float16 takes half of it and is exact to 0.05%%")
    parser.add_argument("--device", help="for recorded episodes: cpu, cuda or mps; the best there is by default")
    workers.add_worker_arguments(parser)
    args = parser.parse_args()

    # What was recorded, and how
    folder = data.game_folder(args.data, args.game)
    device, _ = training.pick_device(args.device)
    model, _ = training.load(folder / "ae.pt", models.Autoencoder, device)
    recording = data.read_json(folder / "frames" / "meta.json")
    if recording is None:
        raise SystemExit(f"no recording in {folder / 'frames'}: run  python collect.py --game {args.game}  first")
    files = data.episode_files(folder / "frames")
    if not files and not args.live:
        raise SystemExit(f"no episodes in {folder / 'frames'}: run  python collect.py --game {args.game}  first, "
                         "or use --live")
    if args.live:
        game, policy = prepare_live(args, recording, folder / "frames" / "meta.json")
    episodes = max([args.live, *(n + 1 for n in files)])
    meta = recording | {"ae_sha256": hashlib.sha256((folder / "ae.pt").read_bytes()).hexdigest()}

    with data.disk_errors(folder):
        store = data.Latents.create(folder / "latents", episodes, meta["frames"], model.config.z,
                                    len(meta["keys"]), meta, np.dtype(args.dtype))
        missing = [n for n in range(episodes) if not store.done[n]]
        print(f"{episodes - len(missing)} of {episodes} episodes are encoded in {folder / 'latents'}; {device}")
        with tqdm(total=len(missing) * meta["frames"], unit=" frames", unit_scale=True, smoothing=0.05) as bar:
            # Recorded episodes here, on the device
            encode = Encode(folder / "ae.pt", device, model.encoder)
            wanted = set(missing)
            stored = data.load_episodes(folder / "frames", wanted=wanted.__contains__) if files else ()
            for number, arrays in stored:
                store.put(number, *encode(number, arrays))
                bar.update(meta["frames"])
            # Live ones in the workers that play them
            missing = [n for n in range(args.live) if not store.done[n]]
            if missing:
                sink = Encode(folder / "ae.pt")
                for number, latents in workers.record_with_bar(game, policy, missing, args, sink, bar):
                    store.put(number, *latents)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("\nstopped: what was encoded is kept, the same command goes on") from None
