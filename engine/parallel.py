"""One training in several processes, which torchrun starts: each takes its share of every batch.

All hold the same weights and draw the same random numbers. Gradients, and what losses divide by, are
averaged, so the result is that of one process, to rounding. Without torchrun nothing here does anything.
"""
import os
import sys

import torch
from torch import distributed

RANK, WORLD, LOCAL_RANK, LOCAL_WORLD = (int(os.environ.get(name, default)) for name, default in (
    ("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1)))


def join(device):
    """Meet the other processes, of which the first one prints for all."""
    if WORLD > 1 and not distributed.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        sys.stdout = open(os.devnull, "w") if RANK else sys.stdout  # noqa: SIM115 (open to the end)


def share(rows):
    """The rows of a batch that are this process's: as many as of any other."""
    count, rest = divmod(len(rows), WORLD)
    if rest:
        raise SystemExit(f"{WORLD} processes cannot share a batch of {len(rows)}: give another --batch")
    return rows[RANK * count:(RANK + 1) * count]


def noise_like(x):
    """Normal noise for this process's rows x: its share of what all processes draw."""
    return share(torch.randn(WORLD * len(x), *x.shape[1:], dtype=x.dtype, device=x.device))


def average(*tensors):
    """Replace each of the tensors by its mean over all processes, in one message -> the first of them."""
    if WORLD > 1:
        flat = torch.cat([x.flatten() for x in tensors])
        try:
            distributed.all_reduce(flat)
        except RuntimeError:
            raise SystemExit("another process of this training has ended: the same command goes on after "
                             "the last finished epoch") from None
        for x, mean in zip(tensors, (flat / WORLD).split([x.numel() for x in tensors])):
            x.copy_(mean.view_as(x))
    return next(iter(tensors), None)


def average_gradients(model):
    average(*(weight.grad for weight in model.parameters() if weight.grad is not None))


def check_same(device, *numbers):
    """End the program if the processes begin with different numbers: of epochs, of episodes."""
    own = torch.tensor(numbers, dtype=torch.float32, device=device)
    if not torch.equal(average(own.clone()), own):
        raise SystemExit("the processes read different files: give all machines one --data folder")
