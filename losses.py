"""What training makes small: plain functions, each a mean over the batch, 0 where nothing is wrong.

Shapes: N pictures or frames in a row, B episodes, T frames, Z latent features
"""
import torch

PIXELS = 96 * 96


def pixel_loss(pictures, truth):
    """Squared error a picture: MSE x 96 x 96. Both (N, 3, 96, 96) in 0..1 -> scalar in 0..9216."""
    return (pictures - truth).square().mean() * PIXELS


def moving_loss(pictures, truth, still, weight):
    """The pixel loss with the pixels that differ from the picture `still` (3, 96, 96) by more than 0.1 counting
    1 + weight times; the weights' mean is 1. Both (N, 3, 96, 96) in 0..1 -> scalar >= 0."""
    counts = 1 + weight * ((truth - still).abs().amax(1, keepdim=True) > 0.1)
    return ((pictures - truth).square() * counts).mean() / counts.mean() * PIXELS


def pose_loss(read, angles):
    """How far off a helper reads angles (N, P) from z: read (N, 2P), their sin and cos -> scalar, 0 is perfect."""
    return (read - torch.cat([angles.sin(), angles.cos()], dim=-1)).square().mean()


def edges(pictures):
    """Blurred Sobel magnitude: grey, 3x3 box mean, Sobel in x and y. (N, 3, 96, 96) -> (N, 92, 92), 0 on flat colour.

    Written as shifted sums: a one-channel convolution is slow on a CPU."""
    grey = pictures.mean(1)
    rows = grey[:, :-2] + grey[:, 1:-1] + grey[:, 2:]
    blurred = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    down = blurred[:, :-2] + 2 * blurred[:, 1:-1] + blurred[:, 2:]
    across = blurred[:, :, :-2] + 2 * blurred[:, :, 1:-1] + blurred[:, :, 2:]
    x, y = down[:, :, 2:] - down[:, :, :-2], across[:, 2:] - across[:, :-2]
    return (x.square() + y.square() + 1e-6).sqrt()


def edge_loss(pictures, truth):
    """Squared error of the edges, MSE x 96 x 96, as the pixel loss. Both (N, 3, 96, 96) in 0..1 -> scalar >= 0."""
    return (edges(pictures) - edges(truth)).square().mean() * PIXELS


def interpretability_loss(z):
    """How many features change between neighbouring frames. z (..., N, Z), frames in a row -> scalar in 0..sqrt(Z) - 1.

    The relative steps of the Z features are scaled to length 1 and summed: 0 when one feature alone changes."""
    step = (z[..., 1:, :] - z[..., :-1, :]).abs()
    relative = step / (z[..., 1:, :].abs() + z[..., :-1, :].abs() + 1e-12)
    return (relative / (relative.norm(dim=-1, keepdim=True) + 1e-12)).sum(-1).mean() - 1


def step_loss(prediction, truth, z, scale):
    """Weighted squared error of predicted latents over that of persistence. All (B, T, Z); scale (Z) divides the
    squares -> scalar: 0 is perfect, 1 is as good as predicting that nothing changes."""
    error = ((prediction - truth).square() / scale).mean()
    return error / ((z - truth).square() / scale).mean()


def rollout_loss(dreamed, truth, z, scale):
    """The same for dreams (B, T, Z) that began after the frame z (B, 1, Z), every frame of them weighing the same: far
    ones would outweigh the first otherwise."""
    error = ((dreamed - truth).square() / scale).mean((0, 2))  # (T,)
    return (error / ((z - truth).square() / scale).mean((0, 2))).mean()
