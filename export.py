"""Write the two trained networks as the model folder that the page and app.py play.

Reads   data/<game>/ae.pt, lstm.pt, latents, frames (their poses), games/<game>_gaits.json,
        data/<game>/held_out or held_out/<game>
Writes  <out>/encoder.onnx    frames uint8 (N, 96, 96, 3) -> z (N, Z)
        <out>/decoder.onnx    z (N, Z) -> rgba uint8 (N, 96, 96, 4), alpha 255
        <out>/dynamics.onnx   z (N, Z), keys (N, K), h (L, N, H), c (L, N, H), noise (N, 1) -> z_next, h_next,
                              c_next, over (N,), 1 where the life ends, which the noise decides (without
                              noise and over after train_lstm.py --over-weight 0)
        <out>/model.js        meta and the same graphs as base64(gzip) in a script: self.DREAM_MODEL = {...}
        <out>/clips.js        where there are held-out episodes: self.DREAM_CLIPS = [...], short recordings
                              of the real game (collect.py --held-out)
        <out>/meta.json       game, keys, pace, start states, ranges, sizes of the layers, a map of real z,
                              the history of all trainings, sha256 of the rest; where they are known: url of
                              the game, shape [width, height] of its canvas, gaits, a readout of metres and
                              falls from the state, and readings of the body from z

    python export.py --game runner

Every graph is run by onnxruntime and compared with PyTorch first; if they differ, nothing is replaced.

Shapes: N frames side by side, E episodes, T frames of an episode, Z latent features, K keys, L LSTM layers,
H hidden width, F = L H + Z features of the readout
"""
import base64
import gzip
import hashlib
import io
import itertools
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import data
import models
from capture import policies
from capture.games import gaits_of
from data import CONTEXT
from engine import graphs, training

TOLERANCE = 1e-4   # largest relative difference between a graph and PyTorch
BEFORE_FALL = 15   # frames that lie at least between a start state in mid-run and the end of its life
GAITS = 3          # of the best that are known
CLIP = 150         # frames of a clip
COLUMNS = 15       # of a clip's frames side by side in its picture
READ = 150         # episodes from which metres and the body are read
RIDGE = 100.0      # of the readout's regression
READABLE = 0.5     # r2 on other episodes from which a reading is worth showing
MAP_POINTS = 300   # moments of real play on the map


def rounded(x, digits=6):
    """An array as nested lists of numbers short enough for JSON."""
    return np.asarray(x, np.float64).round(digits).tolist()


def load_all(folder):
    """-> autoencoder, dynamics, latents, trainings {"history", "fidelity"}.

    Ends the program with one line if they do not belong together."""
    autoencoder, ae_checkpoint = training.load(folder / "ae.pt", models.Autoencoder)
    dynamics, lstm_checkpoint = training.load(folder / "lstm.pt", models.Dynamics)
    latents = data.load_latents(folder / "latents")
    training.check_encoder(latents.meta.get("encoder"), autoencoder.encoder, folder / "latents",
                           "run encode.py and train_lstm.py again")
    training.check_encoder(lstm_checkpoint.get("encoder"), autoencoder.encoder, folder / "lstm.pt",
                           "run train_lstm.py again")
    trainings = {"history": [*ae_checkpoint["history"], *lstm_checkpoint["history"]],
                 "fidelity": {"autoencoder": ae_checkpoint["figures"],
                              "dynamics": lstm_checkpoint["figures"]}}
    return autoencoder, dynamics, latents, trainings


