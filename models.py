"""The two networks: an autoencoder (frame <-> 16 numbers) and an LSTM that dreams the next 16 numbers.

Bricks only: importing this file prints nothing and touches no file and no device. Every size lies in a dataclass that
is stored in the checkpoint, so loading never repeats one. The defaults are the original's: 2,096,915 + 4,686,864 =
6,783,779 parameters.

Shapes: N pictures, B episodes, T frames, Z latent features, K keys, L LSTM layers, H hidden width
"""
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class AutoencoderConfig:
    """What makes an Autoencoder. `dropout` acts in the narrow linear layers, `noise` multiplies z while training,
    `bodies` is the number of angles that a helper reads from z while training (0: no helper), `widths` are those of the
    decoder's three maps between the 576 and the picture."""
    z: int = 16
    dropout: float = 0.2
    noise: float = 0.05
    pose_angles: int = 0
    widths: tuple = (64, 32, 16)


@dataclass
class DynamicsConfig:
    """What makes a Dynamics. `widths` are those of the layers between the LSTM and the next z."""
    z: int = 16
    keys: int = 4
    hidden: int = 128
    layers: int = 3
    dropout: float = 0.1
    widths: tuple = (1024, 2048, 1024)


class Mish(nn.Module):
    """x * tanh(softplus(x)). For ONNX it is written 2x / (1 + s^2) - x with s = sigmoid(-x): the same numbers without
    overflow, from operators that onnxruntime runs fast (it has no kernel for Mish itself)."""

    def forward(self, x):
        if not torch.onnx.is_in_onnx_export():
            return F.mish(x)
        s = torch.sigmoid(-x)
        return 2 * x / (1 + s * s) - x


def to_float(frames):
    """Recorded frames uint8 (N, 96, 96, 3) as pictures float32 (N, 3, 96, 96) in 0..1."""
    return frames.permute(0, 3, 1, 2).float() / 255


def start_weights(module):
    """Weights that keep the size of a signal through layers with Mish (He et al. 2015), biases 0. With torch's own,
    smaller ones the decoder paints the mean picture for its first thousand steps."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)):
            inputs = layer.weight[0].numel()
            if isinstance(layer, nn.ConvTranspose2d):  # a pixel gets a part of the kernel; from a 1x1 map one weight
                one = layer.in_channels == 576
                inputs = layer.in_channels * (1 if one else layer.weight[0, 0].numel() / layer.stride[0] ** 2)
            nn.init.normal_(layer.weight, std=(2 / inputs) ** 0.5)
            nn.init.zeros_(layer.bias)


class Doubled(torch.autograd.Function):
    """A transposed convolution of stride 2 on a CPU, 1.5 times as fast to train: forward as one ordinary convolution to
    4 times the channels, a pixel shuffle behind it; backward as torch does it."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        if torch.is_autocast_enabled("cpu"):
            x, weight, bias = (a.to(torch.get_autocast_dtype("cpu")) for a in (x, weight, bias))
        ctx.save_for_backward(x, weight)
        with torch.autocast("cpu", enabled=False):
            return doubled(x, weight, bias)

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradient.to(x.dtype), x, weight, [weight.shape[1]], [2, 2], [0, 0], [1, 1], True, [0, 0], 1, [True] * 3)
        return of_x, of_weight.float(), of_bias.float()


def doubled(x, weight, bias):
    """conv_transpose2d of stride 2: x (N, I, h, w), weight (I, O, k, k), bias (O) -> (N, O, 2h - 2 + k, 2w - 2 + k).

    Each of the four positions in a 2x2 square of the output is a convolution with every second weight."""
    k = weight.shape[-1]
    half = (k + 1) // 2
    weight = F.pad(weight, (0, 2 * half - k, 0, 2 * half - k)).unflatten(3, (half, 2)).unflatten(2, (half, 2))
    weight = weight.permute(1, 3, 5, 0, 2, 4).flip(4, 5).flatten(0, 2)                   # (4 O, I, half, half)
    y = F.pixel_shuffle(F.conv2d(x, weight, bias.repeat_interleave(4), padding=half - 1), 2)
    height, width = (2 * n - 2 + k for n in x.shape[-2:])
    return y[..., :height, :width].contiguous()


class Up(nn.ConvTranspose2d):
    """ConvTranspose2d of stride 2 without padding."""

    def __init__(self, inputs, outputs, kernel):
        super().__init__(inputs, outputs, kernel, 2)

    def forward(self, x):
        if x.device.type == "cpu" and torch.is_grad_enabled():
            return Doubled.apply(x, self.weight, self.bias)
        return super().forward(x)


