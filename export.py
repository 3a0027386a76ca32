"""Write the two trained networks as the model folder that the page and app.py play.

Reads   data/<game>/ae.pt, lstm.pt, latents, frames/meta.json (or latents/meta.json)
Writes  <out>/encoder.onnx    frames uint8 (N, 96, 96, 3) -> z (N, Z)
        <out>/decoder.onnx    z (N, Z) -> rgba uint8 (N, 96, 96, 4), alpha 255
        <out>/dynamics.onnx   z (N, Z), keys (N, K), h (L, N, H), c (L, N, H) -> z_next, h_next, c_next
        <out>/model.js        meta and the same graphs as base64(gzip) in a script: self.DREAM_MODEL = {...}
        <out>/clips.js        where there are held-out episodes (collect.py --held-out): self.DREAM_CLIPS = [...], short
                              recordings of the real game
        <out>/meta.json       game, keys, pace, start states, ranges, how it was trained, sha256 of the rest;
                              where they are known: url of the game, shape [width, height] of its canvas, gaits, and
                              what the memory says of metres and falls (extras.py)

Weights are stored as float16 with 8 of its 11 significant bits, which gzip makes smaller, and computed with as float32.
Every graph is run by onnxruntime and compared with PyTorch first; if they differ, nothing is replaced.

    python export.py --game runner          # about 15 seconds on 2 cores

Shapes: N pictures, Z latent features, K keys, L LSTM layers, H hidden width
"""
import argparse
import base64
import gzip
import hashlib
import json
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

import data
import extras
import models
from data import CONTEXT

BEFORE_FALL = 15   # frames that lie at least between a warm start state and the end of its life
LARGE = 1024       # numbers: smaller arrays are kept as they are
BITS = 8           # of a weight that count
TOLERANCE = 1e-4   # largest difference to PyTorch, as a share of the largest value there (at least 1)


class Graph(torch.nn.Module):
    """A function of a network as a module of its own, which is what torch.onnx.export takes."""

    def __init__(self, network, function):
        super().__init__()
        self.network, self.function = network, function

    def forward(self, *inputs):
        return self.function(self.network, *inputs)


def shorten(weights):
    """The weights as the files hold them, in place: float16, large matrices with BITS significant bits, so off by 0.1%
    on average."""
    mantissa, exponent = torch.frexp(weights)
    bits = BITS if weights.numel() >= LARGE else 11
    weights.copy_(torch.ldexp((mantissa * 2 ** bits).round() / 2 ** bits, exponent).half())


def step(dynamics, z, keys, h, c):
    """One frame of the dream: z (N, Z), keys (N, K), h and c (L, N, H) -> z_next, h_next, c_next."""
    z_next, (h, c) = dynamics(z[:, None], keys[:, None], (h, c))
    return z_next[:, 0], h, c


def store_halves(inside):
    """Keep the large weights of an ONNX graph as float16, a Cast behind each: half the file, computed in float32."""
    casts = []
    for weight in inside.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= LARGE:
            name, half = weight.name, f"{weight.name}.half"
            weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), half))
            casts.append(onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *inside.node]
    del inside.node[:], inside.value_info[:]
    inside.node.extend(nodes)


def write_graph(path, graph, inputs, outputs):
    """Export one module to `path`. inputs: {name: example}, no tensor twice: torch would merge the two."""
    axes = tuple({1 if name in "hc" else 0: torch.export.Dim("N")} for name in inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns about its own insides
        torch.onnx.export(graph, tuple(inputs.values()), str(path), input_names=list(inputs),
                          output_names=outputs, dynamic_shapes=(axes,), external_data=False, verbose=False)
    proto = onnx.load(path)
    inside = proto.graph
    for part in (inside, *inside.node, *inside.input, *inside.output, *inside.value_info):
        del part.metadata_props[:]  # stack traces with the folders of this machine
    store_halves(inside)
    onnx.save(proto, path)
    onnx.checker.check_model(str(path), full_check=True)


def difference(path, graph, inputs, outputs, steps=5):
    """Largest relative difference between onnxruntime and PyTorch, each fed with its own output."""
    session, worst = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), 0.0
    ours, theirs = dict(inputs), {name: x.numpy() for name, x in inputs.items()}
    for _ in range(steps):
        wanted, got = graph(*ours.values()), session.run(outputs, theirs)
        for name, a, b in zip(outputs, wanted if len(outputs) > 1 else [wanted], got):
            exact = torch.from_numpy(b).double() - a.double()
            if b.dtype == np.uint8:  # a value on the edge may be rounded to either side
                exact = (exact.abs() - 1).clamp(min=0)
            gap = exact.abs().max().item() / max(1.0, a.abs().max().item())
            worst = max(worst, gap) if gap <= 1 else 1.0  # 1.0 for NaN, too
            if (fed := name.removesuffix("_next")) in ours:
                ours[fed], theirs[fed] = a, b
    return worst


