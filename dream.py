"""A model folder in onnxruntime: what app.py plays and evaluate.py measures. Needs no torch.

Reads   a model folder of export.py: meta.json, encoder.onnx, decoder.onnx, dynamics.onnx

    model = Model(Path("docs/model/runner"))
    state, over = model.step(model.starts[0], np.array([[1, 0, 0, 1]]))   # one frame with Q and P held
    frames = model.decode(state[0])

Shapes: N dreams side by side, B episodes, T frames, Z latent features, K keys, L LSTM layers, H hidden width
"""
import hashlib

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort

import data

FORMATS = 1, 2  # of meta.json: 2 tells when a life ends, which depends on noise
ORT_ERRORS = (ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.NoModel,
              ort.NoSuchFile, ort.NotImplemented, ort.RuntimeException)
GRAPHS = ("encoder", "decoder", "dynamics")
RANGES = ("z_low", "z_high", "dz_std")  # of meta.json: a number for each feature of z


def read(path):
    """The bytes of a file of a model folder. Ends the program with one line if it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SystemExit(f"no model in {path.parent} ({path.name} is missing): "
                         "run make pipeline or export.py first") from None


def read_meta(folder):
    """meta.json of a model folder. Ends the program with one line if it cannot be played."""
    content = read(folder / "meta.json")
    try:
        meta = data.parse_json(content)
        if meta["format"] not in FORMATS:
            raise ValueError(f"format {meta['format']}, this version plays {FORMATS}")
        numbers = np.array([meta[name] for name in RANGES], np.float64)
        paces = np.array([meta["frame_ms"], meta["ticks_per_frame"]], np.float64)
        if not ("".join([meta["game"], *meta["keys"]]) and dict(meta["sha256"]) and np.isfinite(numbers).all()
                and numbers.ndim == 2 and ((paces > 0) & (paces < 1e9)).all()):
            raise ValueError("a value is wrong")
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise SystemExit(f"{folder}/meta.json cannot be played ({data.reason(error)}): "
                         "run export.py again") from None
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
        self.noise_size = shapes["noise"][1] if "noise" in shapes else 0   # for each frame
        self.frame_s = self.meta["frame_ms"] / 1000
        self.starts = []
        for start in self.meta.get("starts") or []:
            try:
                self.starts.append(self.state(start["z"], start.get("h"), start.get("c")))
            except ValueError as error:
                raise SystemExit(f"{folder}/meta.json: a start state does not fit the model ({error}): "
                                 "run export.py again") from None
        if not self.starts:
            raise SystemExit(f"{folder}/meta.json has no start state: run export.py again")

    def open(self, name, threads):
        path = self.folder / name
        if hashlib.sha256(read(path)).hexdigest() != self.meta["sha256"].get(name):
            raise SystemExit(f"{path} is not the file that meta.json lists (sha256 differs): "
                             "run export.py again, or copy the whole folder again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        try:
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except ORT_ERRORS as error:
            raise SystemExit(f"{path} does not run in onnxruntime ({data.reason(error)}): "
                             "run export.py again") from None

    def state(self, z, h=None, c=None):
        """Numbers (lists or arrays) as the state of one dream -> [z (1, Z), h (L, 1, H), c (L, 1, H)].

        h, c None: zeros. Raises ValueError if there are too few or too many numbers, or one is not finite."""
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

    def step(self, state, keys, noise=None):
        """One frame of N dreams: state [z, h, c], keys (N, K), noise (N, `self.noise_size`) of draw_noise(),
        or None: what is likeliest -> the next state, over bool (N): whether the life has ended"""
        feed = {"z": state[0], "keys": np.asarray(keys, np.float32), "h": state[1], "c": state[2]}
        if not self.noise_size:
            state = self.dynamics.run(["z_next", "h_next", "c_next"], feed)
            return state, self.readout("over", state) > 0.5
        feed["noise"] = np.zeros((len(keys), self.noise_size), np.float32) if noise is None else noise
        *state, over = self.dynamics.run(["z_next", "h_next", "c_next", "over"], feed)
        return state, over > 0.5

    def readout(self, name, state):
        """What the state tells of the step just made -> (N,): "metres" run in it, or whether it was "over"
        (more than 0.5). Zeros where meta.json has no readout."""
        if "readout" not in self.meta:
            return np.zeros(len(state[0]))
        bias, *weights = self.meta["readout"][name]
        return bias + np.concatenate([*state[1], state[0]], axis=1) @ np.float32(weights)

    def teach(self, z, keys):
        """Teacher forcing: true z (B, T, Z), keys (B, T, K) -> predicted z_next (B, T, Z), [h, c]"""
        state, predicted = self.zero_state(len(z)), np.empty_like(z)
        for t in range(z.shape[1]):
            (predicted[:, t], *state), _ = self.step([z[:, t], *state], keys[:, t])
        return predicted, state

    def context(self, z, keys):
        """True z (N, W, Z), keys (N, W - 1 or more, K) -> the state at the last frame, before its keys act"""
        _, state = self.teach(z[:, :-1], keys)
        return [z[:, -1], *state]

    def play(self, state, keys, seed=None, progress=iter):
        """The dream from a state [z, h, c] under keys (N, T, K) -> z (N, T, Z), over bool (N, T), the last
        state. seed: of the noise, another for each of the N; None: what is likeliest. progress: wraps the
        range of frames, such as tqdm."""
        z, over = np.empty((*keys.shape[:2], self.features), np.float32), np.zeros(keys.shape[:2], bool)
        for t in progress(range(keys.shape[1])):
            noise = None if seed is None else draw_noise(seed + np.arange(len(keys)), t, self.noise_size)
            state, over[:, t] = self.step(state, keys[:, t], noise)
            z[:, t] = state[0]
        return z, over, state

    def rollout_after(self, z, keys, seed=None):
        """The dream after true z (N, W, Z), keys (N, W + T, K) from the first of them on -> z (N, T, Z)"""
        return self.play(self.context(z, keys), keys[:, z.shape[1] - 1:-1], seed)[0]


def repeat(state, n):
    """The state [z, h, c] of one dream as that of n equal ones."""
    return [np.repeat(x, n, axis) for axis, x in zip((0, 1, 1), state)]


def mix(x):
    """A uint32 hash of uint32 numbers: the last step of MurmurHash3 (public domain)."""
    x = (x ^ x >> 16) * np.uint32(0x85EBCA6B)
    x = (x ^ x >> 13) * np.uint32(0xC2B2AE35)
    return x ^ x >> 16


def draw_noise(seeds, frame, count, temperature=1.0):
    """`count` standard normal numbers for a frame of N dreams, times the temperature: seeds (N,) -> float32
    (N, count). Each depends on seed, frame and its place alone, and is the same in docs/dream.js: the sum of
    12 uniform numbers of 16 bits."""
    row = mix(np.asarray(seeds).astype(np.uint32) + np.uint32(frame * 0x9E3779B9 % 2 ** 32))
    bits = mix(row[:, None] + np.arange(1, 6 * count + 1, dtype=np.uint32))               # (N, 6 count)
    halves = (bits & 0xFFFF).astype(np.int64) + (bits >> 16)
    total = halves.reshape(len(row), count, 6).sum(-1) + 6                                # each + 0.5
    return ((total / 65536 - 6) * temperature).astype(np.float32)