class Encoder(nn.Module):
    """frames uint8 (N, 96, 96, 3) -> z float32 (N, Z). 107,040 parameters."""

    def __init__(self, sizes):
        super().__init__()
        widths = [3, 8, 16, 32, 64]
        self.convs = nn.Sequential(*[m for a, b in zip(widths, widths[1:])
                                     for m in (nn.Conv2d(a, b, 5, 2), Mish())])
        self.head = nn.Sequential(nn.LayerNorm(576), nn.Linear(576, 64), nn.Dropout(sizes.dropout), Mish(),
                                  nn.Linear(64, sizes.z))

    def forward(self, frames):
        x = self.convs(to_float(frames))      # (N, 64, 3, 3)
        return self.head(x.flatten(1))        # (N, Z)


class Decoder(nn.Module):
    """z float32 (N, Z) -> pictures float32 (N, 3, 96, 96) in 0..1. 1,989,875 parameters."""

    def __init__(self, sizes):
        super().__init__()
        self.head = nn.Sequential(nn.Linear(sizes.z, 64), nn.Dropout(sizes.dropout), Mish(),
                                  nn.Linear(64, 576), nn.Dropout(sizes.dropout), Mish())
        a, b, c = sizes.widths
        self.first = nn.ConvTranspose2d(576, a, 7, 2)
        self.rest = nn.Sequential(Mish(), Up(a, b, 7), Mish(), Up(b, c, 9), Mish(), Up(c, 3, 8), nn.Sigmoid())

    def forward(self, z):
        x = self.head(z)                                                    # (N, 576)
        # A transposed convolution of a 1x1 map is a matrix product, and several times faster as one.
        x = (x @ self.first.weight.flatten(1)).unflatten(1, (-1, 7, 7)) + self.first.bias[:, None, None]
        return self.rest(x)                                                 # (N, 3, 96, 96)

    def paint(self, z):
        """z (N, Z) -> rgba uint8 (N, 96, 96, 4) with alpha 255: what a canvas takes as it is."""
        rgb = (self(z) * 255).round().to(torch.uint8)
        rgba = torch.cat([rgb, torch.full_like(rgb[:, :1], 255)], dim=1)
        return rgba.permute(0, 2, 3, 1)  # last: bytes are moved faster than floats


class Autoencoder(nn.Module):
    """Encoder and decoder with what lies between them while training: noise on z, and a helper that no one exports."""

    def __init__(self, sizes=None):
        super().__init__()
        self.config = sizes or AutoencoderConfig()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        if self.config.pose_angles:
            self.pose_head = nn.Linear(self.config.z, 2 * self.config.pose_angles)
        start_weights(self)

    def forward(self, frames):
        """frames uint8 (N, 96, 96, 3) -> z (N, Z), pictures (N, 3, 96, 96) in 0..1."""
        z = self.encoder(frames)
        noisy = z * (1 + self.config.noise * torch.randn_like(z)) if self.training else z
        return z, self.decoder(noisy)

    @torch.no_grad()
    def rename(self, matrix, shift):
        """Make each z into z @ matrix + shift, (Z, Z) and (Z); what is painted stays the same."""
        last, inverse = self.encoder.head[-1], torch.linalg.inv(matrix)
        last.weight.copy_(matrix.T @ last.weight)
        last.bias.copy_(last.bias @ matrix + shift)
        for reader in [self.decoder.head[0], *([self.pose_head] if self.config.pose_angles else [])]:
            reader.weight.copy_(reader.weight @ inverse.T)
            reader.bias -= reader.weight @ shift


