"""Measure a dream: how sharp it can be, how well it follows the real game, how long it holds.

Reads   a model folder (export.py), and held-out recorded episodes of data/<game>/frames
Writes  data/<game>/report/report.json, rollout.png, lives.png, filmstrip.png (true, dreamed, difference),
        clip.gif (true and dreamed side by side)

    python evaluate.py --game runner        # about two minutes on 2 cores

Needs no torch. Everything is measured on whole episodes that training never saw; only the probe that tells a fall from
z is fitted on others.

Shapes: B episodes, T frames, Z latent features, K keys, N dreams side by side
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tqdm import tqdm

import data
import policies
import report

WARM_UP = 10                         # true frames before a dream begins
SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0)  # game seconds over which the error of a dream is summed
MOVING = 24                          # levels by which a pixel differs from the median picture where something moves


def pieces(rows, size=128):
    """Rows in pieces of at most `size`: enough at a time for the memory."""
    return np.array_split(rows, -(-len(rows) // size))


class Model:
    """A model folder in onnxruntime."""

    def __init__(self, folder):
        self.meta = data.read_json(folder / "meta.json")
        if self.meta is None:
            raise SystemExit(f"no model in {folder}: run  python export.py  first")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.encoder, self.decoder, self.dynamics = (
            onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
            for name in ("encoder", "decoder", "dynamics"))
        self.layers, _, self.hidden = next(i.shape for i in self.dynamics.get_inputs() if i.name == "h")

    def encode(self, frames):
        """uint8 (N, 96, 96, 3) -> z (N, Z)"""
        return np.concatenate([self.encoder.run(["z"], {"frames": part})[0] for part in pieces(frames)])

    def decode(self, z):
        """z (N, Z) -> uint8 (N, 96, 96, 3)"""
        return np.concatenate([self.decoder.run(["rgba"], {"z": part})[0][..., :3] for part in pieces(z)])

    def zeros(self, n):
        """The LSTM's state before a life: h, c."""
        return [np.zeros((self.layers, n, self.hidden), np.float32)] * 2

    def step(self, z, keys, h, c):
        """One frame for N dreams: z (N, Z), keys (N, K) -> z_next, h, c"""
        feed = {"z": z, "keys": keys.astype(np.float32), "h": h, "c": c}
        return self.dynamics.run(["z_next", "h_next", "c_next"], feed)

    def follow(self, z, keys):
        """One step ahead from every true z (teacher forcing): z (B, T, Z), keys (B, T, K) -> z_next (B, T, Z)"""
        state, predicted = self.zeros(len(z)), []
        for t in range(z.shape[1]):
            z_next, *state = self.step(z[:, t], keys[:, t], *state)
            predicted.append(z_next)
        return np.stack(predicted, 1)

    def dream(self, z, keys, frames):
        """Warm up on true z (N, W, Z), then `frames` frames of dream under keys (N, W + frames, K) -> (N, frames, Z)"""
        state, dreamed, now = self.zeros(len(z)), [], z[:, 0]
        for t in range(z.shape[1] + frames - 1):
            now, *state = self.step(z[:, t] if t < z.shape[1] else now, keys[:, t], *state)
            if t >= z.shape[1] - 1:
                dreamed.append(now)
        return np.stack(dreamed, 1)


def fall_probe(z, restart):
    """Weights (Z + 1) of a linear probe that tells a fall from z: above 0.5 where the next frame is a new life.

    z (B, T, Z), restart (B, T); least squares, both classes weighing the same."""
    x, y = z[:, :-1].reshape(-1, z.shape[2]), restart[:, 1:].ravel()
    weight = np.sqrt(np.where(y, 1 / max(y.sum(), 1), 1 / max((~y).sum(), 1)))[:, None]
    x = np.hstack([x, np.ones((len(x), 1))])
    return np.linalg.lstsq(x * weight, y * weight[:, 0], rcond=None)[0]


def lives(fallen):
    """Falls (rising edges) in fallen bool (N, T) -> (falls per 1,000 frames, lengths of the lives between them)."""
    starts = fallen[:, 1:] & ~fallen[:, :-1]
    lengths = [n for row in starts for n in np.diff(np.flatnonzero(row))]
    return 1000 * starts.sum() / starts.size, np.array(lengths)


def measure_ceiling(model, frames, z):
    """What the autoencoder keeps: PSNR and SSIM of decode(encode(frame)), whole and where something moves."""
    rebuilt = model.decode(z)
    moving = (np.abs(frames.astype(int) - np.median(frames[::7], axis=0)).max(-1) > MOVING)
    return {"psnr_db": report.psnr(rebuilt, frames), "psnr_moving_db": report.psnr(rebuilt[moving], frames[moving]),
            "ssim": report.ssim(rebuilt[::5], frames[::5])}


