"""What evaluate.py measures: sharpness, steps, rollouts, control, stability, falls, speed.

Bricks only: importing this file prints nothing and touches no file. `kinds` are held-out episodes by the kind
of keys that played them, as data.load_held_out returns them. A probe reads poses from z; it is fitted on
other episodes than those it measures, except for the key combinations.

Shapes: B episodes, T frames, Z latent features, K keys, N dreams, P body parts, C combinations of keys
"""
import time
from functools import partial

import numpy as np
import torch
from scipy.stats import ks_2samp, norm, spearmanr
from skimage.metrics import structural_similarity
from tqdm import tqdm

import data
from capture import policies
from data import CONTEXT
from dream import draw_noise, repeat

SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0)  # game seconds over which the error of a rollout is summed
MOVING = 24                          # levels by which a moving pixel differs from the median frame
FOLDS = 4                            # a probe that measures one episode in 4 is fitted on the other three
STRIDE = 32                          # frames from the start of one rollout to that of the next


# ----------------------------------------------------------------------------------------------------- frames

def psnr(frames, truth):
    """Peak signal-to-noise ratio in dB of arrays in 0..255 that broadcast, from their mean squared error."""
    error = np.square(frames.astype(np.float32) - truth.astype(np.float32)).mean()
    return float(10 * np.log10(255 ** 2 / max(error, 1e-9)))


def ssim(frames, truth):
    """Mean structural similarity (Wang et al. 2004) of grey uint8 frames (N, H, W, 3), 7x7 windows: -1..1."""
    grey = zip(frames.astype(np.float64).mean(-1), truth.astype(np.float64).mean(-1))
    return float(np.mean([structural_similarity(a, b, win_size=7, data_range=255, use_sample_covariance=False)
                          for a, b in grey]))


def is_moving(frames, median):
    """Where frames (N, 96, 96, 3) differ from the median frame (96, 96, 3) -> bool (N, 96, 96)"""
    return np.abs(frames - median).max(-1) > MOVING


# ----------------------------------------------------------------------------------------------------- probes

class Probe:
    """Reads numbers from z: ridge regression on random Fourier features (Rahimi and Recht 2007)."""

    def __init__(self, z, y, features=1000, scale=0.1, ridge=0.03):
        """Fit on z (N, Z), y (N, M)."""
        rng = np.random.default_rng(0)
        self.mean, self.std = z.mean(0), z.std(0) + 1e-6
        self.weight = rng.normal(0, scale, (z.shape[1], features))
        self.phase = rng.uniform(0, 2 * np.pi, features)
        x = self.lift(z)
        self.out = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)

    def lift(self, z):
        x = (z - self.mean) / self.std
        return np.concatenate([np.cos(x @ self.weight + self.phase), x, np.ones((*x.shape[:-1], 1))], axis=-1)

    def __call__(self, z):
        """z (..., Z) -> (..., M)"""
        return self.lift(z) @ self.out


def fit_probes(kinds, z):
    """-> a function: number of an episode -> a Probe of sine and cosine of all body angles that has not seen
    it. None where there are no poses."""
    if not all("pose" in arrays for arrays in kinds.values()):
        return None
    probes = []
    for fold in range(FOLDS):
        known, angles = [], []
        for kind, arrays in kinds.items():
            keep = (np.arange(len(z[kind])) % FOLDS != fold) | (kind == "choices")
            known.append(z[kind][keep].reshape(-1, z[kind].shape[-1]))
            angles.append(arrays["pose"][keep, ..., 2].reshape(len(known[-1]), -1))
        probes.append(Probe(np.concatenate(known), sincos(np.concatenate(angles))))
    return lambda episode: probes[episode % FOLDS]


def sincos(angles):
    """Angles (..., P) -> (..., 2P)"""
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)


def degrees_off(read, angles):
    """What a pose probe reads (..., 2P), true angles (..., P) -> mean absolute error in degrees (...)"""
    sin, cos = np.split(read, 2, axis=-1)
    return np.degrees(np.abs(np.angle(np.exp(1j * (np.arctan2(sin, cos) - angles)))).mean(-1))


# ------------------------------------------------------------------------------------------------------ falls