def start_states(latents, episodes, dynamics, number):
    """The first frame of a life, then number - 1 moments of play, spread over the episodes' lives
    -> [{z, h, c}], without h and c where they are zero."""
    lives = []  # (episode, first frame, frame after the last)
    for episode in episodes:
        cuts = [0, *(np.flatnonzero(latents.restart[episode, 1:]) + 1).tolist(), latents.restart.shape[1]]
        lives += [(episode, start, end) for start, end in itertools.pairwise(cuts)]
    first = next((life for life in lives if latents.restart[life[0], life[1]]), lives[0])
    starts = [{"z": rounded(latents.z[first[0], first[1]])}]
    long_lives = [life for life in lives if life[2] - life[1] > CONTEXT + BEFORE_FALL]
    for i in range(number - 1 if long_lives else 0):
        episode, start, end = long_lives[i * len(long_lives) // (number - 1)]
        t = start + CONTEXT + (end - BEFORE_FALL - start - CONTEXT) * i // (number - 1)
        # The state after all frames before it, from the episode's first one on, as in training
        before = (x[None, episode, :t + 1] for x in (latents.z, latents.keys, latents.over))
        _, (h, c) = dynamics(*models.steps_of(*before))
        starts.append({"z": rounded(latents.z[episode, t]), "h": rounded(h[:, 0]), "c": rounded(c[:, 0])})
    return starts


def drift_limit(autoencoder, z, std):
    """A drift meter's 1: twice the distance of z and encode(decode(z)), in std, that 99% of z (N, Z) keep."""
    z = torch.from_numpy(z.astype(np.float32))
    again = models.in_batches(lambda part: autoencoder.encoder(autoencoder.decoder.paint(part)[..., :3]), z)
    return 2 * float(np.quantile(np.linalg.norm((again - z).numpy() / std, axis=1), 0.99))


def best_gaits(game):
    """The best known gaits of a game, by name or by the path of its description -> [{period, on, score}]"""
    best = sorted(policies.load_gaits(gaits_of(game)), key=lambda gait: -gait["score"])[:GAITS]
    return [{name: gait[name] for name in ("period", "on", "score")} for gait in best]


def regress(x, y, ridge):
    """Ridge regression of y (N, M) on x (N, F) -> bias and F weights of each (M, 1 + F)"""
    x_mean, y_mean = x.mean(0), y.mean(0)
    x = x - x_mean
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (y - y_mean))
    return np.vstack([y_mean - x_mean @ weights, weights]).T


def short(weights):
    return [float(f"{w:.4g}") for w in weights]


def readout(latents, dynamics):
    """Linear readout of metres and falls from the state and z, by ridge regression on some encoded episodes
    -> {metres, over: [bias, F weights]}, or None where no score was recorded.

    metres: covered in this step; over: 1 in the frames in which a life has ended."""
    if latents.score is None:
        return None
    rows = np.linspace(0, len(latents.z) - 1, min(READ, len(latents.z))).astype(int)
    restart, score = latents.restart[rows], latents.score[rows]

    # The features: h of every layer, and z, after each step under teacher forcing
    z, keys, over = latents.z[rows], latents.keys[rows], latents.over[rows]
    state, features = None, []
    for t, step in enumerate(zip(*(x.split(1, dim=1) for x in models.steps_of(z, keys, over)))):
        _, state = dynamics(*step, state)
        features.append(torch.cat([*state[0], torch.from_numpy(z[:, t + 1]).float()], dim=-1))   # (E, F)
    x = torch.stack(features, 1).double().numpy()                                       # (E, T - 1, F)

    # What they are to tell, within lives
    alive = ~restart[:, 1:]
    x, y = x[alive], np.stack([np.diff(score, axis=1)[alive], over[:, 1:][alive]], 1)   # (N, F), (N, 2)
    weights = regress(x, y, RIDGE)
    return {"metres": short(weights[0]), "over": short(weights[1])}


def body_readings(pose):
    """Poses of QWOP's and the runner's 12 bodies (..., 12, 3) -> what a person would say of them: {name:
    (unit, (...))}. Positive angles turn clockwise, x goes to the right, y goes down."""
    angle = pose[..., 2]

    def degrees(x):
        return np.degrees(np.angle(np.exp(1j * (x - np.angle(np.exp(1j * x).mean())))))

    readings = {"leans forward": ("°", degrees(angle[..., 0])), "trunk is high": ("m", -pose[..., 0, 1] / 10)}
    for side, thigh, calf in (("left", 4, 5), ("right", 9, 10)):
        readings[f"{side} thigh forward"] = "°", degrees(angle[..., 0] - angle[..., thigh])
        readings[f"{side} knee bent"] = "°", degrees(angle[..., calf] - angle[..., thigh])
    return readings


