"""Measure dreams: how sharp they can be, how well they follow the real game and its keys, how long they hold.

Reads   model folders (export.py), held-out episodes (collect.py --held-out): data/<game>/held_out or held_out/<game>
Writes  data/<game>/report/report.json, table.md, rollout.png, survival.png, control.png, lives.png,
        filmstrip.png (true, dreamed, difference), clip.gif (true and dreamed side by side)

    python evaluate.py --game runner                         # data/runner/model; about 3 minutes on 2 cores
    python evaluate.py --game runner --compare docs/model/runner          # beside another model
    python evaluate.py --game runner --compare docs/report/runner         # beside those of an earlier report

Needs no torch. Everything is measured on whole episodes that training never saw, by the kind of keys that played them:
random, gait, human-like, and keys that are held all the time. The probe that reads poses from z is fitted on other
episodes than those it measures; only the effect of the combinations of keys is read by one that has seen them, too.

Shapes: B episodes, T frames, Z latent features, K keys, N dreams side by side, P body parts
"""
import argparse
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import data
import metrics
from capture import policies
import plots
from data import CONTEXT
from dream import Model

HERE = Path(__file__).parent
SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0)  # game seconds over which the error of a dream is summed
MOVING = 24                          # levels by which a pixel differs from the median picture where something moves
FOLDS = 4                            # a probe that measures one episode in 4 is fitted on the other three


# ----------------------------------------------------------------------------------------------------------- probes

class Probe:
    """Reads numbers from z: ridge regression on random Fourier features (Rahimi and Recht 2007)."""

    def __init__(self, z, y, features=1000, scale=0.1, ridge=0.03):
        """Fit on z (N, Z), y (N, M)."""
        chance = np.random.default_rng(0)
        self.mean, self.std = z.mean(0), z.std(0) + 1e-6
        self.weight = chance.normal(0, scale, (z.shape[1], features))
        self.phase = chance.uniform(0, 2 * np.pi, features)
        x = self.lift(z)
        self.out = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)

    def lift(self, z):
        x = (z - self.mean) / self.std
        return np.concatenate([np.cos(x @ self.weight + self.phase), x, np.ones((*x.shape[:-1], 1))], axis=-1)

    def __call__(self, z):
        """z (..., Z) -> (..., M)"""
        return self.lift(z) @ self.out


def folds_of(kinds):
    """For each fold, the frames that its probe may be fitted on: lists of (kind, numbers of episodes)."""
    whole = [(kind, np.arange(len(kinds[kind]["frames"]))) for kind in kinds]
    return [[(kind, n[n % FOLDS != fold] if kind != "choices" else n) for kind, n in whole] for fold in range(FOLDS)]


def fit_probes(kinds, z):
    """-> a function: number of an episode -> the Probe that reads sin and cos of the angles of all bodies in it; None
    where the game tells no pose."""
    if not all("pose" in arrays for arrays in kinds.values()):
        return None
    angles = {kind: sincos(arrays["pose"][..., 2]) for kind, arrays in kinds.items()}
    probes = [Probe(*(np.concatenate([a[kind][n].reshape(-1, a[kind].shape[-1]) for kind, n in fold])
                      for a in (z, angles))) for fold in folds_of(kinds)]
    return lambda episode: probes[episode % FOLDS]


def sincos(angles):
    """Angles (..., P) -> (..., 2P)"""
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)


def degrees_off(read, angles):
    """What a pose probe reads (..., 2P) against true angles (..., P) -> mean absolute error in degrees (...)."""
    sin, cos = np.split(read, 2, axis=-1)
    return np.degrees(np.abs(np.angle(np.exp(1j * (np.arctan2(sin, cos) - angles)))).mean(-1))


