"""The two networks: an autoencoder (frame <-> 16 numbers) and an LSTM that predicts the next 16 numbers.

Bricks only: importing this file prints nothing and touches no file and no device. All sizes lie in a config,
which is stored in the checkpoint. The original's networks have 2,096,915 + 4,686,864 = 6,783,779 parameters;
ours 1,630,307 + 4,735,985 = 6,366,292, with small kernels, and with width moved from the head into the LSTM.

Shapes: N frames, B episodes, T frames of an episode, Z latent features, K keys, L LSTM layers, H hidden width
"""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from engine import parallel


@dataclass
class AutoencoderConfig:
    """What makes an Autoencoder. Its encoder: four convolutions of stride 2, with this kernel. Decoder: two
    linear layers, of which the second fills a map of `side` x `side`, then four transposed convolutions of
    stride 2, from so many `channels` with these `kernels`.

    `dropout` acts in narrow linear layers, `noise` multiplies z in training."""
    z: int = 16
    encoder_kernel: int = 4
    decoder_hidden: int = 256
    side: int = 6
    channels: tuple = (128, 80, 48, 24)
    kernels: tuple = (4, 4, 4, 4)
    padding: int = 1
    activation: str = "hardswish"
    dropout: float = 0.0
    noise: float = 0.05


ORIGINAL_AUTOENCODER = {"encoder_kernel": 5, "decoder_hidden": 64, "side": 1, "channels": (576, 64, 32, 16),
                        "kernels": (7, 7, 9, 8), "padding": 0, "activation": "mish"}


@dataclass
class DynamicsConfig:
    """What makes a Dynamics. `widths` are those of the linear layers between the LSTM and the next z. `over`:
    whether it tells, and is told, when a life ends."""
    z: int = 16
    keys: int = 4
    hidden: int = 384
    layers: int = 3
    dropout: float = 0.0
    widths: tuple = (1024, 1248)
    over: bool = True


class Mish(nn.Module):
    """x * tanh(softplus(x)). For ONNX it is written 2x / (1 + s^2) - x with s = sigmoid(-x): the same numbers
    without overflow, from operators that onnxruntime runs fast (it has no kernel for Mish itself)."""

    def forward(self, x):
        if not torch.onnx.is_in_onnx_export():
            return F.mish(x)
        s = torch.sigmoid(-x)
        return 2 * x / (1 + s * s) - x


def to_float(frames):
    """Recorded frames uint8 (N, 96, 96, 3) as float32 (N, 3, 96, 96) in 0..1."""
    return frames.permute(0, 3, 1, 2).float() / 255


ACTIVATIONS = {"mish": Mish, "hardswish": nn.Hardswish}