def rounded(x, digits=6):
    """An array as nested lists of numbers short enough for JSON."""
    return np.asarray(x, np.float64).round(digits).tolist()


def start_states(latents, episodes, dynamics, number):
    """The first frame of a life, then number - 1 moments of play, spread over the episodes' lives."""
    lives = []  # (episode, first frame, frame after the last)
    for e in episodes:
        ends = [*(np.flatnonzero(latents.restart[e][1:]) + 1).tolist(), latents.z.shape[1]]
        lives += zip([e] * len(ends), [0, *ends], ends)
    e, begin, _ = next((life for life in lives if latents.restart[life[0], life[1]]), lives[0])
    starts = [{"z": rounded(latents.z[e, begin])}]
    lives = [life for life in lives if life[2] - life[1] > CONTEXT + BEFORE_FALL]
    for i in range(number - 1 if lives else 0):
        e, begin, end = lives[i * len(lives) // (number - 1)]
        t = begin + CONTEXT + (end - BEFORE_FALL - begin - CONTEXT) * i // (number - 1)
        past = latents.z[None, e, :t], latents.keys[None, e, :t]  # from the episode's first frame, as in training
        z, keys = (torch.from_numpy(x.astype(np.float32)) for x in past)
        _, (h, c) = dynamics(z, keys)  # (L, 1, H)
        starts.append({"z": rounded(latents.z[e, t]), "h": rounded(h[:, 0]), "c": rounded(c[:, 0])})
    return starts


def open_all(folder):
    """The two checkpoints, the latents and what is known of the game, checked against each other."""
    autoencoder, ae_checkpoint = models.load(folder / "ae.pt", models.Autoencoder)
    dynamics, lstm_checkpoint = models.load(folder / "lstm.pt", models.Dynamics)
    latents = data.Latents(folder / "latents")
    if not len(latents.split()[0]):
        raise SystemExit(f"no episode in {latents.folder}: run  python encode.py --game {folder.name}  first")
    facts = latents.meta | (data.read_json(folder / "frames" / "meta.json") or {})
    if missing := {"game", "keys", "tick_ms", "ticks_per_frame"} - set(facts):
        raise SystemExit(f"no meta.json in {folder}/frames or latents tells {', '.join(sorted(missing))}: "
                         f"run  python collect.py --game {folder.name}  and encode.py again")
    sizes = {"ae.pt z": autoencoder.config.z, "latents z": latents.z.shape[2], "lstm.pt z": dynamics.config.z,
             "latents keys": latents.keys.shape[2], "lstm.pt keys": dynamics.config.keys,
             "game keys": len(facts["keys"])}
    *z, a, b, c = sizes.values()
    if len(set(z)) > 1 or not a == b == c:
        raise SystemExit(f"{folder} does not fit together: {sizes}: run encode.py and train_lstm.py again")
    told = {name: {"autoencoder": ae_checkpoint.get(entry), "dynamics": lstm_checkpoint.get(entry)}
            for name, entry in (("how", "how"), ("fidelity", "measured"))}
    return autoencoder, dynamics, latents, facts, told


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--game", default="runner", help="name or path of the game's description")
    parser.add_argument("--data", default="data", help="folder of all games' data")
    parser.add_argument("--out", type=Path, help="model folder to write (default data/<game>/model)")
    parser.add_argument("--starts", type=int, default=8, help="start states, the first of them the beginning of a life")
    args = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)

    folder = data.game_folder(args.data, args.game)
    out = args.out or folder / "model"
    autoencoder, dynamics, latents, facts, told = open_all(folder)
    for weights in (*autoencoder.parameters(), *dynamics.parameters()):
        shorten(weights)  # so the comparison below is exact
    training, held_out = latents.split()
    if not len(held_out):
        print(f"no held-out episode (every {data.HELD_OUT}th is one): start states come from training")
    s = dynamics.config

    def inputs(n):
        """Every input for n pictures: noise, true latents, all keys in turn, some state."""
        rng = np.random.default_rng(n)
        h, c = torch.from_numpy(rng.normal(0, 0.3, (2, s.layers, n, s.hidden)).astype(np.float32))
        return {"frames": torch.from_numpy(rng.integers(0, 256, (n, data.SIZE, data.SIZE, 3), np.uint8)),
                "z": torch.from_numpy(np.resize(latents.z[training[0]], (n, s.z)).astype(np.float32)),
                "keys": torch.eye(s.keys)[torch.arange(n) % s.keys], "h": h, "c": c}

    graphs = {"encoder": (Graph(autoencoder.encoder, models.Encoder.forward), ["frames"], ["z"]),
              "decoder": (Graph(autoencoder.decoder, models.Decoder.paint), ["z"], ["rgba"]),
              "dynamics": (Graph(dynamics, step), ["z", "keys", "h", "c"], ["z_next", "h_next", "c_next"])}
    sample = latents.z[training[::max(1, len(training) // 1000)]].reshape(-1, s.z)
    low, high = np.quantile(sample, [0.001, 0.999], axis=0)
    std = sample.astype(np.float64).std(0)
    said = {"gaits": extras.gaits(args.game), "readout": extras.readout(folder / "frames", latents, dynamics)}
    clips = extras.clips([folder / "held_out", extras.HERE / "held_out" / folder.name], autoencoder, dynamics)
    meta = {"format": 1, **{k: facts[k] for k in ("game", "keys", "tick_ms", "ticks_per_frame")},
            "frame_ms": round(facts["tick_ms"] * facts["ticks_per_frame"], 3),
            **{k: facts[k] for k in ("url", "shape") if k in facts},
            "z_low": rounded(low), "z_high": rounded(high), "z_std": rounded(std),
            "dz_std": rounded(dynamics.dz_std, 9),
            "drift_limit": round(extras.drift_limit(autoencoder, sample[::max(1, len(sample) // 2000)], std), 4),
            **{name: value for name, value in said.items() if value},
            "parameters": models.parameters(autoencoder.encoder, autoencoder.decoder, dynamics),
            "torch": torch.__version__, **told,
            "starts": start_states(latents, held_out if len(held_out) else training, dynamics, args.starts),
            "sha256": {}}

    with data.disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as aside:
            aside, packed = Path(aside), {}
            for name, (graph, ins, outs) in graphs.items():
                path = aside / f"{name}.onnx"
                write_graph(path, graph, {k: inputs(2)[k] for k in ins}, outs)
                worst = max(difference(path, graph, {k: inputs(n)[k] for k in ins}, outs) for n in (1, 5))
                if worst > TOLERANCE:
                    raise SystemExit(f"{path.name} differs from PyTorch by {worst:.1e}, more than "
                                     f"{TOLERANCE}: nothing in {out} is replaced")
                content = path.read_bytes()
                print(f"{path.name:13} {len(content) / 1e6:6.2f} MB | differs from PyTorch by {worst:.1e}")
                meta["sha256"][path.name] = hashlib.sha256(content).hexdigest()
                packed[name] = base64.b64encode(gzip.compress(content, mtime=0)).decode()
            scripts = {"clips.js": ("DREAM_CLIPS", clips)} if clips else {}
            for name, (variable, value) in (*scripts.items(), ("model.js", ("DREAM_MODEL", {"meta": meta, **packed}))):
                content = f"self.{variable} = {json.dumps(value)};\n".encode()
                print(f"{name:13} {len(content) / 1e6:6.2f} MB")
                (aside / name).write_bytes(content)
                meta["sha256"][name] = hashlib.sha256(content).hexdigest()
            lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in meta.items())
            (aside / "meta.json").write_text(f"{{\n{lines}\n}}\n")
            for name in (*meta["sha256"], "meta.json"):
                (aside / name).replace(out / name)
    print(f"{meta['parameters']:,} parameters, {len(meta['starts'])} start states -> {out}")


if __name__ == "__main__":
    main()
