"""Muon: for weights that are matrices, a momentum whose step is made orthogonal; AdamW for all others.

After Jordan et al. 2024, https://kellerjordan.github.io/posts/muon. torch.optim.Muon takes 2D matrices alone;
here a convolution's weights count as one. What it brings is measured in docs/experiments.md.
"""
import torch

from engine import parallel
from engine.training import has_bfloat16

LARGEST = 512                      # wider matrices are left to AdamW: their orthogonal steps take too long
ITERATIONS, MOMENTUM = 5, 0.95
A, B, C = 3.4445, -4.7750, 2.0315  # coefficients of the iteration's polynomial, from the page above


def orthogonalise(matrix):
    """The nearest matrix (M, N) whose singular values are all about 1 (0.7 to 1.2), by Newton-Schulz."""
    x = matrix.bfloat16() if has_bfloat16(matrix.device) else matrix
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = A * x + (B * square + C * square @ square) @ x
    return (x.T if is_tall else x).to(matrix.dtype)


class Muon(torch.optim.AdamW):
    """Steps the module's matrices with up to LARGEST rows or columns by `muon_lr`, all else by AdamW with
    `lr`. Weight decay is decoupled (times the learning rate) and acts on matrices alone, not on biases."""

    def __init__(self, module, lr, muon_lr, weight_decay):
        vectors, wide, matrices = [], [], []
        for weight in module.parameters():
            if weight.ndim < 2:
                vectors.append(weight)
            elif min(weight.flatten(1).shape) > LARGEST:
                wide.append(weight)
            else:
                matrices.append(weight)
        super().__init__([{"params": vectors, "weight_decay": 0.0}, {"params": wide},
                          {"params": matrices, "lr": muon_lr}], lr, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure=None):
        group = self.param_groups[-1]  # the matrices
        weights, steps = [w for w in group["params"] if w.grad is not None], []
        for n, weight in enumerate(weights):
            state = self.state[weight]
            if not state:  # AdamW looks for a step in every state that it loads
                state |= {"step": torch.tensor(0.0), "average": torch.zeros_like(weight)}
            average = state["average"]
            average.mul_(MOMENTUM).add_(weight.grad)
            step = (weight.grad + MOMENTUM * average).flatten(1)
            is_own = n % parallel.WORLD == parallel.RANK  # of several processes, one does the iteration
            steps.append(orthogonalise(step) if is_own else torch.zeros_like(step))
        parallel.average(*steps)
        for weight, step in zip(weights, steps):
            scale = max(1, step.shape[0] / step.shape[1]) ** 0.5
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(step.view_as(weight), alpha=-group["lr"] * scale * parallel.WORLD)
            weight.grad = None  # so AdamW leaves it alone
        return super().step(closure)


def make_optimizer(module, lr, muon_lr, weight_decay):
    """Muon, or with a muon_lr of 0 AdamW for all weights."""
    if muon_lr:
        return Muon(module, lr, muon_lr, weight_decay)
    return torch.optim.AdamW(module.parameters(), lr, weight_decay=weight_decay)