def fit_readings(frames_folder, latents):
    """Linear readings of the body from z, while it runs: those that hold on other episodes -> [{name, unit,
    weights: [bias, Z weights], low, high: of real play, r2, correlation: with each number (Z)}]; None where
    the game tells no such poses."""
    numbers = [n for n in data.episode_files(frames_folder) if n in latents.numbers][:READ]
    episodes = dict(data.load_episodes(frames_folder, ("restart", "pose"), numbers)) if numbers else {}
    poses = [episode["pose"] for episode in episodes.values() if "pose" in episode]
    if len(poses) < max(2, len(episodes)) or poses[0].shape[1] != 12:
        return None
    pose, rows = np.stack(poses), np.flatnonzero(np.isin(latents.numbers, list(episodes)))
    over = latents.over[rows]
    test = (np.arange(len(rows)) % 4 == 0)[:, None] & ~over
    train = ~test & ~over
    z, readings = latents.z[rows].astype(np.float64), []
    for name, (unit, y) in body_readings(pose).items():
        y = y - y[~over].mean()
        weights, = regress(z[train], y[train][:, None], ridge=1.0)
        error = y[test] - weights[0] - z[test] @ weights[1:]
        r2 = 1 - float(error.var() / y[test].var())
        if r2 >= READABLE:
            low, high = short(np.quantile(y[train], [0.01, 0.99]))
            correlation = np.corrcoef(z[train].T, y[train])[-1, :-1]
            readings.append({"name": name, "unit": unit, "weights": short(weights), "r2": round(r2, 3),
                             "low": low, "high": high, "correlation": rounded(correlation, 2)})
    return readings


def make_map(z, std):
    """The two directions in which real z (N, Z) differs most -> {axes: two of [bias, Z weights], which give
    0..100 for nearly all of z, points: some of real play [[x, y]]}"""
    z = z.astype(np.float64)
    _, directions = np.linalg.eigh(np.cov((z / std).T))
    axes = []
    for direction in directions.T[:-3:-1]:
        weights = direction * np.sign(direction[np.abs(direction).argmax()]) / std
        low, high = np.quantile(z @ weights, [0.005, 0.995])
        axes.append([-100 * low / (high - low), *(100 * weights / (high - low))])
    some = z[::-(-len(z) // MAP_POINTS)]
    points = np.stack([axis[0] + some @ axis[1:] for axis in axes], 1).round().astype(int)
    return {"axes": [short(axis) for axis in axes], "points": points.tolist()}


def layer_sizes(layers, x):
    """What each convolution and linear layer gives, from x on -> [[height, width, channels] or [width]]"""
    sizes = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)):
            sizes.append([*x.shape[2:], x.shape[1]])
    return sizes


def all_sizes(autoencoder, dynamics):
    """-> {encoder, dynamics, decoder: of layer_sizes()}"""
    encoder, decoder, config, size = autoencoder.encoder, autoencoder.decoder, dynamics.config, data.SIZE
    layers = [*encoder.convs, torch.nn.Flatten(), *encoder.head]
    return {"encoder": [[size, size, 3], *layer_sizes(layers, torch.zeros(1, 3, size, size))],
            "dynamics": [[n] for n in (*[config.hidden] * config.layers, *config.widths, config.z)],
            "decoder": layer_sizes([*decoder.head, *decoder.convs], torch.zeros(1, config.z))}


