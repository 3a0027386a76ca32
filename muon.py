"""Muon: for the weights that are matrices, a momentum whose step is made orthogonal; AdamW for all others.

After Jordan et al. 2024, https://kellerjordan.github.io/posts/muon (torch.optim.Muon takes matrices alone; here a
convolution's weights are seen as one). What it brings is measured in the README.
"""
import torch

from models import has_bfloat16

LARGEST = 512                      # wider matrices are left to AdamW: to make their steps orthogonal takes too long
STEPS = 5                          # of the iteration
A, B, C = 3.4445, -4.7750, 2.0315  # its polynomial, from there


def orthogonal(matrix):
    """The nearest matrix (M, N) whose singular values are all about 1 (0.7 to 1.2), by Newton-Schulz iteration."""
    x = matrix.bfloat16() if has_bfloat16(matrix.device) else matrix
    wide = x if x.shape[0] <= x.shape[1] else x.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(STEPS):
        square = wide @ wide.T
        wide = A * wide + (B * square + C * square @ square) @ wide
    return (wide if x.shape[0] <= x.shape[1] else wide.T).to(matrix.dtype)


class Muon(torch.optim.AdamW):
    """module: its matrices with up to LARGEST rows or columns are stepped by `muon_lr`, all else by AdamW with `lr`."""

    def __init__(self, module, lr, muon_lr, weight_decay=0.01, momentum=0.95):
        groups = [{"params": [], "momentum": 0}, {"params": [], "momentum": momentum, "lr": muon_lr}]
        for weight in module.parameters():
            groups[weight.ndim > 1 and min(weight.flatten(1).shape) <= LARGEST]["params"].append(weight)
        super().__init__(groups, lr, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"] if group["momentum"] else ():
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:  # AdamW looks for a step in every state that it loads
                    state |= {"step": torch.tensor(0.0), "average": torch.zeros_like(weight)}
                average = state["average"]
                average.mul_(group["momentum"]).add_(weight.grad)
                step = orthogonal((weight.grad + group["momentum"] * average).flatten(1))
                scale = max(1, step.shape[0] / step.shape[1]) ** 0.5
                weight.add_(step.view_as(weight), alpha=-group["lr"] * scale)
                weight.grad = None  # so AdamW leaves it alone
        return super().step(closure)


def make_optimizer(module, lr, muon_lr, weight_decay=0.01):
    """Muon, or with a muon_lr of 0 AdamW for all weights."""
    if muon_lr:
        return Muon(module, lr, muon_lr, weight_decay)
    return torch.optim.AdamW(module.parameters(), lr, weight_decay=weight_decay)