def rises(over):
    """Where over bool (N, T) becomes true -> bool (N, T - 1)"""
    return over[:, 1:] & ~over[:, :-1]


def count_falls(over):
    """How often over bool (N, T) becomes true."""
    return int(rises(over).sum())


def life_lengths(over):
    """Frames between one fall and the next in over bool (N, T) -> int (lives,)"""
    return np.concatenate([np.diff(np.flatnonzero(row)) for row in rises(over)])


def with_more(arrays, name):
    """`keys` or `over` (B, T, ...) of all episodes of a kind, also of those of which few frames are kept."""
    more = arrays.get(f"more_{name}")
    return arrays[name] if more is None else np.concatenate([arrays[name], more])


def measure_falls(model, kinds, z):
    """The same keys after the same context, played by the game and dreamed: how often a life ends, and how
    long lives are. Of a model that does not tell when a life ends only what is real.

    difference: of falls, dreamed less real, in % of real. error: its standard error, between episodes.
    distance: of lengths of lives, Kolmogorov-Smirnov, 0..1. -> figures, lengths {kind: (real, dreamed)}"""
    figures, lengths = {}, {}
    for kind in tqdm([k for k in data.KINDS if k in kinds], desc="falls", unit="kind"):
        arrays = kinds[kind]
        keys, over = with_more(arrays, "keys"), with_more(arrays, "over")
        real, lives = over[:, CONTEXT:], life_lengths(over[:, CONTEXT:])
        figures[kind] = {"falls": count_falls(real), "real": describe_lives(real)}
        if not model.noise_size:
            continue
        true = z[kind][:, :CONTEXT]
        if "more_frames" in arrays:
            true = np.concatenate([true, model.encode(arrays["more_frames"][:, :CONTEXT])])
        dreamed = model.play(model.context(true, keys), keys[:, CONTEXT - 1:-1], seed=0)[1]
        lengths[kind] = lives, life_lengths(dreamed)
        more = rises(dreamed).sum(1) - rises(real).sum(1)                               # (B,)
        share = 100 / max(count_falls(real), 1)
        figures[kind] |= {"dreamed": describe_lives(dreamed), "difference": float(share * more.sum()),
                          "error": float(share * more.std() * len(more) ** 0.5), "distance": None}
        if all(map(len, lengths[kind])):
            figures[kind]["distance"] = float(ks_2samp(*lengths[kind]).statistic)
    return figures, lengths


def describe_lives(over):
    """over bool (N, T) -> falls in 1,000 frames, mean frames of a life"""
    lengths = life_lengths(over)
    return {"per_1000_frames": 1000 * count_falls(over) / over[:, 1:].size,
            "mean_life_frames": float(lengths.mean()) if len(lengths) else None}


def measure_over(model, arrays, z):
    """Calibration of when lives end, under teacher forcing, told the true ends -> figures: ends expected in
    1,000 frames, real ones, and how far their frequency is from the probability given, mean over steps.

    The graph gives 0 or 1. Run at ten quantiles of the noise, the share of ones is its probability."""
    levels = norm.ppf((np.arange(10) + 0.5) / 10).astype(np.float32)
    state, tenths, ends = model.zero_state(len(z)), [], arrays["over"][:, 1:]
    noise = np.zeros((len(z), model.noise_size), np.float32)
    for t in range(z.shape[1] - 1):
        over = 0
        for noise[:, 0] in levels:
            over = over + model.step([z[:, t], *state], arrays["keys"][:, t], noise)[1]
        tenths.append(over)
        noise[:, 0] = np.where(ends[:, t], -30, 30)  # far out: so it ends, or does not
        (_, *state), _ = model.step([z[:, t], *state], arrays["keys"][:, t], noise)
    tenths = np.stack(tenths, axis=1)
    gaps = [abs((ends[tenths == n] - n / 10).sum()) for n in range(11)]
    return {"expected": float(100 * tenths.mean()), "real": float(1000 * ends.mean()),
            "gap": float(sum(gaps) / ends.size)}


# ----------------------------------------------------------------------------------------- following the game