def make_clips(folder, autoencoder, dynamics):
    """A clip of every kind of keys from a folder of held-out episodes -> [{kind, frames, keys: hexadecimal
    digits, start: {z, h, c}, picture: a data URL of all frames, COLUMNS in a row, metres where the game tells
    them}]"""
    clips = []
    kinds, _ = data.load_held_out(folder)
    for kind in data.KINDS:
        if kind not in kinds or kinds[kind]["frames"].shape[1] < CONTEXT + 2:
            continue
        arrays = kinds[kind]
        frames, keys = arrays["frames"][0], arrays["keys"][0]
        z = autoencoder.encoder(torch.from_numpy(frames[:CONTEXT + 1]))
        played = z[None].numpy(), keys[None, :CONTEXT + 1], arrays["over"][:1, :CONTEXT + 1]
        _, (h, c) = dynamics(*models.steps_of(*played))
        shown = frames[CONTEXT:CONTEXT + CLIP]
        padded = np.pad(shown, [(0, -len(shown) % COLUMNS), *3 * [(0, 0)]])
        sheet = np.vstack([np.hstack(list(padded[n:n + COLUMNS])) for n in range(0, len(padded), COLUMNS)])
        file = io.BytesIO()
        Image.fromarray(sheet).save(file, "WEBP", quality=85, method=6)
        clips.append({"kind": kind, "frames": len(shown),
                      "keys": policies.to_text(keys[CONTEXT:CONTEXT + CLIP]),
                      "start": {"z": rounded(z[-1]), "h": rounded(h[:, 0]), "c": rounded(c[:, 0])},
                      "picture": "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()})
        if "score" in arrays:
            clips[-1]["metres"] = rounded(arrays["score"][0, CONTEXT:CONTEXT + CLIP], 1)
    return clips


def describe(args, folder, autoencoder, dynamics, latents, trainings):
    """meta.json, without the sha256 of the other files."""
    facts, (train, held_out) = latents.meta, latents.split()
    sample = latents.z[train[::max(1, len(train) // 1000)]].reshape(-1, dynamics.config.z)
    low, high = np.quantile(sample, [0.001, 0.999], axis=0)
    std = sample.astype(np.float64).std(0)
    meta = {"format": 2 if dynamics.config.over else 1,
            **{name: facts[name] for name in ("game", "keys", "tick_ms", "ticks_per_frame")},
            "frame_ms": round(facts["tick_ms"] * facts["ticks_per_frame"], 3),
            **{name: facts[name] for name in ("url", "shape") if name in facts},
            "z_low": rounded(low), "z_high": rounded(high), "z_std": rounded(std),
            "dz_std": rounded(dynamics.dz_std, 9),
            "drift_limit": round(drift_limit(autoencoder, sample[::max(1, len(sample) // 2000)], std), 4),
            "parameters": models.count_parameters(autoencoder.encoder, autoencoder.decoder, dynamics),
            "sizes": all_sizes(autoencoder, dynamics), "map": make_map(sample, std),
            "torch": str(torch.__version__), **trainings,
            "starts": start_states(latents, held_out if len(held_out) else train, dynamics, args.starts)}
    frames = folder / "frames"
    optional = {"gaits": best_gaits(args.game), "readout": readout(latents, dynamics),
                "readings": fit_readings(frames, latents) if facts["keys"] == list("qwop") else None}
    return meta | {name: value for name, value in optional.items() if value}


def write_graphs(folder, autoencoder, dynamics, z):
    """Write the three graphs, each compared with PyTorch on noise and true z (any, Z) -> {name: bytes}. Ends
    the program if one differs."""
    files = {}
    for name, graph in graphs.make_graphs(autoencoder, dynamics).items():
        path = folder / f"{name}.onnx"
        graphs.write(path, graph, graphs.example(dynamics, z, 2))
        worst = max(graphs.difference(path, graph, graphs.example(dynamics, z, n)) for n in (1, 5))
        if worst > TOLERANCE:
            raise SystemExit(f"{path.name} differs from PyTorch by {worst:.1e}, more than {TOLERANCE}: "
                             "nothing is replaced")
        files[path.name] = path.read_bytes()
        print(f"{path.name:13} {len(files[path.name]) / 1e6:6.2f} MB | differs from PyTorch by {worst:.1e}")
    return files


def pack(meta, files, clips):
    """The other files of a model folder -> all {name: bytes}. files: the graphs."""
    if clips:
        files["clips.js"] = f"self.DREAM_CLIPS = {json.dumps(clips)};\n".encode()
    packed = {"meta": meta | {"sha256": sha256(files)}}
    for name, content in files.items():
        if name.endswith(".onnx"):
            packed[Path(name).stem] = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    files["model.js"] = f"self.DREAM_MODEL = {json.dumps(packed)};\n".encode()
    meta = meta | {"sha256": sha256(files)}
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in meta.items())
    return files | {"meta.json": f"{{\n{lines}\n}}\n".encode()}


def sha256(files):
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


@torch.no_grad()
def main():
    parser = data.make_parser(__doc__)
    parser.add_argument("--out", type=Path, help="model folder to write; data/<game>/model by default")
    parser.add_argument("--starts", type=int, default=8, help="start states, the first that of a life")
    args = parser.parse_args()

    folder = data.game_folder(args.data, args.game)
    out = args.out or folder / "model"
    autoencoder, dynamics, latents, trainings = load_all(folder)
    graphs.shorten(autoencoder)  # first, so that graph and PyTorch have the same weights
    graphs.shorten(dynamics)
    meta = describe(args, folder, autoencoder, dynamics, latents, trainings)
    real = data.held_out_folder(folder)
    clips = make_clips(real, autoencoder, dynamics) if any(real.glob("*.npz")) else []

    # Everything aside first, then renamed
    with data.disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for old in out.parent.glob(f".{out.name}.part-*"):  # of a run that was killed
            shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.part-") as aside:
            files = pack(meta, write_graphs(Path(aside), autoencoder, dynamics, latents.z[0]), clips)
            for name, content in files.items():
                (Path(aside) / name).write_bytes(content)
            for name in files:
                (Path(aside) / name).replace(out / name)
    print(f"{meta['parameters']:,} parameters, {len(meta['starts'])} start states -> {out}")


if __name__ == "__main__":
    data.run(main, "some files may be new already: run the same command again")
