"""Networks as ONNX graphs: written with short weights, and compared with PyTorch.

Weights are stored as int8 with a scale for each output, and computed with as float32. That loses nothing that
can be measured (docs/experiments.md).

Shapes: N frames side by side, Z latent features, K keys, L LSTM layers, H hidden width
"""
import logging
import warnings

import numpy as np
import onnx
import onnxruntime
import torch

import data
import models

LARGE = 1024       # numbers: smaller arrays are kept as they are
MOST = 127         # largest int8


class Graph(torch.nn.Module):
    """A function of a network as a module of its own, which is what torch.onnx.export takes."""

    def __init__(self, network, function, inputs, outputs):
        """inputs, outputs: their names in the graph."""
        super().__init__()
        self.network, self.function, self.inputs, self.outputs = network, function, inputs, outputs

    def forward(self, *inputs):
        return self.function(self.network, *inputs)


def step(dynamics, z, keys, h, c, noise=None):
    """One frame of the dream: z (N, Z), keys (N, K), h and c (L, N, H), and where it tells when a life ends
    noise (N, 1), standard normal -> z_next, h_next, c_next, over (N)"""
    if noise is None:
        z_next, _, (h, c) = dynamics.step(z, keys, None, (h, c))
        return z_next, h, c
    uniform = 0.5 + 0.5 * torch.erf(noise[:, 0] / 2 ** 0.5)  # the normal distribution function
    over = (uniform < dynamics.over_logit(z, keys, h[-1]).sigmoid()).float()
    z_next, _, (h, c) = dynamics.step(z, keys, over, (h, c))
    return z_next, h, c, over


def make_graphs(autoencoder, dynamics):
    """-> {name: Graph} of the three graphs of a model folder."""
    inputs, outputs = ["z", "keys", "h", "c"], ["z_next", "h_next", "c_next"]
    if dynamics.config.over:
        inputs, outputs = [*inputs, "noise"], [*outputs, "over"]
    return {"encoder": Graph(autoencoder.encoder, models.Encoder.forward, ["frames"], ["z"]),
            "decoder": Graph(autoencoder.decoder, models.Decoder.paint, ["z"], ["rgba"]),
            "dynamics": Graph(dynamics, step, inputs, outputs)}


def example(dynamics, z, n):
    """Inputs of all graphs for n frames -> {name: tensor}: noise, real z (any, Z), keys in turn, a state."""
    c = dynamics.config
    rng = np.random.default_rng(n)
    h, cell = torch.from_numpy(rng.normal(0, 0.3, (2, c.layers, n, c.hidden)).astype(np.float32))
    return {"frames": torch.from_numpy(rng.integers(0, 256, (n, data.SIZE, data.SIZE, 3), np.uint8)),
            "z": torch.from_numpy(np.resize(z, (n, c.z)).astype(np.float32)),
            "keys": torch.eye(c.keys)[torch.arange(n) % c.keys], "h": h, "c": cell,
            "noise": torch.from_numpy(rng.normal(size=(n, 1)).astype(np.float32))}


def scales(weights, axis):
    """What the int8 numbers of weights (an array) are multiplied with: one for each row along `axis`."""
    others = tuple(a for a in range(weights.ndim) if a != axis)
    return np.maximum(np.abs(weights).max(others, keepdims=True), 1e-9) / np.float32(MOST)


@torch.no_grad()
def shorten(network):
    """Round the large weights of a network, in place, to what the files hold."""
    for module in network.modules():
        outputs = 1 if isinstance(module, torch.nn.ConvTranspose2d) else 0
        for weight in module.parameters(recurse=False):
            if weight.ndim > 1 and weight.numel() >= LARGE:
                scale = torch.from_numpy(scales(weight.numpy(), outputs))
                weight.copy_((weight / scale).round() * scale)


def store_bytes(graph):
    """Keep a graph's rounded weights as int8, and behind each a Cast and a Mul by its scales, which
    onnxruntime computes once, when it opens the graph."""
    nodes, more = [], []
    for weight in graph.initializer:
        values, name = onnx.numpy_helper.to_array(weight), weight.name
        for axis in range(values.ndim if values.dtype == np.float32 and values.size >= LARGE else 0):
            scale = scales(values, axis)
            numbers = values / scale
            if 16 * scale.size <= values.size and np.abs(numbers - numbers.round()).max() < 1e-3:
                weight.CopyFrom(onnx.numpy_helper.from_array(numbers.round().astype(np.int8), f"{name}.int8"))
                more.append(onnx.numpy_helper.from_array(scale, f"{name}.scale"))
                nodes += [onnx.helper.make_node("Cast", [f"{name}.int8"], [f"{name}.float"],
                                                to=onnx.TensorProto.FLOAT),
                          onnx.helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [name])]
                break
    nodes += graph.node
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(more)


def write(path, graph, inputs):
    """Export one Graph to `path`. inputs: {name: example}, no tensor twice, as torch would merge the two."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    batch_axes = tuple({1 if name in ("h", "c") else 0: torch.export.Dim("N")} for name in graph.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns about its own internals
        torch.onnx.export(graph, tuple(inputs[name] for name in graph.inputs), str(path),
                          input_names=graph.inputs, output_names=graph.outputs,
                          dynamic_shapes=(batch_axes,), external_data=False, verbose=False)
    model = onnx.load(path)
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output,
                 *model.graph.value_info):
        del part.metadata_props[:]  # stack traces with the folders of this machine
    store_bytes(model.graph)
    onnx.save(model, path)
    onnx.checker.check_model(str(path), full_check=True)


@torch.no_grad()
def difference(path, graph, inputs, steps=5):
    """Largest difference between onnxruntime and PyTorch, each fed with its own output, as a share of the
    largest value there (at least 1)."""
    session, worst = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), 0.0
    torch_inputs = {name: inputs[name] for name in graph.inputs}
    onnx_inputs = {name: x.numpy() for name, x in torch_inputs.items()}
    for _ in range(steps):
        expected = graph(*torch_inputs.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        for name, a, b in zip(graph.outputs, expected, session.run(graph.outputs, onnx_inputs)):
            gap = (torch.from_numpy(b).double() - a.double()).abs()
            if b.dtype == np.uint8:  # a value on the edge may be rounded to either side
                gap = (gap - 1).clamp(min=0)
            gap = gap.max().item() / max(1.0, a.abs().max().item())
            worst = max(worst, gap) if gap <= 1 else 1.0  # 1.0 for NaN, too
            fed_back = name.removesuffix("_next")
            if fed_back in torch_inputs:
                torch_inputs[fed_back], onnx_inputs[fed_back] = a, b
    return worst
