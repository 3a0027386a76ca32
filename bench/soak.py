"""Does a dream stay what it is? Long dreams of a model under random keys, measured hour by hour of game time.

    python bench/soak.py --game qwop                   # 24 hours of 4 dreams: 864,000 frames each
    python bench/soak.py --game runner --hours 1 --parts 4

Reads   docs/model/<game>, or --model; held-out episodes of the game
Prints  a row for each hour (or part of one), and one of real play: falls in 1,000 frames; spread, std of z
        over the real one; frozen, exploded and off-manifold frames in %, as in evaluate.py

Shapes: N dreams side by side, T frames, Z latent features
"""
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import data  # noqa: E402
import metrics  # noqa: E402
from capture import policies  # noqa: E402
from dream import Model  # noqa: E402

PIECE = 1000    # frames that are dreamed at once
PAINTED = 20    # of them that are painted


def main():
    parser = data.bare_parser(__doc__)
    parser.add_argument("--game", default="runner", help="name of a game with a model in docs/model")
    parser.add_argument("--model", type=Path, help="another model folder")
    parser.add_argument("--hours", type=float, default=24, help="of game time that each dream lasts")
    parser.add_argument("--parts", type=int, default=1, help="rows for an hour")
    parser.add_argument("--dreams", type=int, default=4, help="side by side, from the first start states")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    # What real play is like
    model = Model(args.model or ROOT / "docs" / "model" / args.game)
    kinds, _ = data.load_held_out(data.held_out_folder(data.game_folder("data", args.game)))
    z = {kind: model.encode(kinds[kind]["frames"]) for kind in data.KINDS if kind in kinds}
    every = np.concatenate([rows.reshape(-1, model.features) for rows in z.values()])
    manifold, std = metrics.Manifold(model, z), every.std(0)

    def row(title, path, over, painted):
        """Print what is measured of z (N, T, Z), over (N, T), and of what is painted (M, Z); None: of real
        frames 1% are off, as the limit is theirs."""
        off = 0.01 if painted is None else manifold.is_off(np.nan_to_num(np.clip(painted, -1e3, 1e3))).mean()
        figures = (metrics.describe_lives(over)["per_1000_frames"], metrics.spread(path, std),
                   100 * metrics.is_frozen(path, std),
                   100 * metrics.is_exploded(path, model.meta).mean(), 100 * off)
        print(f"| {title:>6} | " + " | ".join(f"{figure:8.2f}" for figure in figures) + " |", flush=True)

    print("|   hour |    falls |   spread | frozen % | exploded % | off-manifold % |")
    print("|---|---|---|---|---|---|")
    row("real", z["random"], metrics.with_more(kinds["random"], "over")[:, data.CONTEXT:], None)

    # The dreams
    rng, seeds = np.random.default_rng(args.seed), np.arange(args.dreams)
    starts = zip(*(model.starts * args.dreams)[:args.dreams])
    state = [np.concatenate(x, axis) for x, axis in zip(starts, (0, 1, 1))]
    pieces = max(1, round(3600 / args.parts / model.frame_s / PIECE))  # of a row
    for part in range(max(1, round(args.hours * args.parts))):
        path, over = [], []
        for piece in tqdm(range(pieces), leave=False, unit_scale=PIECE, unit=" frames"):
            keys = np.stack([policies.random_keys(PIECE, len(model.meta["keys"]), rng) for _ in seeds])
            seed = args.seed + args.dreams * (part * pieces + piece)
            rows, ends, state = model.play(state, keys, seed)
            path.append(rows)
            over.append(ends)
        path, over = np.concatenate(path, axis=1), np.concatenate(over, axis=1)
        row(f"{(part + 1) / args.parts:.2f}", path, over,
            path[:, ::PIECE // PAINTED].reshape(-1, model.features))


if __name__ == "__main__":
    data.run(main, "the rows above are what was measured")
