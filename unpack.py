"""Turn a model folder back into checkpoints, to train on from a model that ships, or to encode with it.

Reads   a model folder (export.py)
Writes  data/<game>/ae.pt, lstm.pt        weights as exact as the folder holds them (float16)

    python unpack.py docs/model/qwop
    python train_lstm.py --game qwop --start data/qwop/lstm.pt ...

What was read is run beside the graphs; if they differ, nothing is written.
"""
import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

import data
import models

TOLERANCE = 1e-3
GATES = [0, 2, 3, 1]  # ONNX keeps the gates as input, output, forget, cell; torch as input, forget, cell, output


def read_weights(path):
    """The initializers of a graph by their names in PyTorch -> {name: tensor}, and the graph."""
    graph = onnx.load(path).graph
    named = {w.name.removesuffix(".half").removeprefix("network."): onnx.numpy_helper.to_array(w)
             for w in graph.initializer}
    return {name: torch.from_numpy(x.astype(np.float32)) for name, x in named.items() if x.dtype.kind == "f"}, graph


def named(found, name):
    """The weight of that name; ends the program if there is none."""
    if name not in found:
        raise SystemExit(f"no weight {name} in this folder: it was not made by this version of export.py")
    return found[name]


def fill(module, found):
    """Load a module's weights from those found; a missing bias is the one array of its size."""
    wanted = module.state_dict()
    for name, weight in wanted.items():
        if name not in found:
            same = [x for x in found.values() if x.numel() == weight.numel() and x.ndim == 3]
            if len(same) == 1:
                found[name] = same[0]
    module.load_state_dict({name: named(found, name).reshape(weight.shape) for name, weight in wanted.items()})


def read_dynamics(path, sizes):
    """dynamics.onnx -> Dynamics. The exporter keeps no names of the LSTM's biases, its small matrices and those of the
    head."""
    found, graph = read_weights(path)
    for layer, node in enumerate(node for node in graph.node if node.op_type == "LSTM"):
        for name, bias in zip(("ih", "hh"), found[node.input[3]].view(2, 4, sizes.hidden)):
            found[f"lstm.bias_{name}_l{layer}"] = bias[GATES].flatten()
        for name, matrix in zip(("ih", "hh"), node.input[1:3]):
            if matrix in found:
                found[f"lstm.weight_{name}_l{layer}"] = found[matrix].view(4, sizes.hidden, -1)[GATES].flatten(0, 1)
    products = [node.input[1] for node in graph.node if node.op_type == "MatMul"]
    sizes.widths = tuple(found[name].shape[1] for name in products[:-1])
    dynamics = models.Dynamics(sizes)
    linear = [name for name, layer in dynamics.head.named_children() if isinstance(layer, torch.nn.Linear)]
    for name, product in zip(linear, products):
        found[f"head.{name}.weight"] = found[product].T.contiguous()
    fill(dynamics, found)
    return dynamics.eval()


@torch.no_grad()
def check(folder, autoencoder, dynamics):
    """End the program unless the networks do what the graphs do."""
    s, chance = dynamics.config, np.random.default_rng(0)
    frames = chance.integers(0, 256, (2, data.SIZE, data.SIZE, 3), np.uint8)
    z, keys = chance.normal(size=(2, s.z)).astype(np.float32), chance.integers(0, 2, (2, s.keys)).astype(np.float32)
    h, c = chance.normal(0, 0.3, (2, s.layers, 2, s.hidden)).astype(np.float32)
    run = {name: onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"]).run
           for name in ("encoder", "decoder", "dynamics")}
    z_next, (h_next, _) = dynamics(*(torch.from_numpy(x)[:, None] for x in (z, keys)),
                                   (torch.from_numpy(h), torch.from_numpy(c)))
    fed = {"z": z, "keys": keys, "h": h, "c": c}
    pairs = {"encoder": (autoencoder.encoder(torch.from_numpy(frames)), run["encoder"](["z"], {"frames": frames})),
             "decoder": (autoencoder.decoder.paint(torch.from_numpy(z)) / 255,
                         [run["decoder"](["rgba"], {"z": z})[0] / 255]),
             "dynamics": (z_next[:, 0], run["dynamics"](["z_next"], fed)),
             "dynamics's state": (h_next, run["dynamics"](["h_next"], fed))}
    for name, (ours, theirs) in pairs.items():
        worst = np.abs(ours.numpy() - theirs[0]).max() / max(1, np.abs(theirs[0]).max())
        if not worst < (TOLERANCE if name != "decoder" else 1.5 / 255):  # a value on the edge may be rounded up or down
            raise SystemExit(f"{folder}: the {name} was not understood (differs by {worst:.1e}): nothing is written")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--data", default="data", help="folder of all recordings")
    args = parser.parse_args()
    meta = data.read_json(args.model / "meta.json")
    if meta is None:
        raise SystemExit(f"no model in {args.model}: name a folder that export.py wrote")
    out = data.game_folder(args.data, meta["game"])
    for name in ("ae.pt", "lstm.pt"):
        if (out / name).exists():
            raise SystemExit(f"{out / name} is there: move it away first")

    z = len(meta["z_low"])
    found = {name: read_weights(args.model / f"{name}.onnx")[0] for name in ("encoder", "decoder")}
    widths = tuple(len(named(found["decoder"], f"rest.{n}.weight")) for n in (1, 3, 5))
    autoencoder = models.Autoencoder(models.AutoencoderConfig(z=z, widths=widths)).eval()
    for name, module in (("encoder", autoencoder.encoder), ("decoder", autoencoder.decoder)):
        fill(module, found[name])
    h = next(i for i in onnx.load(args.model / "dynamics.onnx").graph.input if i.name == "h").type.tensor_type.shape.dim
    sizes = models.DynamicsConfig(z=z, keys=len(meta["keys"]), layers=h[0].dim_value, hidden=h[2].dim_value)
    dynamics = read_dynamics(args.model / "dynamics.onnx", sizes)
    check(args.model, autoencoder, dynamics)
    with data.disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, part, model in (("ae.pt", "autoencoder", autoencoder), ("lstm.pt", "dynamics", dynamics)):
            models.save(out / name, model, how=meta["how"][part], measured=meta["fidelity"][part])
    print(f"{args.model} -> {out / 'ae.pt'}, {out / 'lstm.pt'}")


if __name__ == "__main__":
    main()
