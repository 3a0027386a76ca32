"""What limits the autoencoder: its capacity, its encoder, the 16 numbers, or the decoder?

Reads   data/<game>/frames (with poses), data/<game>/ae.pt
Writes  nothing: it prints one line for each experiment

    python bench/limits.py                 # about ten minutes on one core with bf16

features: what each of the 16 numbers carries. search: the z that gradient descent finds for held-out frames
through the decoder of ae.pt, beside the encoder's. few: a new autoencoder learns 100 frames by heart. pose: a
new decoder learns to paint from the true pose instead of z: angles and places of all bodies, and the camera.

Shapes: N frames, Z latent features, P body parts
"""
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))
import data  # noqa: E402
import losses  # noqa: E402
import metrics  # noqa: E402
import models  # noqa: E402
from engine import training  # noqa: E402
from engine.muon import make_optimizer  # noqa: E402

BATCH = 64        # frames a step
SCENERY = 1000    # u: the longest period of the camera's place that the decoder is given


def pose_features(pose):
    """Recorded poses float32 (N, P, 3), body 0 the torso -> what a decoder may paint from, (N, 4 P + 16)."""
    place, angle, torso = pose[..., :2] - pose[:, :1, :2] * (1, 0), pose[..., 2], pose[:, :1, 0]
    camera = 2 * np.pi * torso / SCENERY * 2.0 ** np.arange(8)
    features = [place.reshape(len(pose), -1) / 5, np.sin(angle), np.cos(angle), np.sin(camera),
                np.cos(camera)]
    return torch.from_numpy(np.concatenate(features, axis=1).astype(np.float32))


def train(name, model, batch_of, numbers, args, autocast):
    """Train with the pixel loss on the numbered frames in random order. batch_of(numbers) -> painted frames,
    true ones."""
    steps = args.frames // BATCH
    optimizer = make_optimizer(model, args.lr, args.muon, args.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in tqdm(range(steps), name, unit_scale=BATCH, unit=" frames"):
        with autocast():
            painted, frames = batch_of(numbers[torch.randint(len(numbers), (BATCH,))])
        loss = losses.pixel_loss(painted.float(), models.to_float(frames))
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
    psnr = []
    for feature in range(z.shape[1]):
        changed = z.clone()
        changed[:, feature] = z[:, feature].mean()
        psnr.append(decibels(decoder, changed, frames))
    return np.array(psnr)


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


def look_into(autoencoder, frames):
    """The experiments with a trained autoencoder, on held-out frames uint8 (N, 96, 96, 3)."""
    decoder = autoencoder.decoder
    with torch.no_grad():
        z = autoencoder.encoder(frames)
    lost = np.sort(decibels(decoder, z, frames) - without_each(decoder, z, frames))
    print(f"features: {' '.join(f'{x:.1f}' for x in lost)} dB are lost without each of them")
    z, frames = z[::4], frames[::4]
    best = search(decoder, z, frames)
    print(f"search: {decibels(decoder, z, frames):.2f} dB from the encoder's z, "
          f"{decibels(decoder, best, frames):.2f} dB from the best z that the search finds")


def learn_few(frames, args, autocast):
    """How well a new autoencoder learns a few frames uint8 (N, 96, 96, 3) by heart."""
    model = models.Autoencoder(models.AutoencoderConfig(dropout=0, noise=0))
    train("few", model, lambda n: (model(frames[n])[1], frames[n]), torch.arange(len(frames)), args, autocast)
    with torch.no_grad():
        z = model.encoder(frames)
    psnr = decibels(model.decoder, z, frames)
    print(f"few: {psnr:.2f} dB of the {len(frames)} frames that it learned by heart")


def paint_poses(frames, features, known, held_out, args, autocast):
    """How well a new decoder paints held-out frames from features of the true pose (N, F). known, held_out:
    numbers of frames."""
    decoder = models.Decoder(models.AutoencoderConfig(z=features.shape[1], dropout=0))
    models.init_weights(decoder)
    train("pose", decoder, lambda n: (decoder(features[n]), frames[n]), known, args, autocast)
    psnr = decibels(decoder, features[held_out], frames[held_out])
    print(f"pose: {psnr:.2f} dB of held-out frames, painted from {features.shape[1]} numbers of the pose")


def main():
    parser = data.bare_parser(__doc__)
    parser.add_argument("--game", default="runner", help="name or path of the game's description")
    parser.add_argument("--data", default="data", help="folder of all recordings")
    parser.add_argument("--frames", type=int, default=93_440, help="that each training sees")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--muon", type=float, default=0.02)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    args = parser.parse_args()

    torch.manual_seed(0)
    _, autocast = training.pick_device("cpu")
    folder = data.game_folder(args.data, args.game)
    autoencoder, _ = training.load(folder / "ae.pt", models.Autoencoder)
    frames, numbers = data.load_frames(folder / "frames", data.memory_bytes() / 2)
    poses = np.stack([e["pose"] for _, e in data.load_episodes(folder / "frames", ("restart", "pose"))])
    features = pose_features(poses.reshape(-1, *poses.shape[2:]))
    # Whole episodes are held out; every 10th of their frames, at most 500, measures.
    is_held_out = np.repeat(data.is_held_out(numbers), frames.shape[1])
    known = torch.from_numpy(np.flatnonzero(~is_held_out))
    held_out = torch.from_numpy(np.flatnonzero(is_held_out)[::10][:500])
    if not len(held_out):
        raise SystemExit(f"no held-out episode in {folder / 'frames'} (every {data.HELD_OUT}th is one): "
                         "record more with  python collect.py")
    frames = torch.from_numpy(frames).flatten(0, 1)

    look_into(autoencoder, frames[held_out])
    few = torch.linspace(0, len(known) - 1, 100).long()
    learn_few(frames[known[few]], args, autocast)
    paint_poses(frames, features, known, held_out, args, autocast)


if __name__ == "__main__":
    main()