def measure_ceiling(model, arrays, z, probes, median):
    """What the autoencoder keeps of one kind of episodes: PSNR and SSIM of decode(encode(frame)), on the
    whole frame and where something moves; the pose error of the true z."""
    frames = arrays["frames"].reshape(-1, *arrays["frames"].shape[2:])
    rebuilt = model.decode(z.reshape(len(frames), -1))
    moving = is_moving(frames, median)
    figures = {"psnr_db": psnr(rebuilt, frames), "psnr_moving_db": psnr(rebuilt[moving], frames[moving]),
               "ssim": ssim(rebuilt[::5], frames[::5])}
    if probes:
        figures["probe_degrees"] = float(np.mean([degrees_off(probes(e)(z[e]), arrays["pose"][e, ..., 2])
                                                  for e in range(len(z))]))
    return figures


def measure_one_step(model, arrays, z):
    """1 - MSE / MSE of persistence one step ahead, each feature of z scaled to unit variance: of all steps,
    and without the steps into a new life."""
    std = z.reshape(-1, z.shape[-1]).std(0)
    predicted = model.teach(z, arrays["keys"])[0][:, :-1]
    error = np.square((predicted - z[:, 1:]) / std).mean(-1)
    persistence = np.square((z[:, :-1] - z[:, 1:]) / std).mean(-1)
    alive = ~arrays["restart"][:, 1:]
    return {"skill": float(1 - error.mean() / persistence.mean()),
            "skill_alive": float(1 - error[alive].mean() / persistence[alive].mean())}


def measure_rollouts(model, arrays, z, probes, median, rng):
    """Rollouts from every 32nd frame of one kind of episodes against the truth, after CONTEXT true frames.

    -> figures, curves {name: (T,)}, film strip (rows of frames), clip (T, 96, 192, 3). A rollout is as long
    as the last of SECONDS, or as the episodes allow. Other keys: the true ones replaced by random ones."""
    frames, keys, frame_s = arrays["frames"], arrays["keys"], model.frame_s
    length = min(round(SECONDS[-1] / frame_s), z.shape[1] - CONTEXT)
    ends = {s: round(s / frame_s) for s in SECONDS if 1 <= round(s / frame_s) <= length}  # seconds: frames
    if not ends:
        raise SystemExit(f"episodes of {z.shape[1]} frames are too short: {CONTEXT} of context and a rollout "
                         f"of {SECONDS[0]} s are needed, and a frame lasts {frame_s} s")
    whole, moving, poses, strip, clip = {}, {}, {}, None, None
    for start in range(0, z.shape[1] - CONTEXT - length + 1, STRIDE):
        # Roll out all episodes from here, with their own keys and with others.
        first = start + CONTEXT
        played = keys[:, start:first + length]
        true, last = z[:, first:first + length], z[:, first - 1:first]
        other = np.stack([policies.random_keys(length + 1, keys.shape[2], rng) for _ in z])
        paths = {"dream": played, "other keys": np.concatenate([played[:, :CONTEXT - 1], other], axis=1)}
        for name, k in paths.items():
            paths[name] = model.rollout_after(z[:, start:first], k)
        paths["ceiling"] = true
        for b in range(len(z)):
            # Errors of the painted frames, and of the poses.
            truth = frames[b, first:first + length].astype(np.float32)
            mask = is_moving(truth, median)
            moving_pixels = np.maximum(mask.sum((1, 2)), 1)                                   # (T,)
            painted = {name: model.decode(path[b]) for name, path in paths.items()}
            painted["persistence"] = frames[b, first - 1:first]
            for name, rows in painted.items():
                error = np.square(rows - truth).mean(-1)                                      # (T, 96, 96)
                whole.setdefault(name, []).append(error.mean((1, 2)))
                moving.setdefault(name, []).append((error * mask).sum((1, 2)) / moving_pixels)
            if probes:
                for name, path in (("dream", paths["dream"]), ("persistence", last)):
                    off = degrees_off(probes(b)(path[b]), arrays["pose"][b, first:first + length, :, 2])
                    poses.setdefault(name, []).append(off)
            if strip is None:
                strip, clip = pictures_of(painted["dream"], frames[b, first:first + length])
    figures, curves = summarise_gains({"whole": whole, "moving": moving}, ends, frame_s)
    if probes:
        ratio = np.mean(poses["dream"], axis=0) / np.mean(poses["persistence"], axis=0)
        figures["pose_over_persistence"] = {str(s): float(ratio[n - 1]) for s, n in ends.items()}
    return figures, curves, strip, clip


