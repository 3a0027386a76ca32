"""Train the autoencoder: each frame through 16 numbers and back.

Reads   data/<game>/frames
Writes  data/<game>/ae.pt (the best so far), ae_resume.pt, ae_log.jsonl, ae_curves.png, ae_frames.png (true, rebuilt)

    python train_ae.py --game runner        # about a minute an epoch of 46,000 frames on 2 cores with bf16

The defaults are the original's recipe. The same command resumes.
"""
import argparse
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

import data
import metrics
import losses
import models
import plots
from muon import make_optimizer


def measure(model, frames, device, autocast):
    """Rebuild held-out frames uint8 (E, T, 96, 96, 3) -> (PSNR in dB, pixel loss, rebuilt uint8 of the same shape)."""
    model.eval()
    rebuilt = np.empty_like(frames)
    with torch.no_grad(), autocast():
        for episode, out in zip(frames, rebuilt):
            for chunk, part in zip(np.array_split(episode, 4), np.array_split(out, 4)):
                z = model.encoder(torch.from_numpy(chunk).to(device))
                part[:] = model.decoder.paint(z)[..., :3].cpu().numpy()
    model.train()
    decibels = metrics.psnr(rebuilt, frames)
    return decibels, 10 ** (-decibels / 10) * losses.PIXELS, rebuilt


@torch.no_grad()
def finished(model, frames, begun=None):
    """A copy of the model as it is stored, frames uint8 (N, 96, 96, 3) painted the same: z has mean 0 and std 1 over
    them, as the LSTM is fed with it beside keys that are 0 or 1.

    begun: the model that the training began with. Then z is as near to that one's as a linear map brings it, so that
    an LSTM of that one can be trained on."""
    model = deepcopy(model).eval()
    z = torch.cat([model.encoder(part) for part in frames.split(128)])
    if begun:
        wanted = torch.cat([begun.encoder(part) for part in frames.split(128)])
        *matrix, shift = torch.linalg.lstsq(torch.cat([z, torch.ones_like(z[:, :1])], 1), wanted).solution
        model.rename(torch.stack(matrix), shift)
    else:
        std = z.std(0)
        std = std.clamp(min=0.01 * std.max())  # a feature that never changes stays small
        model.rename(torch.diag(1 / std), -z.mean(0) / std)
    return model


