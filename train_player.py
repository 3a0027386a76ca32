"""Train a player in the dream alone: a small controller that learns to run as far as it can.

Reads   a model folder (export.py) that tells metres
Writes  its player.json, and player.js for the page; data/<game>/player_log.jsonl, player_curve.png,
        player_resume.json, player.png (the first seconds of its dream)

    python train_player.py --game runner                              # data/runner/model
    python train_player.py --game qwop --model docs/model/qwop
    python collect.py --data data/played --player data/runner/model/player.json     # then: in the real game

CMA-ES (Hansen 2016) tries controllers, each in a few dreams with noise and starts of their own, and moves on
towards those that ran farthest by what the dream tells. Run it again to go on.

Shapes: N dreams side by side, Z latent features, K keys
"""
import json
import time
from pathlib import Path

import cma
import numpy as np

import data
import plots
from capture.player import STARTS, Player, mark_of
from dream import Model, draw_noise, repeat

EVERY = 10     # generations between two reports
AGAIN = 0.2    # how wide the search is at least when the dream is another one


def dream_lives(model, player, frames, seeds, args):
    """N dreams from the first start state, each under its own controller, until their lives end
    -> metres (N), frames of the life (N).

    seeds (N): of the noise; no key is held in the first frames, as many as the seed modulo STARTS. args:
    noise, temperature."""
    n, alive = len(seeds), np.arange(len(seeds))
    metres, life = np.zeros(n), np.full(n, frames)
    state = repeat(model.starts[0], n)
    before = state[0]
    for t in range(frames):
        noise = draw_noise(seeds[alive], t, model.noise_size + model.features)
        seen = state[0] + args.noise * player.dz_std * noise[:, model.noise_size:]
        keys = player.choose(seen, seen - before, t) * (t >= seeds[alive, None] % STARTS)
        before = seen
        state, over = model.step(state, keys, args.temperature * noise[:, :model.noise_size])
        metres[alive] += model.readout("metres", state)
        life[alive[over]] = t
        if over.all():
            break
        if over.any():  # go on with those that live
            alive, player, before = alive[~over], player.only(~over), before[~over]
            state = [state[0][~over], *(x[:, ~over] for x in state[1:])]
    return metres, life


def dream_of(model, player, frames):
    """The first frames of one life, painted -> uint8 (frames, 96, 96, 3)"""
    state, z = model.starts[0], [model.starts[0][0], model.starts[0][0]]
    for t in range(frames):
        state, _ = model.step(state, player.choose(z[-1], z[-1] - z[-2], t))
        z.append(state[0])
    return model.decode(np.concatenate(z[2:]))


def open_search(path, args, model):
    """What was learned so far with this encoder (dict for JSON), at first a search from zeros; the search.

    mean, sigma: the middle of the search and how wide it is."""
    encoder, state = mark_of(model), data.read_json(path) or {}
    if state.get("encoder") != encoder:
        path.with_name("player_log.jsonl").unlink(missing_ok=True)
        size = Player.size(len(model.meta["keys"]), model.features)
        state = {"encoder": encoder, "generation": 0, "seconds": 0.0, "sigma": 0.5, "mean": [0.0] * size}
    if state.get("dynamics") != mark_of(model, "dynamics.onnx"):
        state |= {"dynamics": mark_of(model, "dynamics.onnx"), "sigma": max(state["sigma"], AGAIN)}
    print(f"{model.folder}: {len(state['mean'])} numbers to learn, {args.population} x {args.dreams} dreams "
          f"a generation; {state['generation']} generations done")
    return state, cma.CMAEvolutionStrategy(state["mean"], state["sigma"], {
        "popsize": args.population, "seed": args.seed + state["generation"] + 1, "verbose": -9})


def measured_in(model, args):
    """The dream in which metres are measured, and how -> dict for JSON"""
    return {"dynamics": mark_of(model, "dynamics.onnx"), "frames": 2 * args.frames, "noise": args.noise,
            "temperature": args.temperature}


def best_of(model, args):
    """Metres of the player in the model's folder; -1 if they were measured in another dream or way."""
    known = {"temperature": 1.0} | (data.read_json(model.folder / "player.json") or {})
    return known["metres"] if measured_in(model, args).items() <= known.items() else -1.0