def pictures_of(dream, truth):
    """Frames (T, 96, 96, 3) -> rows of some (true, dreamed, difference), clip of both (T, 96, 192, 3)"""
    some = slice(0, min(len(truth), 24), 2)
    difference = 255 - np.abs(dream[some].astype(int) - truth[some]).astype(np.uint8)
    return [truth[some], dream[some], difference], np.concatenate([truth, dream], axis=2)


def summarise_gains(errors, ends, frame_s):
    """Squared errors {where: {name: rollouts}} -> figures, curves: gain over persistence in dB of the error
    summed up to each frame. ends: {seconds: frames}"""
    figures, curves = {}, {}
    for where, rows in errors.items():
        summed = {name: np.cumsum(np.mean(v, axis=0)) for name, v in rows.items()}
        gains = {name: 10 * np.log10(summed["persistence"] / v) for name, v in summed.items()}
        worse = np.flatnonzero(gains["dream"] <= 0)
        control = gains["dream"] - gains["other keys"]
        figures[f"gain_db_{where}"] = {str(s): float(gains["dream"][n - 1]) for s, n in ends.items()}
        figures[f"valid_horizon_s_{where}"] = float((worse[0] if len(worse) else len(control)) * frame_s)
        figures[f"control_db_{where}"] = {str(s): float(control[n - 1]) for s, n in ends.items()
                                          if 0.5 <= s <= 1}
        curves |= {f"{where}, {name}": gain for name, gain in gains.items()}
    return figures, curves


def measure_choices(model, arrays, z, probes):
    """Every combination of keys from the same real moments -> figures, matrix (C, C).

    step: cosine of dreamed and real step of z. effect: the same half a second later, of the poses that a
    probe reads (of z where there are none), less their mean over the combinations: what is left is what the
    keys did. The matrix holds the effect of each dreamed combination (row) against each real one (column)."""
    count = len(policies.combinations(arrays["keys"].shape[2]))
    first, keys = policies.FORK, arrays["keys"]
    dream = model.rollout_after(z[:, :first], keys)                                   # (M C, T, Z)
    after = min(max(round(0.5 / model.frame_s), 1), dream.shape[1])

    def by_moment(x):
        return x.reshape(-1, count, *x.shape[1:])

    alive = ~by_moment(arrays["restart"][:, 1:]).any((1, 2))  # moments without a fall
    if not alive.any():
        return {}, np.zeros((count, count))
    steps = [by_moment(x - z[:, first - 1])[alive] for x in (dream[:, 0], z[:, first])]
    read = probes(0) if probes else (lambda z: z)
    effects = [by_moment(read(x))[alive] for x in (dream[:, after - 1], z[:, first + after - 1])]
    dreamed, real = (x - x.mean(1, keepdims=True) for x in effects)
    unit = [x / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-9) for x in (*steps, dreamed, real)]
    matrix = np.einsum("mif,mjf->ij", unit[2], unit[3]) / alive.sum()
    return {"step_cosine": float((unit[0] * unit[1]).sum(-1).mean()),
            "effect_cosine": float(np.trace(matrix) / count),
            "effect_size": float(np.linalg.norm(dreamed) / np.linalg.norm(real)),
            "moments": int(alive.sum())}, matrix


def measure_transfer(model, rhythms):
    """Do rhythms that get far in the dream get far in the game? -> figures: Spearman's rank correlation of
    dreamed and real metres, real metres of the ten that got farthest in the dream, and of all. None without
    rhythms or a model that tells metres. rhythms: of data.load_held_out()."""
    if not rhythms or "readout" not in model.meta:
        return None
    keys = rhythms["keys"]
    state = repeat(model.starts[0], len(keys))
    metres, over = np.zeros(keys.shape[:2]), np.zeros(keys.shape[:2], bool)
    for t in range(keys.shape[1] - 1):
        noise = draw_noise(np.arange(len(keys)), t, model.noise_size)
        state, over[:, t + 1] = model.step(state, keys[:, t], noise)
        metres[:, t + 1] = metres[:, t] + model.readout("metres", state)
    dreamed, real = data.first_life(over, metres), data.first_life(rhythms["over"], rhythms["score"])
    best = np.argsort(-dreamed)[:10]
    return {"spearman": float(spearmanr(dreamed, real).statistic),
            "metres": {"best_ten": float(np.median(real[best])), "all": float(np.median(real))}}