def train_step(model, frames, angles, run, weights, still, autocast):
    """One batch of frames uint8 (N, 96, 96, 3), `run` in a row, angles (N, P) or None -> (loss, pixel loss).

    weights: of the losses by name. still: the picture (3, 96, 96) from which a moving pixel differs."""
    with autocast():
        z, pictures = model(frames)
    pictures, z, truth = pictures.float(), z.float(), models.to_float(frames)
    pixel = losses.pixel_loss(pictures, truth)
    loss = losses.moving_loss(pictures, truth, still, weights["moving"]) if weights["moving"] else pixel
    if weights["edge"]:
        loss = loss + weights["edge"] * losses.edge_loss(pictures, truth)
    if weights["interpretability"]:
        loss = loss + weights["interpretability"] * losses.interpretability_loss(z.unflatten(0, (-1, run)))
    if weights["pose"]:
        loss = loss + weights["pose"] * losses.pose_loss(model.pose_head(z), angles)
    return loss, pixel


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="runner")
    parser.add_argument("--data", default="data", help="folder of all recordings")
    parser.add_argument("--device", help="cpu, cuda or mps; the best there is by default")
    parser.add_argument("--epochs", type=int, default=160, help="passes over the training frames")
    parser.add_argument("--restart-epochs", type=int, default=40, help="a cosine cycle of the learning rate")
    parser.add_argument("--pixel-epochs", type=int, default=40, help="of pure pixel loss before the other two join")
    parser.add_argument("--batch", type=int, default=256, help="frames a step")
    parser.add_argument("--run", type=int, default=256, help="frames in a row in a batch; a divisor of --batch")
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--muon", type=float, default=0, help="highest learning rate of Muon, for the weights that are "
                                                              "matrices and not too large; 0: AdamW for all")
    parser.add_argument("--pose", type=float, default=0, help="weight of a helper that reads the recorded pose from z")
    parser.add_argument("--moving", type=float, default=0, help="additional weight of the pixels that move")
    parser.add_argument("--edge", type=float, default=0.10, help="weight of the edge loss")
    parser.add_argument("--interpretability", type=float, default=10.0, help="weight of that loss")
    parser.add_argument("--dropout", type=float, default=0.2, help="in the narrow layers")
    parser.add_argument("--widths", type=int, nargs=3, default=(64, 32, 16), help="of the decoder's maps")
    parser.add_argument("--noise", type=float, default=0.05, help="on z, as a share of it")
    parser.add_argument("--start", help="begin with the weights of this ae.pt, and keep its z as far as that goes")
    parser.add_argument("--decoder-alone", action="store_true",
                        help="with --start: leave its encoder as it is, and with it z, latents and LSTM")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main():
    args = parse()
    if args.batch % args.run:
        raise SystemExit(f"--batch {args.batch} is not a multiple of --run {args.run}")
    if args.interpretability and args.run < 2:
        raise SystemExit("the interpretability loss compares neighbouring frames: use --run 2 or more, "
                         "or --interpretability 0")
    if args.decoder_alone and not args.start:
        raise SystemExit("--decoder-alone trains a decoder for an encoder that is there: say with --start which")
    torch.manual_seed(args.seed)
    device, autocast = models.pick_device(args.device)
    folder = data.game_folder(args.data, args.game)
    frames, numbers = data.load_frames(folder / "frames")
    held_out = frames[np.flatnonzero(data.is_held_out(numbers))[:10]]
    train = np.flatnonzero(~data.is_held_out(numbers))
    runs = frames.shape[1] // args.run
    steps = len(train) * runs // (args.batch // args.run)
    if not steps or not len(held_out):
        raise SystemExit(f"{len(numbers)} episodes of {frames.shape[1]} frames are too few: at least {data.HELD_OUT} "
                         f"episodes, with {args.run} frames in a row (--run), {args.batch} in all (--batch) are needed")
    angles = torch.from_numpy(data.load_poses(folder / "frames", numbers)[..., 2]) if args.pose else None
    sample = frames[train[::16], ::16].reshape(-1, *frames.shape[2:])[:4000]
    still = torch.from_numpy(np.median(sample[:1000], axis=0))
    still = (still.permute(2, 0, 1) / 255).float().to(device)
    frames = torch.from_numpy(frames)
    if device.type == "cuda" and frames.nbytes < 0.7 * torch.cuda.mem_get_info()[0]:
        frames = frames.to(device)
    sample = torch.from_numpy(sample).to(device)
    count = len(train) * frames.shape[1]
    shuffled = np.random.default_rng(args.seed)

    sizes = models.AutoencoderConfig(dropout=args.dropout, noise=args.noise,
                                    pose_angles=angles.shape[-1] if args.pose else 0, widths=tuple(args.widths))
    model = models.Autoencoder(sizes).to(device)
    optimizer = make_optimizer(model, args.lr, args.muon)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, args.restart_epochs)
    begun = None
    if args.start:
        begun = models.load(Path(args.start), models.Autoencoder, device)[0]
        if begun.config.widths != sizes.widths:
            raise SystemExit(f"{args.start} cannot be begun with, it has --widths "
                             + " ".join(map(str, begun.config.widths)))
        for ours, theirs in ((model.encoder, begun.encoder), (model.decoder, begun.decoder)):
            ours.load_state_dict(theirs.state_dict())
    model.encoder.requires_grad_(not args.decoder_alone)
    best, first = 0.0, 0
    if state := models.load_resume(folder / "ae_resume.pt", model, optimizer, schedule):
        best, first = state["best"], state["epoch"]
        shuffled.bit_generator.state = state["shuffled"]
    print(f"{device}, {models.parameters(model):,} parameters, {count:,} frames to train on, "
          f"{held_out.shape[0] * held_out.shape[1]:,} held out; epoch {first} of {args.epochs}")
    mean = metrics.psnr(np.broadcast_to(held_out.mean((0, 1), keepdims=True), held_out.shape), held_out)

    clock = plots.Clock(args.epochs, first)
    for epoch in range(first, args.epochs):
        late = epoch >= args.pixel_epochs
        weights = {"moving": args.moving, "pose": args.pose, "edge": late * args.edge,
                   "interpretability": late * args.interpretability}
        order = shuffled.permutation(len(train) * runs)[:steps * (args.batch // args.run)]
        total = 0.0
        for step, chosen in enumerate(np.split(order, steps)):
            cuts = [(train[i // runs], i % runs * args.run) for i in chosen]
            batch, poses = (None if a is None else torch.cat([a[e, t:t + args.run] for e, t in cuts]).to(device)
                            for a in (frames, angles))
            loss, pixel = train_step(model, batch, poses, args.run, weights, still, autocast)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step(epoch + (step + 1) / steps)
            total += pixel.detach()
        models.check_finite(total, folder / "ae_resume.pt")
        psnr, held_loss, rebuilt = measure(model, held_out, device, autocast)
        train_loss = float(total) / steps
        print(f"epoch {epoch + 1:4d} | pixel loss: train {train_loss:7.2f}, held out {held_loss:7.2f} | "
              f"PSNR {psnr:5.2f} dB (mean picture {mean:5.2f}) | "
              + clock.words(epoch + 1, "frames", steps * args.batch), flush=True)
        with data.disk_errors(folder):
            plots.log(folder / "ae_log.jsonl", {"epoch": epoch + 1, "train": train_loss, "held_out": held_loss,
                                                 "psnr": psnr, "lr": optimizer.param_groups[0]["lr"]})
            plots.draw_curves(folder / "ae_log.jsonl", folder / "ae_curves.png", ("train", "held_out"))
            shown = np.linspace(0, held_out.shape[1] - 1, 12).astype(int)
            plots.draw_strip(folder / "ae_frames.png", [x for e in range(min(2, len(held_out)))
                                                         for x in (held_out[e, shown], rebuilt[e, shown])], scale=2)
            if psnr > best:
                best = psnr
                whole = model if args.decoder_alone else finished(model, sample, begun)
                models.save(folder / "ae.pt", whole, measured={"psnr_db": round(psnr, 2)},
                            how={**vars(args), "device": str(device), "epochs_done": epoch + 1, "frames_seen": count})
            models.save_resume(folder / "ae_resume.pt", model, optimizer, schedule, epoch=epoch + 1, best=best,
                               shuffled=shuffled.bit_generator.state)
    print(f"best: {best:.2f} dB on held-out frames, in {folder / 'ae.pt'}; look at {folder / 'ae_frames.png'}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("\nstopped: the same command goes on after the last finished epoch") from None