def keep(folder, args, model, state, metres):
    """Write what was learned so far, and if it is the best, the player and how it runs."""
    plots.log(folder / "player_log.jsonl", {"epoch": state["generation"], "metres": metres})
    plots.draw_curves(folder / "player_log.jsonl", folder / "player_curve.png", ["metres"])
    if metres > best_of(model, args):
        frames = dream_of(model, Player([state["mean"]], model.meta["dz_std"]), 48)
        plots.draw_strip(folder / "player.png", frames.reshape(4, 12, *frames.shape[1:]))
        player = {"game": model.meta["game"], "encoder": state["encoder"], **measured_in(model, args),
                  "metres": round(metres, 1), "generation": state["generation"],
                  "seconds": round(state["seconds"]), "command": data.command_line(),
                  "numbers": [round(x, 5) for x in state["mean"]]}
        data.write_json(model.folder / "player.json", player)
        data.write_text(model.folder / "player.js", f"self.DREAM_PLAYER = {json.dumps(player)};\n")
    data.write_json(folder / "player_resume.json", state)


def main():
    parser = data.make_parser(__doc__)
    parser.add_argument("--model", type=Path, help="model folder (default: data/<game>/model)")
    parser.add_argument("--minutes", type=float, default=10, help="of this run")
    parser.add_argument("--frames", type=int, default=300, help="longest life that counts")
    parser.add_argument("--population", type=int, default=32, help="controllers in a generation")
    parser.add_argument("--dreams", type=int, default=3, help="dreams of each controller")
    parser.add_argument("--noise", type=float, default=0.3,
                        help="on the z that it sees, as a share of the std of its steps: no dream is exact")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the noise; 0: what is likeliest")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if (min(args.minutes, args.frames, args.population - 3, args.dreams) <= 0
            or min(args.noise, args.temperature) < 0):
        raise SystemExit("--minutes, --frames and --dreams must be more than 0, --population more than 3, "
                         "--noise and --temperature at least 0")
    folder = data.game_folder(args.data, args.game)
    model = Model(args.model or folder / "model")
    if "readout" not in model.meta:
        raise SystemExit(f"{model.folder} does not tell metres: record with a score, then train and export")

    folder.mkdir(parents=True, exist_ok=True)
    state, search = open_search(folder / "player_resume.json", args, model)

    start = last = time.perf_counter()
    left = args.minutes
    while left > 0:
        # A generation: the same starts and noise for all
        candidates = np.array(search.ask())
        seeds = state["generation"] * args.dreams + np.arange(args.dreams)
        players = Player(np.repeat(candidates, args.dreams, 0), model.meta["dz_std"])
        metres, _ = dream_lives(model, players, args.frames, np.tile(seeds, args.population), args)
        search.tell(candidates, -metres.reshape(-1, args.dreams).mean(1))
        state["generation"] += 1
        if state["generation"] % EVERY:
            continue

        # Measure the middle of the search, in longer dreams
        state |= {"mean": search.mean.tolist(), "sigma": float(search.sigma)}
        middle = Player(np.repeat(search.mean[None], STARTS, 0), model.meta["dz_std"])
        metres, life = dream_lives(model, middle, 2 * args.frames, np.arange(STARTS), args)
        now = time.perf_counter()
        state["seconds"], last, left = state["seconds"] + now - last, now, args.minutes - (now - start) / 60
        print(f"generation {state['generation']:4d} | {2 * args.frames} dreamed frames: mean "
              f"{np.mean(metres):5.1f} m, {min(metres):5.1f} to {max(metres):5.1f} m, lives of "
              f"{np.mean(life):.0f} frames | {max(left, 0):.1f} min left", flush=True)
        with data.disk_errors(folder):
            keep(folder, args, model, state, float(np.mean(metres)))
    print(f"best: {best_of(model, args):.1f} m in {2 * args.frames} dreamed frames, in "
          f"{model.folder / 'player.json'}; look at {folder / 'player.png'}")


if __name__ == "__main__":
    data.run(main, "the same command goes on after the last report")