class FallDetector:
    """Tells by the pictures that a model paints the frames in which a life has ended: linear ridge regression on their
    colours, averaged over blocks of 8x8 pixels. It is fitted on real z, and its threshold lies in the middle of those
    that find as many falls there as there are.

    Not by z: there a soft posture near the ground is close to the end of a life, but nobody who sees it takes it for
    one."""

    def __init__(self, model, kinds, z):
        self.model = model
        chosen = [kind for kind in kinds if kind != "choices"]
        colours = {kind: self.colours(z[kind]) for kind in chosen}
        x = np.concatenate([rows.reshape(-1, rows.shape[-1]) for rows in colours.values()])
        over = {kind: kinds[kind]["over"] for kind in chosen}
        y = np.concatenate([rows.ravel() for rows in over.values()]).astype(float)
        self.weight = np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ y)
        wanted = sum(count_falls(rows) for rows in over.values())
        levels = np.linspace(0.05, 0.95, 91)
        missed = np.array([abs(sum(count_falls(colours[kind] @ self.weight > level) for kind in chosen) - wanted)
                           for level in levels])
        self.level = np.median(levels[missed == missed.min()])

    def colours(self, z):
        """z (N, T, Z) -> what is seen of its pictures (N, T, 433), the last one 1"""
        seen = np.ones((*z.shape[:2], 12 * 12 * 3 + 1))
        for row, out in zip(z, seen):
            painted = self.model.decode(row).reshape(-1, 12, 8, 12, 8, 3)
            out[:, :-1] = painted.mean((2, 4)).reshape(len(row), -1) / 255
        return seen

    def __call__(self, z):
        """z (N, T, Z) -> bool (N, T)"""
        return self.colours(z) @ self.weight > self.level


def count_falls(over):
    """Rising edges in over bool (N, T)."""
    return int((over[:, 1:] & ~over[:, :-1]).sum())


def life_lengths(over):
    """Frames between one fall and the next in over bool (N, T) -> int (lives,)"""
    rises = over[:, 1:] & ~over[:, :-1]
    return np.array([n for row in rises for n in np.diff(np.flatnonzero(row))], int)


# --------------------------------------------------------------------------------------------------------- measuring

def measure_ceiling(model, arrays, z, probes, median):
    """What the autoencoder keeps of one kind of episodes: PSNR and SSIM of decode(encode(frame)), whole and where
    something moves; error of the poses that the probe reads from the true z."""
    frames = arrays["frames"].reshape(-1, *arrays["frames"].shape[2:])
    rebuilt = model.decode(z.reshape(len(frames), -1))
    moving = np.abs(frames - median).max(-1) > MOVING
    figures = {"psnr_db": metrics.psnr(rebuilt, frames), "psnr_moving_db": metrics.psnr(rebuilt[moving], frames[moving]),
               "ssim": metrics.ssim(rebuilt[::5], frames[::5])}
    if probes:
        figures["probe_degrees"] = float(np.mean([degrees_off(probes(e)(z[e]), arrays["pose"][e, ..., 2])
                                                  for e in range(len(z))]))
    return figures


def measure_one_step(model, arrays, z):
    """Skill one step ahead: 1 - MSE / MSE of persistence in z, each feature scaled to unit variance; and without the
    steps into a new life."""
    error, still = model.one_step(z, arrays["keys"])[:, :-1] - z[:, 1:], z[:, :-1] - z[:, 1:]
    error, still = (np.square(x / z.reshape(-1, z.shape[-1]).std(0)).mean(-1) for x in (error, still))
    alive = ~arrays["restart"][:, 1:]
    return {"skill": float(1 - error.mean() / still.mean()),
            "skill_alive": float(1 - error[alive].mean() / still[alive].mean())}