def init_weights(module):
    """Weights that keep the variance of a signal through layers with these activations (He et al. 2015), and
    biases 0. With PyTorch's smaller ones the decoder paints the mean frame for its first thousand steps."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)):
            fan_in = layer.weight[0].numel()
            if isinstance(layer, nn.ConvTranspose2d):
                # An output pixel sees every second row and column of the kernel; from a 1x1 map, one weight.
                from_1x1 = layer.in_channels == 576
                seen = 1 if from_1x1 else layer.weight[0, 0].numel() / layer.stride[0] ** 2
                fan_in = layer.in_channels * seen
            nn.init.normal_(layer.weight, std=(2 / fan_in) ** 0.5)
            nn.init.zeros_(layer.bias)


class Encoder(nn.Module):
    """frames uint8 (N, 96, 96, 3) -> z float32 (N, Z)."""

    def __init__(self, config):
        super().__init__()
        c, act = config, ACTIVATIONS[config.activation]
        layers, channels, side = [], 3, 96
        for after in (8, 16, 32, 64):
            layers += [nn.Conv2d(channels, after, c.encoder_kernel, 2, c.padding), act()]
            channels, side = after, (side + 2 * c.padding - c.encoder_kernel) // 2 + 1
        self.convs, width = nn.Sequential(*layers), channels * side ** 2
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.Dropout(c.dropout), act(),
                                  nn.Linear(64, c.z))

    def forward(self, frames):
        x = self.convs(to_float(frames))      # (N, 64, side, side)
        return self.head(x.flatten(1))        # (N, Z)


class Decoder(nn.Module):
    """z float32 (N, Z) -> frames float32 (N, 3, 96, 96) in 0..1."""

    def __init__(self, config):
        super().__init__()
        c, act = config, ACTIVATIONS[config.activation]
        self.head = nn.Sequential(nn.Linear(c.z, c.decoder_hidden), nn.Dropout(c.dropout), act(),
                                  nn.Linear(c.decoder_hidden, c.channels[0] * c.side ** 2),
                                  nn.Dropout(c.dropout), act(),
                                  nn.Unflatten(1, (c.channels[0], c.side, c.side)))
        layers = []
        for channels, after, kernel in zip(c.channels, (*c.channels[1:], 3), c.kernels):
            layers += [nn.ConvTranspose2d(channels, after, kernel, 2, c.padding), act()]
        self.convs = nn.Sequential(*layers[:-1], nn.Sigmoid())

    def forward(self, z):
        return self.convs(self.head(z))

    def paint(self, z):
        """z (N, Z) -> rgba uint8 (N, 96, 96, 4) with alpha 255: what a canvas takes as it is."""
        rgb = (self(z) * 255).round().to(torch.uint8)
        rgba = torch.cat([rgb, torch.full_like(rgb[:, :1], 255)], dim=1)
        return rgba.permute(0, 2, 3, 1)       # last, as bytes are moved faster than floats


class Autoencoder(nn.Module):
    """Encoder and decoder, and in training noise between them."""

    def __init__(self, config=None):
        super().__init__()
        self.config = c = config or AutoencoderConfig()
        self.encoder = Encoder(c)
        self.decoder = Decoder(c)
        init_weights(self)

    def forward(self, frames):
        """frames uint8 (N, 96, 96, 3) -> z (N, Z), reconstruction (N, 3, 96, 96) in 0..1."""
        z = self.encoder(frames)
        noisy = z * (1 + self.config.noise * parallel.noise_like(z)) if self.training else z
        return z, self.decoder(noisy)

    @torch.no_grad()
    def transform_z(self, matrix, shift):
        """Turn every z into z @ matrix (Z, Z) + shift (Z), undone in the decoder: frames stay the same."""
        last, first = self.encoder.head[-1], self.decoder.head[0]
        last.weight.copy_(matrix.T @ last.weight)
        last.bias.copy_(last.bias @ matrix + shift)
        first.weight.copy_(first.weight @ torch.linalg.inv(matrix).T)
        first.bias -= first.weight @ shift


class Dynamics(nn.Module):
    """z, keys, and whether the life ends in this step -> the next z. How likely that end is, it tells itself.

    `dz_mean` and `dz_std` (Z) are buffers, measured on the training set: a player only feeds and shows.
    """

    def __init__(self, config=None):
        super().__init__()
        self.config = c = config or DynamicsConfig()
        self.lstm = nn.LSTM(c.z + c.keys + c.over, c.hidden, c.layers, dropout=c.dropout, batch_first=True)
        layers, width = [Mish()], c.hidden
        for next_width in c.widths:
            layers += [nn.Linear(width, next_width), Mish(), nn.Dropout(c.dropout)]
            width = next_width
        self.head = nn.Sequential(*layers, nn.Linear(width, c.z))
        if c.over:
            self.over_head = nn.Sequential(nn.Linear(c.z + c.keys + c.hidden, 128), Mish(), nn.Linear(128, 1))
        self.register_buffer("dz_mean", torch.zeros(c.z))
        self.register_buffer("dz_std", torch.ones(c.z))

    def inputs(self, z, keys, over):
        """What the LSTM is fed: z (..., Z), keys (..., K), over (...) -> (..., Z + K, and 1 with over)"""
        return torch.cat([z, keys, over[..., None]] if self.config.over else [z, keys], dim=-1)

    def over_logit(self, z, keys, h):
        """How likely the life ends in the step from z (..., Z) under keys (..., K), given h (..., H), the
        LSTM's output in the step before (zeros at first) -> logit (...), -20 where it was not learned"""
        if not self.config.over:
            return torch.full_like(z[..., 0], -20.0)
        return self.over_head(torch.cat([z, keys, h], dim=-1))[..., 0]

    def next_z(self, z, x):
        """z (..., Z) and the LSTM's output x (..., H) -> z_next (..., Z)."""
        return z + self.dz_mean + self.dz_std * self.head(x)

    def step(self, z, keys, over=None, state=None):
        """One step of B dreams: z (B, Z), keys (B, K), over (B) 1 where the life ends, or None: where that is
        likelier than not -> z_next (B, Z), logit of over (B), state (h, c) each (L, B, H)"""
        if state is None:
            h = z.new_zeros(self.config.layers, len(z), self.config.hidden)
            state = h, h
        logit = self.over_logit(z, keys, state[0][-1])
        over = (logit > 0).to(z) if over is None else over
        x, state = self.lstm(self.inputs(z, keys, over)[:, None], state)
        return self.next_z(z, x[:, 0]), logit, state

    def forward(self, z, keys, over, state=None):
        """Teacher forcing: z (B, T, Z), keys float (B, T, K), over float (B, T), state (h, c) each (L, B, H)
        or None: zeros -> z_next (B, T, Z), state."""
        x, state = self.lstm(self.inputs(z, keys, over), state)  # (B, T, H)
        return self.next_z(z, x), state

    def rollout(self, z, keys, over=None, state=None):
        """The model run on its own output: z (B, Z), keys (B, T, K), over (B, T) or None, as in step()
        -> z_next (B, T, Z), logits of over (B, T), state."""
        predicted, logits = [], []
        for t in range(keys.shape[1]):
            z, logit, state = self.step(z, keys[:, t], None if over is None else over[:, t], state)
            predicted.append(z)
            logits.append(logit)
        return torch.stack(predicted, dim=1), torch.stack(logits, dim=1), state


def steps_of(z, keys, over):
    """Arrays z (B, T, Z), keys (B, T, K), over (B, T) of episodes -> the same as float32 tensors of their
    T - 1 steps: what Dynamics is fed. over: whether the life has ended after the step."""
    return tuple(torch.from_numpy(x).float() for x in (z[:, :-1], keys[:, :-1], over[:, 1:]))


def in_batches(function, rows, size=128):
    """function(rows) -> tensor with a row for each, computed for `size` rows at a time, to save memory."""
    return torch.cat([function(batch) for batch in rows.split(size)])


def count_parameters(*modules):
    """Number of parameters of the modules together."""
    return sum(p.numel() for m in modules for p in m.parameters())
