"""Turn episodes into latents with the trained autoencoder: recorded ones, and with --live ones that are never
stored.

Reads   data/<game>/ae.pt, data/<game>/frames
Writes  data/<game>/latents        z (E, T, 16), keys (E, T, K) uint8, restart (E, T) bool, done (E,) bool

    python encode.py --game runner                  # what is recorded
    python encode.py --game runner --live 4000      # then on to 4,000 episodes, encoded as they are played

Stop it at any time: the same command goes on.
"""
import argparse
import hashlib

import numpy as np
import torch
from tqdm import tqdm

import data
import models
import training
from capture import browser as recorder


class Encode:
    """What makes latents of an episode: callable in this process or, picklable, in a worker of
    recorder.record()."""

    def __init__(self, path, device=None):
        self.path, self.device, self.encoder = path, device, None

    def __call__(self, episode, arrays):
        """-> z (T, Z), keys (T, K), restart (T,)"""
        if self.encoder is None:
            if self.device is None:  # one of several workers: a core each
                torch.set_num_threads(1)
            self.encoder = training.load(self.path, models.Autoencoder, self.device or "cpu")[0].encoder
        with torch.no_grad():
            frames = torch.from_numpy(arrays["frames"].copy()).to(self.device or "cpu")
            z = torch.cat([self.encoder(part) for part in frames.split(128)])
        return z.cpu().numpy(), arrays["keys"], arrays["restart"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="runner", help="runner, or the path of a description like games/runner.py")
    parser.add_argument("--live", type=int, default=0, help="how many episodes there should be in the end")
    parser.add_argument("--data", default="data", help="folder of all recordings")
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32",
                        help="of z on disk; float16 takes half of it and is exact to 0.05%%")
    parser.add_argument("--device", help="for recorded episodes: cpu, cuda or mps; the best there is by default")
    recorder.add_arguments(parser)
    args = parser.parse_args()
    recorder.check_arguments(args, args.live or 1)

    folder = data.game_folder(args.data, args.game)
    model, checkpoint = training.load(folder / "ae.pt", models.Autoencoder)
    device, _ = training.pick_device(args.device)
    recorded = data.read_json(folder / "frames" / "meta.json")
    game = recorder.load_game(args.game, args.url) if args.live else None
    if game:
        policy = recorder.make_policy(game, args)
        recorder.check_meta(folder / "frames" / "meta.json", recorder.describe(game, args))
    meta = {**(recorded or recorder.describe(game, args)),
            "ae_sha256": hashlib.sha256((folder / "ae.pt").read_bytes()).hexdigest()}
    files = data.episode_files(folder / "frames")
    if not files and not args.live:
        raise SystemExit(f"no episodes in {folder / 'frames'}: run  python collect.py --game {args.game}  first, "
                         "or use --live")
    episodes = max([args.live, *(n + 1 for n in files)])

    with data.disk_errors(folder):
        store = data.Latents.create(folder / "latents", episodes, meta["frames"], model.config.z, len(meta["keys"]),
                                    meta, np.dtype(args.dtype))
        todo = [n for n in range(episodes) if not store.done[n]]
        print(f"{episodes - len(todo)} of {episodes} episodes are encoded in {folder / 'latents'}; {device}")
        with tqdm(total=len(todo) * meta["frames"], unit=" frames", unit_scale=True, smoothing=0.05) as bar:
            encode = Encode(folder / "ae.pt", device)
            for number, arrays in data.load_episodes(folder / "frames", wanted=set(todo).__contains__) if files else ():
                store.put(number, *encode(number, arrays))
                bar.update(meta["frames"])
            left = [n for n in range(args.live) if not store.done[n]]
            for kind, value in recorder.record(game, policy, left, args, Encode(folder / "ae.pt")) if left else ():
                if kind == "episode":
                    store.put(value[0], *value[1])
                    bar.update(meta["frames"])
                elif kind == "lost":
                    bar.write(value)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("\nstopped: what was encoded is kept, the same command goes on") from None