# ---------------------------------------------------------------------------------------- stability and speed

class Manifold:
    """Real frames as a model paints them: how far other z are painted from all of them.

    limit: the distance that 99% of real frames keep from those of other episodes."""

    def __init__(self, model, z):
        """z: real ones (E, T, Z) by kind of keys."""
        self.model = model
        episodes = [self.paint(rows) for kind in z.values() for rows in kind]
        self.frames = np.concatenate(episodes)
        self.squares = np.square(self.frames).sum(1)
        owner = np.repeat(np.arange(len(episodes)), [len(rows) for rows in episodes])
        gaps = [self.nearest(rows[::4], owner == n) for n, rows in enumerate(episodes)]
        self.limit = np.quantile(np.concatenate(gaps), 0.99)

    def paint(self, z):
        """z (N, Z) -> frames of 48x48 pixels, as rows of numbers (N, D)"""
        frames = self.model.decode(z).reshape(-1, 48, 2, 48, 2, 3)
        return frames.mean((2, 4), dtype=np.float32).reshape(len(z), -1)

    def nearest(self, rows, own=slice(0)):
        """Squared distance of frames (N, D) from the nearest real one -> (N,). own: real ones left out."""
        squares = self.squares - 2 * rows @ self.frames.T
        squares[:, own] = np.inf
        return squares.min(1) + np.square(rows).sum(1)

    def is_off(self, z):
        """z (..., Z) -> bool (...): painted farther from every real frame than the limit"""
        flat = z.reshape(-1, z.shape[-1])
        gaps = [self.nearest(self.paint(flat[n:n + 500])) for n in range(0, len(flat), 500)]
        return (np.concatenate(gaps) > self.limit).reshape(z.shape[:-1])


def spread(rows, std):
    """Standard deviation of z (..., Z) over that of all real z, mean of the features; None without z."""
    return float((rows.reshape(-1, len(std)).std(0) / std).mean()) if len(rows) else None


def long_keys(model, frames, rng):
    """Keys for a long dream from every start state -> {kind of keys: (N, T, K)}"""
    starts, count, ticks = len(model.starts), len(model.meta["keys"]), model.meta["ticks_per_frame"]
    return {"random": np.stack([policies.random_keys(frames, count, rng) for _ in range(starts)]),
            "human": np.stack([policies.human_keys(frames, count, ticks, rng) for _ in range(starts)]),
            "none": np.zeros((starts, frames, count)), "all": np.ones((starts, frames, count))}