def measure_rollouts(model, frames, z, keys, frame_s):
    """Dreams from every 32nd frame of the held-out episodes beside the truth -> figures, curves, pictures.

    frames (B, T, 96, 96, 3), z (B, T, Z), keys (B, T, K). The error is that of the pictures, summed from the start. A
    dream is as long as the last of SECONDS, or as the episodes allow."""
    length = min(round(SECONDS[-1] / frame_s), z.shape[1] - WARM_UP)
    ends = {s: round(s / frame_s) for s in SECONDS if 1 <= round(s / frame_s) <= length}  # seconds: frames
    if not ends:
        raise SystemExit(f"episodes of {z.shape[1]} frames are too short: {WARM_UP} true ones come before a dream of "
                         f"at least {SECONDS[0]} s, a frame is {frame_s} s")
    median = np.median(frames[:, ::7], axis=(0, 1))
    squared, rows, clip = {"dream": [], "persistence": []}, [], []
    masked = {"dream": [], "persistence": []}
    for start in tqdm(range(0, z.shape[1] - WARM_UP - length + 1, 32), desc="rollouts", unit="start"):
        dream = model.dream(z[:, start:start + WARM_UP], keys[:, start:start + WARM_UP + length], length)
        for b in range(len(z)):
            truth = frames[b, start + WARM_UP:start + WARM_UP + length]
            last = frames[b, start + WARM_UP - 1]
            mask = np.abs(truth - median).max(-1) > MOVING
            painted = model.decode(dream[b])
            for name, pictures in (("dream", painted), ("persistence", last[None])):
                error = np.square(pictures.astype(np.float32) - truth).mean(-1)
                squared[name].append(error.mean((1, 2)))
                masked[name].append((error * mask).sum((1, 2)) / np.maximum(mask.sum((1, 2)), 1))
            if start == 0 and b < 3:
                shown = np.arange(0, min(length, 24), 2)
                difference = 255 - np.abs(painted[shown].astype(int) - truth[shown]).astype(np.uint8)
                rows += [truth[shown], painted[shown], difference]
                clip.append(np.concatenate([truth, painted], axis=2))
    figures, curves = {}, {}
    for name, errors in (("whole", squared), ("moving", masked)):
        summed = {k: np.cumsum(np.mean(v, axis=0)) for k, v in errors.items()}
        gain = 10 * np.log10(summed["persistence"] / summed["dream"])
        figures[f"gain_db_{name}"] = {str(s): round(float(gain[n - 1]), 2) for s, n in ends.items()}
        worse = np.flatnonzero(gain <= 0)
        figures[f"valid_horizon_s_{name}"] = round(float((worse[0] if len(worse) else length) * frame_s), 2)
        curves[name] = gain
    return figures, curves, rows, np.concatenate(clip)


def measure_stability(model, z, probe, real_distance, frames, seed):
    """Dreams of that many frames under random, no and all keys from a real start
    -> figures, fallen bool (1, T) under random keys.

    frozen: no feature moves by a thousandth of its spread; exploded: a feature leaves the training range by its width;
    off-manifold: z is further from encode(decode(z)) than 99% of real ones, twice over."""
    keys_count = len(model.meta["keys"])
    played = {"random": policies.random_keys(frames, keys_count, np.random.default_rng([seed, 0])),
              "none": np.zeros((frames, keys_count)), "all": np.ones((frames, keys_count))}
    keys = np.stack(list(played.values()))
    state, now = model.zeros(3), np.repeat(np.array([model.meta["starts"][0]["z"]], np.float32), 3, 0)
    dream = np.empty((3, frames, now.shape[1]), np.float32)
    for t in tqdm(range(frames), desc="stability", unit="frame"):
        now, *state = model.step(now, keys[:, t], *state)
        dream[:, t] = now
    spread = z.reshape(-1, z.shape[-1]).std(0)
    low, high = (np.array(model.meta[k]) for k in ("z_low", "z_high"))
    figures = {}
    for name, path in zip(played, dream):
        bad = ~np.isfinite(path).all(-1)
        path = np.nan_to_num(path, posinf=1e6, neginf=-1e6)
        sample = np.clip(path[::10], -1e3, 1e3)
        distance = np.linalg.norm((model.encode(model.decode(sample)) - sample) / spread, axis=-1)
        figures[name] = {
            "frozen": float((np.abs(np.diff(path, axis=0)) < 1e-3 * spread).all(-1).mean()),
            "exploded": float((bad | ((path < 2 * low - high) | (path > 2 * high - low)).any(-1)).mean()),
            "off_manifold": float((distance > 2 * real_distance).mean()),
            "spread": float((path.std(0) / spread).mean())}
    return figures, (np.hstack([dream[0], np.ones((frames, 1))]) @ probe > 0.5)[None]


