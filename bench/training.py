"""How fast both trainings and the encoder are, beside what the machine can multiply; how long recipes take.

Reads and writes nothing: frames and latents are random, which changes no speed

    python bench/training.py                               # 5 minutes: 60 s of each
    python bench/training.py --seconds 10 --original       # also the original's networks and recipe
"""
import json
import os
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent.parent))
import data  # noqa: E402
import train_ae  # noqa: E402
import train_lstm  # noqa: E402
from engine import training  # noqa: E402
from engine.muon import make_optimizer  # noqa: E402

FRAMES = 256        # of an episode
# Frames that a recipe trains on in all its epochs: autoencoder, dynamics, of these with rollouts
RECIPES = {"default": (12 * 46_336, 4 * 972_800, 972_800), "seed": (160 * 45_000, 20 * 9_200_000, 0)}


def seconds_of(function, device, least):
    """Seconds of one call, on average over at least so many seconds of calls."""
    def synchronise():
        if device.type == "cuda":
            torch.cuda.synchronize()

    function()  # allocates, and chooses its kernels
    synchronise()
    start, calls = time.perf_counter(), 0
    while (now := time.perf_counter()) < start + least or not calls:
        function()
        synchronise()
        calls += 1
    return (now - start) / calls


def matmul_rate(device, dtype, size=2048):
    """Operations a second of a product of two large matrices: 2 x size^3 of them."""
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    return 2 * size ** 3 / seconds_of(lambda: a @ b, device, 1)


def operations(function):
    """Multiplications and additions of matrices and convolutions in one call."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def works(original, device, autocast):
    """The steps to measure -> {name: (function, frames of a call, operations of a call)}."""
    with mock.patch("sys.argv", ["bench", *["--original"] * original]):
        ae_args, lstm_args = train_ae.parse(), train_lstm.parse()
    rng = np.random.default_rng(0)

    def stepper(model, args, loss_of):
        optimizer = make_optimizer(model, args.lr, args.muon, args.weight_decay)

        def step():
            loss = loss_of()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        return step

    autoencoder, _, _ = train_ae.make_model(ae_args, device)
    frames = torch.from_numpy(rng.integers(0, 256, (ae_args.batch, 96, 96, 3), np.uint8)).to(device)
    weights = {"edge": ae_args.edge, "interpretability": ae_args.interpretability}
    ae_step = stepper(autoencoder, ae_args, lambda: train_ae.train_step(
        autoencoder, frames, ae_args.clip_len, weights, autocast)[0])
    batch = lstm_args.batch, FRAMES
    latents = data.Latents(np.arange(batch[0]), rng.normal(size=(*batch, 16)).astype(np.float32),
                           rng.integers(0, 2, (*batch, 4), np.uint8), *np.zeros((2, *batch), bool), {})
    dynamics, _ = train_lstm.make_model(lstm_args, latents, latents.numbers, device)
    z, keys, over, _ = train_lstm.to_tensors(latents, latents.numbers, device)

    def dynamics_loss(rollout):
        with autocast():
            return train_lstm.train_step(dynamics, z, keys, over, dynamics.dz_std, lstm_args, rollout)

    @torch.no_grad()
    def encode():
        autoencoder.encoder(frames[:128])

    # Each weight of a matrix multiplies and adds once a frame, and twice more in the backward pass
    of_dynamics = 6 * sum(w.numel() for w in dynamics.parameters() if w.ndim > 1) * batch[0] * FRAMES
    found = {"autoencoder": (ae_step, ae_args.batch, operations(ae_step)),
             "dynamics": (stepper(dynamics, lstm_args, lambda: dynamics_loss(0)), batch[0] * FRAMES,
                          of_dynamics),
             "encoding": (encode, len(frames[:128]), operations(encode))}
    if not original:
        found["dynamics with rollouts"] = (
            stepper(dynamics, lstm_args, lambda: dynamics_loss(lstm_args.rollout)), batch[0] * FRAMES,
            2 * of_dynamics)
    return found


def measure(seconds, device, original):
    """-> {name: {frames_s, operations (a frame), limit (frames/s at the matmul rate)}}; matmul: that rate;
    recipes: their seconds."""
    device, autocast = training.pick_device(device)
    rate = matmul_rate(device, torch.bfloat16 if training.has_bfloat16(device) else torch.float32)
    figures = {"matmul": rate}
    for name, (function, frames, count) in works(original, device, autocast).items():
        figures[name] = {"frames_s": frames / seconds_of(function, device, seconds),
                         "operations": count / frames, "limit": rate * frames / count}
    speed = {name: figures[name]["frames_s"] for name in figures if name != "matmul"}
    figures["recipes"] = {name: (ae / speed["autoencoder"] + (lstm - rollouts) / speed["dynamics"]
                                 + rollouts / speed.get("dynamics with rollouts", speed["dynamics"]))
                          for name, (ae, lstm, rollouts) in RECIPES.items()}
    return figures


def main():
    parser = data.bare_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long to measure each")
    parser.add_argument("--device", help="cpu, cuda or mps; the best by default")
    parser.add_argument("--original", action="store_true", help="also the original's")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = {who: measure(args.seconds, args.device, who == "original")
               for who in ("here", *["original"] * args.original)}
    if args.json:
        print(json.dumps(results))
        return
    for who, figures in results.items():
        print(f"{who}: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
              f"products of matrices at {figures.pop('matmul') / 1e9:,.0f} GFLOP/s")
        recipes = figures.pop("recipes")
        for name, f in figures.items():
            print(f"{name:24} {f['frames_s']:12,.0f} frames/s, {f['operations'] / 1e6:6.1f} MFLOP each: "
                  f"{f['frames_s'] / f['limit']:6.1%} of {f['limit']:,.0f} frames/s")
        print(", ".join(f"{name} recipe {seconds / 3600:.2f} hours" for name, seconds in recipes.items()))


if __name__ == "__main__":
    main()