def measure_stability(model, z, frames, rng):
    """Long dreams from every start state under four kinds of keys -> figures, share on the manifold over
    time. z: the real ones (B, T, Z) by kind of keys.

    frozen: no feature moves by a thousandth of its standard deviation; exploded: a feature leaves the
    training range by its width; off_manifold: painted farther from every real frame than 99% of real ones
    are; halfway: the same of what lies between two frames of a life; spread: std of z over that of all real
    z; real_frozen, real_spread: the same of real play."""
    constant = z.get("constant", ())  # its episodes: no key, all keys
    real = {"random": z.get("random", ()), "human": z.get("human", ()),
            "none": constant[:1], "all": constant[1:2]}
    std = np.concatenate([rows.reshape(-1, model.features) for rows in z.values()]).std(0)
    manifold = Manifold(model, z)
    # All dreams run side by side
    keys = long_keys(model, frames, rng)
    starts = zip(*(model.starts * len(keys)))
    state = [np.concatenate(x, axis) for x, axis in zip(starts, (0, 1, 1))]
    dreams, over, _ = model.play(state, np.concatenate(list(keys.values())), seed=0,
                                 progress=partial(tqdm, desc=f"{len(state[0])} dreams", unit="frame"))
    figures, curves = {}, {}
    times = np.arange(0, frames - 1, max(1, frames // 250))  # of frames that are painted
    for name, path, ends in zip(tqdm(keys, desc="on the manifold?", unit="kind"),
                                np.split(dreams, len(keys)), np.split(over, len(keys))):
        exploded = is_exploded(path, model.meta)
        path = np.nan_to_num(path, posinf=1e6, neginf=-1e6)
        near = np.clip(path, -1e3, 1e3)
        off = manifold.is_off(near[:, times])
        is_cut = ends[:, times] | ends[:, times + 1]
        halfway = manifold.is_off((near[:, times] + near[:, times + 1])[~is_cut] / 2)
        figures[name] = {"frozen": is_frozen(path, std), "real_frozen": is_frozen(real[name], std),
                         "exploded": float(exploded.mean()), "off_manifold": float(off.mean()),
                         "halfway": float(halfway.mean()),
                         "spread": spread(path, std), "real_spread": spread(real[name], std)}
        curves[name] = times * model.frame_s, (~off).mean(0)
    return figures, curves


def is_exploded(z, meta):
    """Whether z (..., Z) is not finite somewhere, or leaves the training range by its width -> bool (...)"""
    low, high = np.array(meta["z_low"]), np.array(meta["z_high"])
    return ~((z >= 2 * low - high) & (z <= 2 * high - low)).all(-1)  # NaN is neither


def is_frozen(z, std):
    """Share of steps of z (B, T, Z) in which no feature moves by a thousandth of its std; None without z."""
    return float((np.abs(np.diff(z, axis=1)) < 1e-3 * std).all(-1).mean()) if len(z) else None


def clips_of(z, every=4):
    """z (B, T, Z) -> clips of 1.6 s at three ticks a frame, 16 frames in a row (B, N, 16 Z), float32"""
    starts = range(0, z.shape[1] - 15, every)
    return np.stack([z[:, t:t + 16].reshape(len(z), -1) for t in starts], axis=1).astype(np.float32)


def measure_classifier(model, kinds, z):
    """Could it be real? The accuracy of a small network that learns to tell clips of real play from dreams
    under the same keys after the same context, on episodes that it has not seen: 0.5 is perfect.

    It sees z, which decodes to exactly one frame. None if the episodes are too short."""
    clips = [], []
    for kind in (k for k in data.KINDS if k in kinds and z[k].shape[1] >= CONTEXT + 16):
        keys = kinds[kind]["keys"]
        dream = model.rollout_after(z[kind][:, :CONTEXT], keys, seed=0)
        for rows, one in zip(clips, (z[kind][:, CONTEXT:], dream)):
            rows += list(clips_of(one))
    if not clips[0]:
        return None
    x = torch.from_numpy(np.stack([np.stack(rows) for rows in clips]))                  # (2, E, N, 16 Z)
    x = (x - x[0].mean((0, 1))) / x[0].std((0, 1)).clamp(min=1e-6)
    fold, right = torch.arange(x.shape[1]) % FOLDS, []
    torch.manual_seed(0)
    for held_out in range(FOLDS):
        known, rest = (x[:, keep].flatten(1, 2) for keep in (fold != held_out, fold == held_out))
        real, dreamed = learn_to_tell(known)(rest)[..., 0] > 0
        right += [real.float().mean(), (~dreamed).float().mean()]
    return float(torch.stack(right).mean())


def learn_to_tell(clips, epochs=20):
    """Train a small network on clips (2, N, F), the first N real -> the network: logit of real"""
    network = torch.nn.Sequential(
        torch.nn.Linear(clips.shape[2], 128), torch.nn.ReLU(), torch.nn.Dropout(0.3),
        torch.nn.Linear(128, 64), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.05)
    x, y = clips.flatten(0, 1), torch.tensor([1.0, 0.0]).repeat_interleave(clips.shape[1])
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(x[batch])[:, 0], y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def measure_speed(model, frames=300):
    """Milliseconds per dreamed and painted frame, one at a time -> p50, p95."""
    state, times = model.starts[0], []
    keys = np.zeros((1, len(model.meta["keys"])), np.float32)
    for _ in range(frames):
        start = time.perf_counter()
        state, _ = model.step(state, keys)
        model.decode(state[0])
        times.append(1000 * (time.perf_counter() - start))
    return {"p50_ms": float(np.median(times)), "p95_ms": float(np.quantile(times, 0.95))}
