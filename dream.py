"""The dream in Python: a model folder in onnxruntime. What app.py plays and evaluate.py measures; needs no torch.

Reads   a model folder of export.py: meta.json, encoder.onnx, decoder.onnx, dynamics.onnx

    model = Model(Path("docs/model/runner"))
    z, h, c = model.start(0)
    z, h, c = model.step(z, np.array([[1, 0, 0, 1]]), h, c)      # one frame with Q and P held
    frames = model.decode(z)

Shapes: N dreams side by side, B episodes, T frames, Z latent features, K keys, L LSTM layers, H hidden width
"""
import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime

FORMAT = 1      # of meta.json: what export.py writes
GRAPHS = ("encoder", "decoder", "dynamics")


def pieces(rows, size=128):
    """Rows in pieces of at most `size`: enough at a time for the memory."""
    return np.array_split(rows, -(-len(rows) // size))


class Model:
    """An opened model folder. Ends the program with one line if it cannot be played.

    threads: of onnxruntime for one frame; 0 as many as there are cores."""

    def __init__(self, folder, threads=0):
        self.folder = folder
        try:
            self.meta = meta = json.loads((folder / "meta.json").read_text())
            if meta["format"] != FORMAT:
                raise SystemExit(f"{folder} has format {meta['format']}, this version plays format {FORMAT}: "
                                 "run  python export.py  again")
            self.encoder, self.decoder, self.dynamics = (self.open(f"{name}.onnx", threads) for name in GRAPHS)
            shapes = {array.name: array.shape for array in self.dynamics.get_inputs()}
            self.layers, _, self.hidden = shapes["h"]
            self.features = shapes["z"][1]
            self.starts = [self.state(**{name: start.get(name) for name in "zhc"}) for start in meta["starts"]]
            if not (self.starts and meta["game"] and meta["keys"] and meta["frame_ms"] > 0):
                raise ValueError("meta.json has no start state, no game, no keys or no pace")
            self.frame_s = meta["frame_ms"] / 1000
        except FileNotFoundError as error:
            raise SystemExit(f"no model in {folder} ({Path(error.filename).name} is missing): "
                             "run  make pipeline  or  python export.py  first") from None
        except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
            raise SystemExit(f"{folder} is not a model folder of export.py, {type(error).__name__}: {error}: "
                             "run  python export.py  again") from None

    def open(self, name, threads):
        path = self.folder / name
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.meta["sha256"].get(name):
            raise SystemExit(f"{path} is not the file that meta.json tells of (sha256 differs): "
                             "run  python export.py  again, or copy the whole folder again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def state(self, z, h=None, c=None):
        """Numbers (lists or arrays) as the state of one dream -> z (1, Z), h and c (L, 1, H), zeros where None.

        Raises ValueError if there are too few or too many of them, or if one is not finite."""
        shape = self.layers, 1, self.hidden
        arrays = [np.array(z, np.float32).reshape(1, self.features),
                  *(np.zeros(shape, np.float32) if x is None else np.array(x, np.float32).reshape(shape)
                    for x in (h, c))]
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("z, h and c must be finite numbers")
        return arrays

    def encode(self, frames):
        """uint8 (..., 96, 96, 3) -> z (..., Z)"""
        flat = frames.reshape(-1, *frames.shape[-3:])
        z = np.concatenate([self.encoder.run(["z"], {"frames": part})[0] for part in pieces(flat)])
        return z.reshape(*frames.shape[:-3], -1)

    def decode(self, z):
        """z (N, Z) -> uint8 (N, 96, 96, 3)"""
        return np.concatenate([self.decoder.run(["rgba"], {"z": part})[0][..., :3] for part in pieces(z)])

    def zero_state(self, n):
        """The LSTM's state before a life: h, c."""
        return [np.zeros((self.layers, n, self.hidden), np.float32)] * 2

    def step(self, z, keys, h, c):
        """One frame for N dreams: z (N, Z), keys (N, K) -> z_next, h, c"""
        feed = {"z": z, "keys": np.asarray(keys, np.float32), "h": h, "c": c}
        return self.dynamics.run(["z_next", "h_next", "c_next"], feed)

    def one_step(self, z, keys):
        """One step ahead from every true z (teacher forcing): z (B, T, Z), keys (B, T, K) -> z_next (B, T, Z)"""
        state, predicted = self.zero_state(len(z)), []
        for t in range(z.shape[1]):
            z_next, *state = self.step(z[:, t], keys[:, t], *state)
            predicted.append(z_next)
        return np.stack(predicted, 1)

    def rollout(self, z, keys, frames):
        """Warm up on true z (N, W, Z), then `frames` frames of dream under keys (N, W + frames, K) -> (N, frames, Z)"""
        state, dreamed, now = self.zero_state(len(z)), [], z[:, 0]
        for t in range(z.shape[1] + frames - 1):
            now, *state = self.step(z[:, t] if t < z.shape[1] else now, keys[:, t], *state)
            if t >= z.shape[1] - 1:
                dreamed.append(now)
        return np.stack(dreamed, 1)