def measure_speed(model, z, frames=300):
    """Milliseconds a dreamed and painted frame, one at a time -> p50, p95."""
    state, now, times = model.zeros(1), z[0, :1], []
    keys = np.zeros((1, len(model.meta["keys"])), np.float32)
    for _ in range(frames):
        start = time.perf_counter()
        now, *state = model.step(now, keys, *state)
        model.decode(now)
        times.append(1000 * (time.perf_counter() - start))
    return {"p50_ms": float(np.median(times)), "p95_ms": float(np.quantile(times, 0.95))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="runner")
    parser.add_argument("--data", default="data", help="folder of all recordings")
    parser.add_argument("--model", type=Path, help="model folder; data/<game>/model by default")
    parser.add_argument("--episodes", type=int, default=20, help="held-out episodes to measure on, at most")
    parser.add_argument("--dream-frames", type=int, default=10_000, help="length of the dreams that show stability")
    parser.add_argument("--seed", type=int, default=12345, help="of the random keys of long dreams")
    args = parser.parse_args()

    folder = data.game_folder(args.data, args.game)
    model = Model(args.model or folder / "model")
    there = list(data.episode_files(folder / "frames"))
    chosen = [n for n in there if data.is_held_out(n)][:args.episodes]
    chosen += [n for n in there if not data.is_held_out(n)][:40]
    episodes = list(data.load_episodes(folder / "frames", wanted=set(chosen).__contains__))
    held_out, fitted_on = ([arrays for n, arrays in episodes if data.is_held_out(n) == wish] for wish in (True, False))
    if not held_out:
        raise SystemExit(f"no held-out episode in {folder / 'frames'}: every {data.HELD_OUT}th is one, record more")
    frames, keys = (np.stack([e[k] for e in held_out]) for k in ("frames", "keys"))
    frame_s = model.meta["frame_ms"] / 1000

    flat = frames.reshape(-1, *frames.shape[2:])
    z = model.encode(flat).reshape(*frames.shape[:2], -1)
    spread = z.reshape(-1, z.shape[-1]).std(0)
    again = model.encode(model.decode(z[:, ::5].reshape(-1, z.shape[-1])))
    real_distance = np.quantile(np.linalg.norm((again - z[:, ::5].reshape(again.shape)) / spread, axis=-1), 0.99)
    probe = fall_probe(np.stack([model.encode(e["frames"]) for e in fitted_on]),
                       np.stack([e["restart"] for e in fitted_on]))

    predicted = model.follow(z, keys)[:, :-1]
    alive = ~np.stack([e["restart"] for e in held_out])[:, 1:]
    error, still = np.square(predicted - z[:, 1:]), np.square(z[:, :-1] - z[:, 1:])
    figures = {"frames": len(flat), "ceiling": measure_ceiling(model, flat, z.reshape(len(flat), -1)),
               "one_step_skill": float(1 - error.mean() / still.mean()),
               "one_step_skill_alive": float(1 - error[alive].mean() / still[alive].mean())}
    rollouts, curves, rows, clip = measure_rollouts(model, frames, z, keys, frame_s)
    stability, dreamed_fallen = measure_stability(model, z, probe, real_distance, args.dream_frames,
                                                  args.seed)
    real_fallen = np.stack([e["restart"] for e in held_out + fitted_on])
    dreamed, real = lives(dreamed_fallen), lives(real_fallen)
    figures |= {"rollout": rollouts, "stability": stability, "speed": measure_speed(model, z),
                "falls": {name: {"per_1000_frames": float(rate),
                                 "median_life_frames": float(np.median(n)) if len(n) else None}
                          for name, (rate, n) in (("real", real), ("dreamed", dreamed))}}

    out = folder / "report"
    with data.disk_errors(out):
        out.mkdir(exist_ok=True)
        data.write_json(out / "report.json", figures)
        report.draw_strip(out / "filmstrip.png", rows, scale=2)
        report.draw_clip(out / "clip.gif", clip, model.meta["frame_ms"])
        seconds = (np.arange(len(curves["whole"])) + 1) * frame_s
        report.draw_lines(out / "rollout.png", {name: (seconds, curve) for name, curve in curves.items()},
                          "game seconds", "gain over persistence, dB")
        report.draw_histograms(out / "lives.png", {"real": real[1] * frame_s, "dreamed": dreamed[1] * frame_s},
                               "length of a life, game seconds")
    print(json.dumps(figures, indent=1))
    print(f"look at filmstrip.png, clip.gif, rollout.png and lives.png in {out}")


if __name__ == "__main__":
    main()