class Dynamics(nn.Module):
    """z and keys -> the next z. 4,686,864 parameters.

    `dz_mean` and `dz_std` (Z) are buffers, measured on the training set: whoever plays only feeds and shows.
    """

    def __init__(self, sizes=None):
        super().__init__()
        self.config = s = sizes or DynamicsConfig()
        self.lstm = nn.LSTM(s.z + s.keys, s.hidden, s.layers, dropout=s.dropout, batch_first=True)
        widths = [s.hidden, *s.widths]
        hidden = [m for a, b in zip(widths, widths[1:]) for m in (nn.Linear(a, b), Mish(), nn.Dropout(s.dropout))]
        self.head = nn.Sequential(Mish(), *hidden, nn.Linear(widths[-1], s.z))
        self.register_buffer("dz_mean", torch.zeros(s.z))
        self.register_buffer("dz_std", torch.ones(s.z))

    def forward(self, z, keys, state=None):
        """z (B, T, Z), keys float (B, T, K), state (h, c) each (L, B, H) or None: zeros -> z_next (B, T, Z), state."""
        x, state = self.lstm(torch.cat([z, keys], dim=-1), state)  # (B, T, H)
        return self.next(z, x), state

    def next(self, z, x):
        """z (..., Z) and the LSTM's output x (..., H) -> z_next (..., Z)."""
        return z + self.dz_mean + self.dz_std * self.head(x)

    def rollout(self, z, keys, state=None, detached=False):
        """The dream on its own output: z (B, Z), keys (B, T, K) -> z_next (B, T, Z), state.

        detached: no gradient flows through what is fed back."""
        dreamed = []
        for t in range(keys.shape[1]):
            z_next, state = self(z[:, None], keys[:, t:t + 1], state)
            dreamed.append(z_next[:, 0])
            z = z_next[:, 0].detach() if detached else z_next[:, 0]
        return torch.stack(dreamed, dim=1), state


def parameters(*modules):
    """Number of trainable parameters of the modules together."""
    return sum(p.numel() for m in modules for p in m.parameters())


def has_bfloat16(device):
    """Whether the torch.device has instructions for bfloat16; a CPU without them is 7 times as fast with float32."""
    supported = torch.cpu.get_capabilities()
    return device.type == "cuda" or device.type == "cpu" and any(
        supported.get(name) for name in ("amx_bf16", "avx512_bf16"))


def pick_device(name=None):
    """The device to train on -> (torch.device, a function that makes its autocast context).

    CUDA before MPS before CPU; bfloat16 on CUDA, and on a CPU that has instructions for it."""
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name or best)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SystemExit(f"no device {name} here ({str(error).splitlines()[0]}): use --device {best}") from None
    bfloat16 = has_bfloat16(device)
    return device, lambda: torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)


def check_finite(loss, path):
    """End the program if the loss of an epoch (scalar) is not a number. path: what the epoch before can resume from."""
    if not torch.isfinite(torch.as_tensor(loss)):
        raise SystemExit(f"the training has diverged: use a lower --muon or --lr and move {path.name} away. What "
                         "was best until now is kept")


def save_resume(path, model, optimizer, schedule, **rest):
    """Write all that a resumed training needs, aside, then rename."""
    save(path, model, optimizer=optimizer.state_dict(), schedule=schedule.state_dict(),
         chance=torch.get_rng_state(), **rest)


def load_resume(path, model, optimizer, schedule):
    """Put a training back where save_resume() left it -> the checkpoint, or None if there is none."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["config"] != asdict(model.config):
            raise ValueError(f"it was made with {state['sizes']}")
        model.load_state_dict(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["chance"])
    except Exception as error:  # torch raises half a dozen kinds for a damaged or foreign file
        raise SystemExit(f"cannot resume from {path} ({str(error).splitlines()[0]}): use the arguments it was made "
                         "with, or move it away to start anew") from None
    return state


def save(path, model, **rest):
    """Write a checkpoint aside, then rename: weights, sizes and whatever else a resume needs."""
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:  # a full disk is an OSError here, and an obscure RuntimeError by name
        torch.save({"config": asdict(model.config), "weights": model.state_dict(), **rest}, file)
    part.replace(path)


def load(path, kind, device="cpu"):
    """Open a checkpoint of save() -> (model in evaluation mode, the whole checkpoint).

    kind: Autoencoder or Dynamics. Ends the program with one line if the file is missing, damaged or of another shape.
    """
    sizes = {Autoencoder: AutoencoderConfig, Dynamics: DynamicsConfig}[kind]
    maker = {Autoencoder: "train_ae.py", Dynamics: "train_lstm.py"}[kind]
    if not path.exists():
        raise SystemExit(f"no trained model at {path}: run  python {maker}  first")
    try:
        checkpoint = torch.load(path, map_location=device, weights_only=True)
        model = kind(sizes(**checkpoint["config"]))
        model.load_state_dict(checkpoint["weights"])
    except Exception as error:  # torch raises half a dozen kinds for a damaged or foreign file
        raise SystemExit(f"{path} is not a checkpoint of {maker} ({type(error).__name__}: "
                         f"{str(error).splitlines()[0]}): move it away and run  python {maker}  again") from None
    return model.to(device).eval(), checkpoint