def measure_rollouts(model, arrays, z, probes, median, chance):
    """Dreams from every 32nd frame of one kind of episodes beside the truth -> figures, curves (frames,), pictures.

    The error is that of the pictures, summed from the start. A dream is as long as the last of SECONDS, or as the
    episodes allow. Control: what is lost when the true keys are replaced by random ones."""
    frames, keys, frame_s = arrays["frames"], arrays["keys"], model.frame_s
    length = min(round(SECONDS[-1] / frame_s), z.shape[1] - CONTEXT)
    ends = {s: round(s / frame_s) for s in SECONDS if 1 <= round(s / frame_s) <= length}  # seconds: frames
    if not ends:
        raise SystemExit(f"episodes of {z.shape[1]} frames are too short: {CONTEXT} true ones come before a dream of "
                         f"at least {SECONDS[0]} s, a frame is {frame_s} s")
    squared = {name: [] for name in ("dream", "persistence", "ceiling", "other keys")}
    masked, poses, strip, clip = {name: [] for name in squared}, {"dream": [], "persistence": [], "true z": []}, [], []
    for start in range(0, z.shape[1] - CONTEXT - length + 1, 32):
        warm, span = slice(start, start + CONTEXT), slice(start + CONTEXT, start + CONTEXT + length)
        played = keys[:, start:span.stop]
        other = played.copy()
        for row in other:
            row[CONTEXT - 1:] = policies.random_keys(length + 1, keys.shape[2], chance)
        dream, lost = (model.rollout(z[:, warm], k, length) for k in (played, other))
        for b in range(len(z)):
            truth, last = frames[b, span].astype(np.float32), frames[b, span.start - 1]
            mask = np.abs(truth - median).max(-1) > MOVING
            painted = {"dream": model.decode(dream[b]), "persistence": last[None], "ceiling": model.decode(z[b, span]),
                       "other keys": model.decode(lost[b])}
            for name, pictures in painted.items():
                error = np.square(pictures - truth).mean(-1)
                squared[name].append(error.mean((1, 2)))
                masked[name].append((error * mask).sum((1, 2)) / np.maximum(mask.sum((1, 2)), 1))
            if probes:
                angles = arrays["pose"][b, span, :, 2]
                for name, path in (("dream", dream[b]), ("persistence", z[b, span.start - 1][None]),
                                   ("true z", z[b, span])):
                    poses[name].append(degrees_off(probes(b)(path), angles))
            if start == 0 and b < 1:
                shown = np.arange(0, min(length, 24), 2)
                difference = 255 - np.abs(painted["dream"][shown] - truth[shown]).astype(np.uint8)
                strip += [frames[b, span][shown], painted["dream"][shown], difference]
                clip.append(np.concatenate([frames[b, span], painted["dream"]], axis=2))
    figures, curves = {}, {}
    for name, errors in (("whole", squared), ("moving", masked)):
        summed = {k: np.cumsum(np.mean(v, axis=0)) for k, v in errors.items()}
        gains = {k: 10 * np.log10(summed["persistence"] / v) for k, v in summed.items()}
        figures[f"gain_db_{name}"] = {str(s): float(gains["dream"][n - 1]) for s, n in ends.items()}
        worse = np.flatnonzero(gains["dream"] <= 0)
        figures[f"valid_horizon_s_{name}"] = float((worse[0] if len(worse) else length) * frame_s)
        figures[f"control_db_{name}"] = {str(s): float((gains["dream"] - gains["other keys"])[n - 1])
                                         for s, n in ends.items() if 0.5 <= s <= 1}
        curves |= {f"{name}, {k}": v for k, v in gains.items()}
    if probes:
        error = {name: np.mean(rows, axis=0) for name, rows in poses.items()}
        figures["pose_degrees"] = {str(s): {name: float(row[n - 1]) for name, row in error.items()}
                                   for s, n in ends.items()}
        figures["pose_over_persistence"] = {str(s): float(error["dream"][n - 1] / error["persistence"][n - 1])
                                            for s, n in ends.items()}
        curves["pose"] = error["dream"] / error["persistence"]
    return figures, curves, strip, np.concatenate(clip)


def measure_choices(model, arrays, z, probes):
    """Every combination of keys from the same real moments -> figures, matrix (C, C).

    step: cosine between dreamed and real step of z. effect: the same half a second later, for the poses that a probe
    reads (z where there are none), less their mean over the combinations: what is left is what the keys did. The matrix
    has the effect of each dreamed combination (row) against each real one (column)."""
    count = len(policies.combinations(arrays["keys"].shape[2]))
    seen, length = policies.FORK, z.shape[1]
    dream = model.rollout(z[:, :seen], arrays["keys"], length - seen)                   # (M C, frames, Z)
    after = min(max(round(0.5 / model.frame_s), 1), length - seen)

    def by_moment(x):
        return x.reshape(-1, count, *x.shape[1:])

    alive = ~by_moment(arrays["restart"][:, 1:]).any((1, 2))  # moments without a fall
    if not alive.any():
        return {}, np.zeros((count, count))
    steps = [by_moment(x - z[:, seen - 1])[alive] for x in (dream[:, 0], z[:, seen])]
    read = probes(0) if probes else (lambda z: z)
    effects = [by_moment(read(x))[alive] for x in (dream[:, after - 1], z[:, seen + after - 1])]
    dreamed, real = (x - x.mean(1, keepdims=True) for x in effects)
    unit = [x / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-9) for x in (*steps, dreamed, real)]
    matrix = np.einsum("mif,mjf->ij", unit[2], unit[3]) / alive.sum()
    return {"step_cosine": float((unit[0] * unit[1]).sum(-1).mean()), "effect_cosine": float(np.trace(matrix) / count),
            "effect_size": float(np.linalg.norm(dreamed) / np.linalg.norm(real)), "moments": int(alive.sum())}, matrix


