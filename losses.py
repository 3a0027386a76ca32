"""What training minimises: plain functions, each a mean over the batch, 0 where nothing is wrong.

Shapes: N frames (in a row, where neighbours are compared), B episodes, T frames of an episode, Z latent
features
"""
import torch.nn.functional as F

from engine import parallel

PIXELS = 96 * 96


def pixel_loss(reconstruction, truth):
    """Squared error per frame: MSE x 96 x 96. Both (N, 3, 96, 96) in 0..1 -> scalar in 0..9216."""
    return (reconstruction - truth).square().mean() * PIXELS


def edges(frames):
    """Blurred Sobel magnitude: grey, 3x3 box mean, Sobel in x and y. (N, 3, 96, 96) -> (N, 92, 92), 0 on flat
    colour.

    Written as shifted sums: a one-channel convolution is slow on a CPU."""
    grey = frames.mean(1)
    rows = grey[:, :-2] + grey[:, 1:-1] + grey[:, 2:]
    blurred = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    down = blurred[:, :-2] + 2 * blurred[:, 1:-1] + blurred[:, 2:]
    across = blurred[:, :, :-2] + 2 * blurred[:, :, 1:-1] + blurred[:, :, 2:]
    x, y = down[:, :, 2:] - down[:, :, :-2], across[:, 2:] - across[:, :-2]
    return (x.square() + y.square() + 1e-6).sqrt()


def edge_loss(reconstruction, truth):
    """Squared error of the edges, MSE x 96 x 96. Both (N, 3, 96, 96) in 0..1 -> scalar, at least 0."""
    return (edges(reconstruction) - edges(truth)).square().mean() * PIXELS


def interpretability_loss(z):
    """How many features change between neighbouring frames. z (..., N, Z), frames in a row -> scalar in
    0..sqrt(Z) - 1.

    The relative changes of the Z features are scaled to length 1 and summed: 0 when one feature alone
    changes."""
    change = (z[..., 1:, :] - z[..., :-1, :]).abs()
    relative = change / (z[..., 1:, :].abs() + z[..., :-1, :].abs() + 1e-12)
    return (relative / (relative.norm(dim=-1, keepdim=True) + 1e-12)).sum(-1).mean() - 1


def one_step_loss(prediction, truth, z, scale):
    """Squared error one step ahead over that of persistence. All (B, T, Z); scale (Z) divides the squares ->
    scalar: 0 is perfect, 1 is as good as predicting that nothing changes."""
    error = ((prediction - truth).square() / scale).mean()
    return error / parallel.average(((z - truth).square() / scale).mean())


def rollout_loss(prediction, truth, z, scale):
    """The same for rollouts (B, T, Z) that began after the frame z (B, 1, Z). Each frame's error is divided
    by that of persistence at this frame, or the last frames would outweigh the first."""
    error = ((prediction - truth).square() / scale).mean((0, 2))  # (T,)
    return (error / parallel.average(((z - truth).square() / scale).mean((0, 2)))).mean()


def over_loss(logit, over):
    """Cross-entropy of the ends of lives, in nats a step: logit (...), over (...) 1 or 0 -> scalar >= 0, 0
    where all are foreseen. Knowing nothing but their rate of 2.5% gives 0.12."""
    return F.binary_cross_entropy_with_logits(logit.float(), over)
