"""A model folder in onnxruntime: what app.py plays and evaluate.py measures. Needs no torch.

Reads   a model folder of export.py: meta.json, encoder.onnx, decoder.onnx, dynamics.onnx

    model = Model(Path("docs/model/runner"))
    z, h, c = model.starts[0]
    z, h, c = model.step(z, np.array([[1, 0, 0, 1]]), h, c)      # one frame with Q and P held
    frames = model.decode(z)

Shapes: N dreams side by side, B episodes, T frames, Z latent features, K keys, L LSTM layers, H hidden width
"""
import hashlib
import json

import numpy as np
import onnxruntime

FORMAT = 1      # of meta.json: what export.py writes
GRAPHS = ("encoder", "decoder", "dynamics")
NEEDED = ("game", "keys", "frame_ms", "ticks_per_frame", "z_low", "z_high", "sha256")


def read(path):
    """The bytes of a file of a model folder. Ends the program with one line if it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SystemExit(f"no model in {path.parent} ({path.name} is missing): "
                         "run  make pipeline  or  python export.py  first") from None


def read_meta(folder):
    """meta.json of a model folder. Ends the program with one line if it cannot be played."""
    try:
        meta = json.loads(read(folder / "meta.json"))
    except ValueError as error:
        raise SystemExit(f"{folder}/meta.json is not valid JSON ({error}): "
                         "run  python export.py  again") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        version = meta.get("format") if isinstance(meta, dict) else type(meta).__name__
        raise SystemExit(f"{folder} has format {version}, this version plays format {FORMAT}: "
                         "run  python export.py  again")
    for name in NEEDED:
        if not meta.get(name):
            raise SystemExit(f"{folder}/meta.json has no {name}: run  python export.py  again")
    return meta


def batches(rows, size=128):
    """Rows in batches of at most `size`, so that they fit in memory."""
    return np.array_split(rows, -(-len(rows) // size))


class Model:
    """An open model folder. Ends the program with one line if it cannot be played.

    threads: of onnxruntime for one frame; 0 uses all cores."""

    def __init__(self, folder, threads=0):
        self.folder, self.meta = folder, read_meta(folder)
        self.encoder, self.decoder, self.dynamics = (self.open(f"{name}.onnx", threads) for name in GRAPHS)
        shapes = {array.name: array.shape for array in self.dynamics.get_inputs()}
        self.layers, _, self.hidden = shapes["h"]
        self.features = shapes["z"][1]
        self.frame_s = self.meta["frame_ms"] / 1000
        self.starts = []
        for start in self.meta.get("starts") or []:
            try:
                self.starts.append(self.state(start["z"], start.get("h"), start.get("c")))
            except ValueError as error:
                raise SystemExit(f"{folder}/meta.json: a start state does not fit the model ({error}): "
                                 "run  python export.py  again") from None
        if not self.starts:
            raise SystemExit(f"{folder}/meta.json has no start state: run  python export.py  again")

    def open(self, name, threads):
        path = self.folder / name
        if hashlib.sha256(read(path)).hexdigest() != self.meta["sha256"].get(name):
            raise SystemExit(f"{path} is not the file that meta.json lists (sha256 differs): "
                             "run  python export.py  again, or copy the whole folder again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def state(self, z, h=None, c=None):
        """Numbers (lists or arrays) as the state of one dream -> [z (1, Z), h (L, 1, H), c (L, 1, H)], h and
        c zeros where None.

        Raises ValueError if there are too few or too many numbers, or if one is not finite."""
        h, c = (zeros if x is None else x for x, zeros in zip((h, c), self.zero_state(1)))
        arrays = [np.array(z, np.float32).reshape(1, self.features),
                  *(np.array(x, np.float32).reshape(self.layers, 1, self.hidden) for x in (h, c))]
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("z, h and c must be finite numbers")
        return arrays

    def zero_state(self, n):
        """The LSTM's state before an episode -> [h, c]"""
        return [np.zeros((self.layers, n, self.hidden), np.float32) for _ in range(2)]

    def encode(self, frames):
        """uint8 (..., 96, 96, 3) -> z (..., Z)"""
        flat = frames.reshape(-1, *frames.shape[-3:])
        z = np.concatenate([self.encoder.run(["z"], {"frames": batch})[0] for batch in batches(flat)])
        return z.reshape(*frames.shape[:-3], -1)

    def decode(self, z):
        """z (N, Z) -> uint8 (N, 96, 96, 3)"""
        return np.concatenate([self.decoder.run(["rgba"], {"z": batch})[0][..., :3] for batch in batches(z)])

    def step(self, z, keys, h, c):
        """One frame for N dreams: z (N, Z), keys (N, K) -> [z_next, h_next, c_next]"""
        feed = {"z": z, "keys": np.asarray(keys, np.float32), "h": h, "c": c}
        return self.dynamics.run(["z_next", "h_next", "c_next"], feed)

    def teach(self, z, keys):
        """Teacher forcing: true z (B, T, Z), keys (B, T, K) -> predicted z_next (B, T, Z), [h, c]"""
        state, predicted = self.zero_state(len(z)), np.empty_like(z)
        for t in range(z.shape[1]):
            predicted[:, t], *state = self.step(z[:, t], keys[:, t], *state)
        return predicted, state

    def one_step(self, z, keys):
        """The prediction one step ahead of each true z (B, T, Z) under keys (B, T, K) -> (B, T, Z)"""
        return self.teach(z, keys)[0]

    def context(self, z, keys):
        """True z (N, W, Z), keys (N, W - 1 or more, K) -> the state at the last frame, before its keys act"""
        _, state = self.teach(z[:, :-1], keys)
        return [z[:, -1], *state]

    def play(self, state, keys, progress=iter):
        """The dream from a state [z, h, c] under keys (N, T, K) -> z (N, T, Z), the last state. progress:
        wraps the range of frames, such as tqdm."""
        z = np.empty((*keys.shape[:2], self.features), np.float32)
        for t in progress(range(keys.shape[1])):
            state = self.step(state[0], keys[:, t], *state[1:])
            z[:, t] = state[0]
        return z, state

    def rollout(self, state, keys, progress=iter):
        """The dream from a state [z, h, c] under keys (N, T, K) -> z (N, T, Z)"""
        return self.play(state, keys, progress)[0]

    def rollout_after(self, z, keys):
        """The dream after true z (N, W, Z), keys (N, W + T, K) from the first of them on -> z (N, T, Z)"""
        return self.rollout(self.context(z, keys), keys[:, z.shape[1] - 1:-1])
