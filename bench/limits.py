"""What limits the autoencoder: its capacity, its encoder, the 16 numbers, or the decoder?

Reads   data/<game>/frames (with poses), data/<game>/ae.pt
Writes  nothing: it prints one line for each experiment

    python tests/limits.py                 # about ten minutes on one core with bf16

few: a new autoencoder learns 100 frames by heart. pose: a decoder alone learns to paint from the true pose in place
of z, the angles and places of all bodies and where the camera is. search: the z that gradient descent finds for a
held-out frame through the decoder of ae.pt, beside the encoder's. features: what each of the 16 numbers carries.
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))
import data  # noqa: E402
import losses  # noqa: E402
import models  # noqa: E402
from muon import make_optimizer  # noqa: E402

BATCH, SCENERY = 64, 1000  # frames a step; u, the longest period of the camera's place that the decoder is told


def describe(pose):
    """Recorded poses float32 (N, P, 3), body 0 the torso -> what a decoder may paint from, (N, 4 P + 16)."""
    place, angle, torso = pose[..., :2] - pose[:, :1, :2] * (1, 0), pose[..., 2], pose[:, :1, 0]
    camera = 2 * np.pi * torso / SCENERY * 2.0 ** np.arange(8)
    return torch.from_numpy(np.concatenate([place.reshape(len(pose), -1) / 5, np.sin(angle), np.cos(angle),
                                            np.sin(camera), np.cos(camera)], axis=1).astype(np.float32))


def train(name, model, paint, numbers, args, autocast):
    """Train with the pixel loss on the numbered frames in random order. paint(chosen) -> pictures, frames of some."""
    optimizer, steps = make_optimizer(model, args.lr, args.muon), args.frames // BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in tqdm(range(steps), name, unit_scale=BATCH, unit=" frames"):
        with autocast():
            pictures, frames = paint(numbers[torch.randint(len(numbers), (BATCH,))])
        loss = losses.pixel_loss(pictures.float(), models.to_float(frames))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


@torch.no_grad()
def decibels(decoder, z, frames):
    """PSNR in dB of what is painted from z (N, Z), against frames uint8 (N, 96, 96, 3)."""
    return metrics.psnr(decoder.paint(z)[..., :3].numpy(), frames.numpy())


def without_each(decoder, z, frames):
    """PSNR with one feature of z (N, Z) at its mean, for each of them in turn."""
    for feature in range(z.shape[1]):
        changed = z.clone()
        changed[:, feature] = z[:, feature].mean()
        yield decibels(decoder, changed, frames)


def search(decoder, z, frames, steps=200):
    """The best z (N, Z) that gradient descent finds for frames uint8 (N, 96, 96, 3), from this z."""
    z = z.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([z], 0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss = losses.pixel_loss(decoder(z), models.to_float(frames))
        z.grad, = torch.autograd.grad(loss, z)
        optimizer.step()
        schedule.step()
    return z.detach()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="runner")
    parser.add_argument("--data", default="data", help="folder of all recordings")
    parser.add_argument("--frames", type=int, default=93_440, help="that each training sees")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--muon", type=float, default=0.02)
    args = parser.parse_args()
    torch.manual_seed(0)
    _, autocast = models.pick_device("cpu")
    folder = data.game_folder(args.data, args.game)
    trained, _ = models.load(folder / "ae.pt", models.Autoencoder)
    frames, numbers = data.load_frames(folder / "frames")
    held = np.repeat(data.is_held_out(numbers), frames.shape[1])
    known, new = torch.from_numpy(np.flatnonzero(~held)), torch.from_numpy(np.flatnonzero(held)[::10][:500])
    told = describe(data.load_poses(folder / "frames", numbers).reshape(len(held), -1, 3))
    frames = torch.from_numpy(frames).flatten(0, 1)

    with torch.no_grad():
        z = trained.encoder(frames[new])
    whole = decibels(trained.decoder, z, frames[new])
    print("features: " + " ".join(f"{whole - each:.1f}" for each in
                                  sorted(without_each(trained.decoder, z, frames[new]), reverse=True))
          + " dB are lost without each of them")
    z, some = z[::4], frames[new[::4]]
    print(f"search: {decibels(trained.decoder, z, some):.2f} dB from the encoder's z, "
          f"{decibels(trained.decoder, search(trained.decoder, z, some), some):.2f} dB from the best that is found")

    few = frames[known[torch.linspace(0, len(known) - 1, 100).long()]]
    model = models.Autoencoder(models.AutoencoderConfig(dropout=0, noise=0))
    train("few", model, lambda chosen: (model(few[chosen])[1], few[chosen]), torch.arange(100), args, autocast)
    with torch.no_grad():
        z = model.encoder(few)
    print(f"few: {decibels(model.decoder, z, few):.2f} dB of the 100 frames that it learned by heart")

    decoder = models.Decoder(models.AutoencoderConfig(z=told.shape[1], dropout=0))
    models.start_weights(decoder)
    train("pose", decoder, lambda chosen: (decoder(told[chosen]), frames[chosen]), known, args, autocast)
    print(f"pose: {decibels(decoder, told[new], frames[new]):.2f} dB of held-out frames, painted from {told.shape[1]} "
          "numbers of the true pose")


if __name__ == "__main__":
    main()
