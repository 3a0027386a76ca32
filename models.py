"""The two networks: an autoencoder (frame <-> 16 numbers) and an LSTM that predicts the next 16 numbers.

Bricks only: importing this file prints nothing and touches no file and no device. All sizes lie in a config,
which is stored in the checkpoint. The original's networks have 2,096,915 + 4,686,864 = 6,783,779 parameters;
ours have the same autoencoder, and dynamics whose width has moved from the head into the LSTM (4,682,480).

Shapes: N frames, B episodes, T frames of an episode, Z latent features, K keys, L LSTM layers, H hidden width
"""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from engine.upconv import Up


@dataclass
class AutoencoderConfig:
    """What makes an Autoencoder. `dropout` acts in narrow linear layers, `noise` multiplies z in training,
    `pose_angles` is how many body angles the pose head reads from z in training (0: no pose head)."""
    z: int = 16
    dropout: float = 0.0
    noise: float = 0.05
    pose_angles: int = 0


@dataclass
class DynamicsConfig:
    """What makes a Dynamics. `widths` are those of the linear layers between the LSTM and the next z."""
    z: int = 16
    keys: int = 4
    hidden: int = 384
    layers: int = 3
    dropout: float = 0.0
    widths: tuple = (1024, 1248)


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


def init_weights(module):
    """Weights that keep the variance of a signal through layers with Mish (He et al. 2015), biases 0. With
    PyTorch's smaller ones the decoder paints the mean frame for its first thousand steps."""
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
    """frames uint8 (N, 96, 96, 3) -> z float32 (N, Z). 107,040 parameters."""

    def __init__(self, config):
        super().__init__()
        self.convs = nn.Sequential(nn.Conv2d(3, 8, 5, 2), Mish(), nn.Conv2d(8, 16, 5, 2), Mish(),
                                   nn.Conv2d(16, 32, 5, 2), Mish(), nn.Conv2d(32, 64, 5, 2), Mish())
        self.head = nn.Sequential(nn.LayerNorm(576), nn.Linear(576, 64), nn.Dropout(config.dropout), Mish(),
                                  nn.Linear(64, config.z))

    def forward(self, frames):
        x = self.convs(to_float(frames))      # (N, 64, 3, 3)
        return self.head(x.flatten(1))        # (N, Z)


class Decoder(nn.Module):
    """z float32 (N, Z) -> frames float32 (N, 3, 96, 96) in 0..1. 1,989,875 parameters."""

    def __init__(self, config):
        super().__init__()
        self.head = nn.Sequential(nn.Linear(config.z, 64), nn.Dropout(config.dropout), Mish(),
                                  nn.Linear(64, 576), nn.Dropout(config.dropout), Mish())
        self.first = nn.ConvTranspose2d(576, 64, 7, 2)
        self.rest = nn.Sequential(Mish(), Up(64, 32, 7), Mish(), Up(32, 16, 9),
                                  Mish(), Up(16, 3, 8), nn.Sigmoid())

    def forward(self, z):
        x = self.head(z)                                                    # (N, 576)
        # A transposed convolution of a 1x1 map is a matrix product, and several times faster as one.
        x = (x @ self.first.weight.flatten(1)).unflatten(1, (-1, 7, 7)) + self.first.bias[:, None, None]
        return self.rest(x)                                                 # (N, 3, 96, 96)

    def paint(self, z):
        """z (N, Z) -> rgba uint8 (N, 96, 96, 4) with alpha 255: what a canvas takes as it is."""
        rgb = (self(z) * 255).round().to(torch.uint8)
        rgba = torch.cat([rgb, torch.full_like(rgb[:, :1], 255)], dim=1)
        return rgba.permute(0, 2, 3, 1)       # last, as bytes are moved faster than floats


class Autoencoder(nn.Module):
    """Encoder and decoder, with what acts on z in training alone: noise, and the pose head."""

    def __init__(self, config=None):
        super().__init__()
        self.config = c = config or AutoencoderConfig()
        self.encoder = Encoder(c)
        self.decoder = Decoder(c)
        self.pose_head = nn.Linear(c.z, 2 * c.pose_angles) if c.pose_angles else None
        init_weights(self)

    def forward(self, frames):
        """frames uint8 (N, 96, 96, 3) -> z (N, Z), reconstruction (N, 3, 96, 96) in 0..1."""
        z = self.encoder(frames)
        noisy = z * (1 + self.config.noise * torch.randn_like(z)) if self.training else z
        return z, self.decoder(noisy)

    @torch.no_grad()
    def transform_z(self, matrix, shift):
        """Turn every z into z @ matrix (Z, Z) + shift (Z), undone in what reads z: frames stay the same."""
        last, inverse = self.encoder.head[-1], torch.linalg.inv(matrix)
        last.weight.copy_(matrix.T @ last.weight)
        last.bias.copy_(last.bias @ matrix + shift)
        for reader in filter(None, (self.decoder.head[0], self.pose_head)):
            reader.weight.copy_(reader.weight @ inverse.T)
            reader.bias -= reader.weight @ shift


class Dynamics(nn.Module):
    """z and keys -> the next z.

    `dz_mean` and `dz_std` (Z) are buffers, measured on the training set: a player only feeds and shows.
    """

    def __init__(self, config=None):
        super().__init__()
        self.config = c = config or DynamicsConfig()
        self.lstm = nn.LSTM(c.z + c.keys, c.hidden, c.layers, dropout=c.dropout, batch_first=True)
        layers, width = [Mish()], c.hidden
        for next_width in c.widths:
            layers += [nn.Linear(width, next_width), Mish(), nn.Dropout(c.dropout)]
            width = next_width
        self.head = nn.Sequential(*layers, nn.Linear(width, c.z))
        self.register_buffer("dz_mean", torch.zeros(c.z))
        self.register_buffer("dz_std", torch.ones(c.z))

    def forward(self, z, keys, state=None):
        """z (B, T, Z), keys float (B, T, K), state (h, c) each (L, B, H) or None: zeros
        -> z_next (B, T, Z), state."""
        x, state = self.lstm(torch.cat([z, keys], dim=-1), state)  # (B, T, H)
        return self.next_z(z, x), state

    def next_z(self, z, x):
        """z (..., Z) and the LSTM's output x (..., H) -> z_next (..., Z)."""
        return z + self.dz_mean + self.dz_std * self.head(x)

    def rollout(self, z, keys, state=None):
        """The model run on its own output: z (B, Z), keys (B, T, K) -> z_next (B, T, Z), state."""
        predicted = []
        for t in range(keys.shape[1]):
            z_next, state = self(z[:, None], keys[:, t:t + 1], state)
            z = z_next[:, 0]
            predicted.append(z)
        return torch.stack(predicted, dim=1), state


def in_batches(function, rows, size=128):
    """function(rows) -> tensor with a row for each, computed for `size` rows at a time, to save memory."""
    return torch.cat([function(batch) for batch in rows.split(size)])


def count_parameters(*modules):
    """Number of trainable parameters of the modules together."""
    return sum(p.numel() for m in modules for p in m.parameters())
