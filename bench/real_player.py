"""A controller like train_player.py's, but trained in the real game: what can be learned from as many real
frames as a dream was made of?

Reads   a model folder, of which the encoder sees the frames; games/<game>.py and the page it names
Writes  player.json in that folder, in place of the dream's: copy the folder first

    cp -r docs/model/runner data/real
    python bench/real_player.py --game runner --model data/real --frames 2000000
    python collect.py --game runner --data data/played_real --player data/real/player.json
"""
import base64
import sys
import time
from pathlib import Path

import cma
import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import data  # noqa: E402
from capture import workers  # noqa: E402
from capture.games import load_game  # noqa: E402
from capture.player import STARTS, LivePlayer, Player, mark_of  # noqa: E402
from dream import Model  # noqa: E402
from train_player import EVERY  # noqa: E402

STEP = """async keys => {
  const { rgb } = await recorder.step(keys), { game } = recorder;
  return { rgb, over: Boolean(game.over()), score: game.score() };
}"""
player = None  # of a worker process


def live(path, numbers, rest, frames):
    """In a worker: one real life of a controller, which holds no key in the first `rest` frames -> metres,
    frames."""
    global player
    player = player or LivePlayer(path)
    meta, recorder = player.model.meta, workers.job.get_recorder()
    player.learned = Player(numbers[None], meta["dz_std"])
    player.start(rest)
    recorder.renew()
    recorder.evaluate("job => recorder.open(job)", {"frames": frames + 1,
                                                    "ticksPerFrame": meta["ticks_per_frame"]})
    keys = [0] * len(meta["keys"])
    for t in range(frames):
        answer = recorder.evaluate(STEP, keys)
        if answer["over"]:
            break
        frame = np.frombuffer(base64.b64decode(answer["rgb"]), np.uint8).reshape(data.SIZE, data.SIZE, 3)
        keys = player(frame, restart=t == 0).tolist()
    return answer["score"], t + 1


def main():
    parser = data.make_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="copy of a model folder")
    parser.add_argument("--frames", type=int, default=2_000_000, help="real frames to learn from")
    parser.add_argument("--longest", type=int, default=300, help="frames of the longest life that counts")
    parser.add_argument("--population", type=int, default=32, help="controllers in a generation")
    parser.add_argument("--lives", type=int, default=3, help="of each controller")
    workers.add_worker_arguments(parser)
    args = parser.parse_args()
    args.supersample = 2
    game, model, path = load_game(args.game, args.url), Model(args.model), args.model / "player.json"
    meta = model.meta
    if not path.exists():
        raise SystemExit(f"no {path}, which this search replaces: run train_player.py first")
    search = cma.CMAEvolutionStrategy([0.0] * Player.size(len(meta["keys"]), model.features), 0.5,
                                      {"popsize": args.population, "seed": 1, "verbose": -9})
    seen, generation, best, start = 0, 0, -1.0, time.monotonic()
    with workers.open_pool(args.workers, workers.Job(game, args)) as pool:
        while seen < args.frames:
            # A generation: the same starts for all
            candidates = np.array(search.ask())
            rests = (generation * args.lives + np.arange(args.lives)) % STARTS
            lives = np.array(pool.starmap(live, [(path, numbers, rest, args.longest)
                                                 for numbers in candidates for rest in rests], 1))
            scores = lives[:, 0].reshape(-1, args.lives).mean(1)
            search.tell(candidates, -scores)
            seen, generation = seen + int(lives[:, 1].sum()), generation + 1
            print(f"generation {generation:4d} | {seen:,} real frames | best {scores.max():5.1f} m, median "
                  f"{np.median(scores):5.1f} m | {(time.monotonic() - start) / 60:.1f} min", flush=True)
            if generation % EVERY and seen < args.frames:
                continue

            # Measure the middle of the search, in longer lives
            jobs = [(path, search.mean, rest, 2 * args.longest) for rest in range(STARTS)]
            lives = np.array(pool.starmap(live, jobs, 1))
            seen, metres = seen + int(lives[:, 1].sum()), float(lives[:, 0].mean())
            print(f"  in {2 * args.longest} frames: mean {metres:.1f} m, lives of "
                  f"{np.median(lives[:, 1]):.0f} frames", flush=True)
            if metres > best:
                best = metres
                data.write_json(path, {
                    "game": meta["game"], "encoder": mark_of(model), "metres": round(metres, 1),
                    "frames": 2 * args.longest, "generation": generation,
                    "numbers": search.mean.round(5).tolist()})


if __name__ == "__main__":
    data.run(main, "the best player so far is kept")