def manifold_distance(model, z, spread):
    """How far z (N, Z) lies from encode(decode(z)), in spreads of the real z -> (N,)"""
    return np.linalg.norm((model.encode(model.decode(z)) - z) / spread, axis=-1)


def measure_stability(model, kinds, frames, chance):
    """Long dreams from every start state under four kinds of keys -> figures, share of them on the manifold by time.

    frozen: no feature moves by a thousandth of its spread; exploded: a feature leaves the training range by its width;
    off-manifold: z is further from encode(decode(z)) than 99% of real ones, twice over; spread: std of z over that of
    all real z; real_spread: the same of real play under such keys. kinds: the real z (E, T, Z) by kind of keys."""
    z = np.concatenate([rows.reshape(-1, rows.shape[-1]) for rows in kinds.values()])
    held = kinds.get("held", ())  # the first two of its episodes: no key, all keys
    real = {"random": kinds.get("random", ()), "human": kinds.get("human", ()), "none": held[:1], "all": held[1:2]}
    keys_count, starts, z_count = len(model.meta["keys"]), model.meta["starts"], z.shape[1]
    tpf, n = model.meta["ticks_per_frame"], len(model.meta["starts"])
    played = {"random": [policies.random_keys(frames, keys_count, chance) for _ in starts],
              "human": [policies.human_keys(frames, keys_count, tpf, chance) for _ in starts],
              "none": np.zeros((n, frames, keys_count)), "all": np.ones((n, frames, keys_count))}
    keys = np.concatenate([np.stack(rows) for rows in played.values()])
    now = np.tile(np.array([start["z"] for start in starts], np.float32), (len(played), 1))
    zero = np.zeros((model.layers, model.hidden))
    state = [np.tile(np.array([start.get(name, zero) for start in starts], np.float32).swapaxes(0, 1),
                     (1, len(played), 1)) for name in "hc"]
    dream = np.empty((len(keys), frames, z_count), np.float32)
    for t in tqdm(range(frames), desc=f"{len(keys)} dreams", unit="frame"):
        now, *state = model.step(now, keys[:, t], *state)
        dream[:, t] = now
    spread = z.std(0)
    real_distance = np.quantile(manifold_distance(model, z[::5], spread), 0.99)
    low, high = (np.array(model.meta[k]) for k in ("z_low", "z_high"))

    def spread_of(rows):
        return float((rows.reshape(-1, z_count).std(0) / spread).mean()) if len(rows) else None

    figures, curves = {}, {}
    every = max(1, frames // 500)
    for k, name in enumerate(tqdm(played, desc="on the manifold?", unit="kind")):
        path = dream[k * n:(k + 1) * n]
        bad = ~np.isfinite(path).all(-1)
        path = np.nan_to_num(path, posinf=1e6, neginf=-1e6)
        sample = np.clip(path[:, ::every], -1e3, 1e3)
        off = (manifold_distance(model, sample.reshape(-1, z_count), spread) > 2 * real_distance).reshape(n, -1)
        figures[name] = {
            "frozen": float((np.abs(np.diff(path, axis=1)) < 1e-3 * spread).all(-1).mean()),
            "exploded": float((bad | ((path < 2 * low - high) | (path > 2 * high - low)).any(-1)).mean()),
            "off_manifold": float(off.mean()),
            "spread": spread_of(path), "real_spread": spread_of(real[name])}
        share = (~off).mean(0)
        curves[name] = np.arange(len(share)) * every * model.frame_s, share
    return figures, curves


def with_more(arrays, name):
    """Keys or over of the whole episodes of a kind and of those whose lives alone count, (B, T, ...)"""
    return np.concatenate([arrays[name], arrays[f"more_{name}"]]) if f"more_{name}" in arrays else arrays[name]


def measure_falls(model, kinds, z):
    """The same keys from the same start, played by the game and dreamed: falls in 1,000 frames, frames of a life.

    -> figures, lengths of the lives {kind: (real, dreamed)}"""
    figures, lengths, detector = {}, {}, FallDetector(model, kinds, z)
    for kind in tqdm([k for k in data.KINDS if k in kinds], desc="lives", unit="kind"):
        arrays = kinds[kind]
        keys, over = (with_more(arrays, name) for name in ("keys", "over"))
        warm = z[kind][:, :CONTEXT]
        if "more_frames" in arrays:
            warm = np.concatenate([warm, model.encode(arrays["more_frames"][:, :CONTEXT])])
        dreamed = detector(model.rollout(warm, keys, keys.shape[1] - CONTEXT))
        pair = {"real": over[:, CONTEXT:], "dreamed": dreamed}
        lengths[kind] = tuple(life_lengths(x) for x in pair.values())
        figures[kind] = {name: {"per_1000_frames": 1000 * count_falls(x) / x[:, 1:].size,
                                "mean_life_frames": float(n.mean()) if len(n) else None}
                         for (name, x), n in zip(pair.items(), lengths[kind])}
        figures[kind]["falls"] = count_falls(pair["real"])
    return figures, lengths


def measure_speed(model, z, frames=300):
    """Milliseconds a dreamed and painted frame, one at a time -> p50, p95."""
    state, now, times = model.zero_state(1), z[:1], []
    keys = np.zeros((1, len(model.meta["keys"])), np.float32)
    for _ in range(frames):
        start = time.perf_counter()
        now, *state = model.step(now, keys, *state)
        model.decode(now)
        times.append(1000 * (time.perf_counter() - start))
    return {"p50_ms": float(np.median(times)), "p95_ms": float(np.quantile(times, 0.95))}


def measure(model, kinds, dream_frames, seed):
    """All figures of one model -> report (a dict for JSON), what the plots show (a dict of arrays)."""
    z = {kind: model.encode(arrays["frames"]) for kind, arrays in tqdm(kinds.items(), desc=f"encode {model.folder}")}
    whole = [kind for kind in data.KINDS if kind in kinds]
    probes = fit_probes(kinds, z)
    figures, shown = {"kinds": {}}, {"curves": {}, "strip": [], "clip": []}
    for kind in tqdm(whole, desc="follow the game", unit="kind"):
        arrays, chance = kinds[kind], np.random.default_rng(seed)
        median = np.median(arrays["frames"][:, ::7], axis=(0, 1))
        rollouts, shown["curves"][kind], strip, clip = measure_rollouts(model, arrays, z[kind], probes, median, chance)
        figures["kinds"][kind] = {"frames": int(arrays["frames"].shape[0] * arrays["frames"].shape[1]),
                                  "ceiling": measure_ceiling(model, arrays, z[kind], probes, median),
                                  "one_step": measure_one_step(model, arrays, z[kind]), "rollout": rollouts}
        shown["strip"] += strip
        shown["clip"].append(clip)
    if "choices" in kinds:
        figures["choices"], shown["control"] = measure_choices(model, kinds["choices"], z["choices"], probes)
    figures["stability"], shown["survival"] = measure_stability(model, {kind: z[kind] for kind in whole},
                                                               dream_frames, np.random.default_rng(seed))
    figures["falls"], shown["lives"] = measure_falls(model, kinds, z)
    figures["speed"] = measure_speed(model, z[whole[0]][0])
    return figures, shown


# ---------------------------------------------------------------------------------------------------------- showing

def table(reports):
    """The reports {name: figures} of some models of one game as a Markdown table, a column each. Cells with several
    numbers are for the kinds of keys in the order of the heading."""
    kinds = list(next(iter(reports.values()))["kinds"])
    lines = [f"| {' / '.join(kinds)} | " + " | ".join(reports) + " |", "|---" * (len(reports) + 1) + "|"]

    def row(title, cell, digits=2):
        """cell(report) -> a number, or a list of them, as far as there are any."""
        cells = []
        for figures in reports.values():
            try:
                values = cell(figures)
            except KeyError:
                return
            values = values if isinstance(values, list) else [values]
            cells.append(" / ".join("-" if v is None else f"{v:.{digits}f}" for v in values))
        lines.append(f"| {title} | " + " | ".join(cells) + " |")

    def each(*path):
        """-> a cell with the figure at that path of every kind."""
        def cell(figures):
            values = []
            for kind in kinds:
                value = figures["kinds"][kind]
                for name in path:
                    value = value[name]
                values.append(value)
            return values
        return cell

    def long(name, factor=1):
        return lambda figures: [kind[name] and factor * kind[name] for kind in figures["stability"].values()]

    def falls(who, name):
        return lambda figures: [kind[who][name] for kind in figures["falls"].values()]

    row("ceiling: PSNR, dB", each("ceiling", "psnr_db"), 1)
    row("ceiling where something moves, dB", each("ceiling", "psnr_moving_db"), 1)
    row("ceiling: SSIM", each("ceiling", "ssim"), 3)
    row("pose that a probe reads from the true z, degrees off", each("ceiling", "probe_degrees"), 1)
    row("one-step skill", each("one_step", "skill"))
    row("one-step skill within a life", each("one_step", "skill_alive"))
    for s in map(str, SECONDS):
        row(f"gain over persistence up to {s} s, dB", each("rollout", "gain_db_whole", s), 1)
    for s in ("0.5", "1.0"):
        row(f"the same where something moves, {s} s", each("rollout", "gain_db_moving", s), 1)
    row("better than persistence for, s", each("rollout", "valid_horizon_s_whole"), 1)
    for s in ("0.5", "1.0"):
        row(f"pose error over persistence's at {s} s", each("rollout", "pose_over_persistence", s))
    row("control: dB lost under other keys, up to 1 s", each("rollout", "control_db_whole", "1.0"), 1)
    row("control: cosine of the first step, all combinations", lambda f: f["choices"]["step_cosine"])
    row("control: cosine of what the keys have done after 0.5 s", lambda f: f["choices"]["effect_cosine"])
    names = " / ".join(next(iter(reports.values()))["stability"])
    row(f"long dreams ({names}): exploded, %", long("exploded", 100), 1)
    row("long dreams: off-manifold, %", long("off_manifold", 100), 1)
    row("long dreams: frozen, %", long("frozen", 100), 1)
    row("long dreams: spread of z, over that of all real play", long("spread"))
    row("the same of real play under such keys", long("real_spread"))
    row("falls in 1,000 frames, real", falls("real", "per_1000_frames"), 1)
    row("falls in 1,000 frames, dreamed", falls("dreamed", "per_1000_frames"), 1)
    row("frames of a life, real", falls("real", "mean_life_frames"), 1)
    row("frames of a life, dreamed", falls("dreamed", "mean_life_frames"), 1)
    row("milliseconds a frame, p50 and p95", lambda f: [f["speed"]["p50_ms"], f["speed"]["p95_ms"]], 1)
    return "\n".join(lines) + "\n"


def draw(out, model, reports, shown):
    """Write all plots. shown: {name of a model: what measure() shows}, the main one first. Of models that stand in
    `reports` alone, the rollout is drawn through the figures that are there."""
    first = next(iter(shown.values()))
    frame_s, kinds = model.frame_s, list(first["curves"])
    panels = {}
    for kind in kinds:
        curves = first["curves"][kind]
        x = (np.arange(len(curves["whole, dream"])) + 1) * frame_s
        panels[f"{kind} keys"] = lines = {"persistence": (x, 0 * x), "ceiling": (x, curves["whole, ceiling"])}
        for name, figures in reports.items():
            gains = figures["kinds"][kind]["rollout"]["gain_db_whole"]
            lines[name] = ((x, shown[name]["curves"][kind]["whole, dream"]) if name in shown else
                           ([float(s) for s in gains], list(gains.values())))
    plots.draw_panels(out / "rollout.png", panels, "game seconds", "gain over persistence, dB")
    panels = {f"{kind} keys": {name: one["survival"][kind] for name, one in shown.items()}
              for kind in first["survival"]}
    plots.draw_panels(out / "survival.png", panels, "game seconds", "share of dreams on the manifold", (0, 1.05))
    bins = {kind: {"real": lives[0] * frame_s, "dreamed": lives[1] * frame_s} for kind, lives in first["lives"].items()}
    plots.draw_histograms(out / "lives.png", bins, "length of a life, game seconds")
    if "control" in first:
        names = ["".join(k.replace("Arrow", "")[:1] for k, on in zip(model.meta["keys"], row) if on) or "-"
                 for row in policies.combinations(len(model.meta["keys"]))]
        plots.draw_matrix(out / "control.png", first["control"], names, "real keys", "dreamed keys")
    plots.draw_strip(out / "filmstrip.png", first["strip"], scale=2)
    plots.draw_clip(out / "clip.gif", np.concatenate(first["clip"]), model.meta["frame_ms"])


def rounded(value):
    """Figures with at most four digits behind the point, for JSON."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def read_report(folder, kinds):
    """The models of an earlier report, without measuring them again -> {name: figures}, without their speed, which may
    be that of another machine.

    Ends the program unless the game fell as often in the episodes they were measured on as in those of `kinds`."""
    reports = data.read_json(folder / "report.json")
    falls = {kind: count_falls(with_more(kinds[kind], "over")[:, CONTEXT:]) for kind in data.KINDS if kind in kinds}
    for name, figures in reports.items():
        if falls != {kind: x["falls"] for kind, x in figures["falls"].items()}:
            raise SystemExit(f"{folder}: {name} was measured on other episodes: name its model folder instead")
    return {name: figures | {"speed": dict.fromkeys(figures["speed"])} for name, figures in reports.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="runner")
    parser.add_argument("--data", default="data", help="folder of all recordings")
    parser.add_argument("--model", type=Path, help="model folder; data/<game>/model by default")
    parser.add_argument("--compare", type=Path, nargs="+", default=[], metavar="FOLDER",
                        help="other models of the same game, for the same table and plots: model folders, or folders "
                             "of earlier reports, whose models are not measured again")
    parser.add_argument("--held-out", type=Path, help="folder of held-out episodes; data/<game>/held_out by default, "
                                                      "or held_out/<game> of this repository")
    parser.add_argument("--out", type=Path, help="folder of the report; data/<game>/report by default")
    parser.add_argument("--dream-frames", type=int, default=10_000, help="length of the dreams that show stability")
    parser.add_argument("--seed", type=int, default=12345, help="of the keys that are made up here")
    args = parser.parse_args()

    folder = data.game_folder(args.data, args.game)
    earlier = [path for path in args.compare if (path / "report.json").exists()]
    models = [Model(path) for path in (args.model or folder / "model", *args.compare) if path not in earlier]
    places = [args.held_out] if args.held_out else [folder / "held_out", HERE / "held_out" / folder.name]
    kinds = data.load_held_out(next((place for place in places if place.is_dir()), places[0]))
    old = {name: figures for path in earlier for name, figures in read_report(path, kinds).items()}
    out, reports, shown = args.out or folder / "report", {}, {}
    for model in models:
        if model.meta["keys"] != models[0].meta["keys"] or model.frame_s != models[0].frame_s:
            raise SystemExit(f"{model.folder} has other keys or another pace than {models[0].folder}: compare models "
                             "of one game")
        name = str(model.folder)
        reports[name], shown[name] = measure(model, kinds, args.dream_frames, args.seed)
    reports = rounded(reports | {name: figures for name, figures in old.items() if name not in reports})
    with data.disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        data.write_json(out / "report.json", reports)
        data.write_text(out / "table.md", table(reports))
        draw(out, models[0], reports, shown)
    print(table(reports))
    print(f"look at rollout.png, survival.png, control.png, lives.png, filmstrip.png and clip.gif in {out}")


if __name__ == "__main__":
    main()
