"""Train the autoencoder: each frame through 16 numbers and back.

Reads   data/<game>/frames
Writes  data/<game>/ae.pt (the best epoch so far), ae_resume.pt, ae_log.jsonl, ae_curves.png,
        ae_frames.png (true and reconstructed frames)

    python train_ae.py --game runner
    python train_ae.py --original           # the original's recipe

The same command resumes.

Shapes: N frames, C clips of frames in a row, E episodes, T frames of an episode, Z latent features
"""
import time
from copy import deepcopy
from dataclasses import asdict

import numpy as np
import torch

import data
import losses
import metrics
import models
import plots
from engine import parallel, training
from engine.muon import make_optimizer

# The original's recipe. Warm restarts, and the epochs of pure pixel loss, shrink with --epochs.
ORIGINAL = {"epochs": 160, "batch": 256, "clip_len": 256, "lr": 1e-3, "muon": 0, "weight_decay": 0.01,
            "edge": 0.10, "interpretability": 10.0, "dropout": 0.2, "noise": 0.05}
RESTART_EPOCHS = 40   # of --original: a cosine cycle of its learning rate


def parse():
    parser = training.make_parser(__doc__, "fine-tune this ae.pt; its z is kept as far as possible")
    parser.add_argument("--decoder-alone", action="store_true",
                        help="with --init-from: leave its encoder as it is, "
                             "and with it z, latents and dynamics")
    group = parser.add_argument_group("optimisation")
    group.add_argument("--epochs", type=int, default=12, help="epochs over the training frames")
    group.add_argument("--batch", type=int, default=64, help="frames a step")
    group.add_argument("--clip-len", type=int, default=1,
                       help="frames in a row in a batch; a divisor of --batch")
    group.add_argument("--lr", type=float, default=3e-3, help="highest learning rate of AdamW")
    group.add_argument("--muon", type=float, default=0.03,
                       help="highest learning rate of Muon, for weights that are matrices; 0: AdamW for all")
    group.add_argument("--weight-decay", type=float, default=0.3, help="of matrices, decoupled")
    group = parser.add_argument_group("losses and regularisation")
    group.add_argument("--edge", type=float, default=0,
                       help="weight of the edge loss, after a quarter of the epochs")
    group.add_argument("--interpretability", type=float, default=0,
                       help="weight of that loss, after a quarter of the epochs")
    group.add_argument("--dropout", type=float, default=0, help="rate, in the narrow linear layers")
    group.add_argument("--noise", type=float, default=0.05, help="on z, relative to it")
    args = training.use_original(parser, ORIGINAL)
    if args.batch % args.clip_len:
        raise SystemExit(f"--batch {args.batch} is not a multiple of --clip-len {args.clip_len}")
    if args.interpretability and args.clip_len < 2:
        raise SystemExit("the interpretability loss compares neighbouring frames: use --clip-len 2 or more, "
                         "or --interpretability 0")
    if args.decoder_alone and not args.init_from:
        raise SystemExit("--decoder-alone trains the decoder of an autoencoder: name it with --init-from")
    return args


def reconstruct(model, frames, device, autocast):
    """Held-out frames uint8 (E, T, 96, 96, 3) through the model in evaluation mode -> the same shape."""
    with torch.no_grad(), autocast():
        flat = torch.from_numpy(frames.reshape(-1, *frames.shape[2:]))
        rgba = models.in_batches(lambda part: model.decoder.paint(model.encoder(part.to(device))).cpu(), flat)
    return rgba[..., :3].numpy().reshape(frames.shape)


@torch.no_grad()
def standardise_z(model, frames, init=None):
    """A copy of the model that paints frames uint8 (N, 96, 96, 3) the same, but whose z has mean 0 and std 1
    over them: the LSTM takes it beside keys, which are 0 or 1.

    init: the model that the training began with. Then z is as near to its z as a linear map can bring it, so
    that dynamics of that one can be fine-tuned."""
    model = deepcopy(model).eval()
    z = models.in_batches(model.encoder, frames)
    if init:
        target = models.in_batches(init.encoder, frames)
        *matrix, shift = torch.linalg.lstsq(torch.cat([z, torch.ones_like(z[:, :1])], 1), target).solution
        model.transform_z(torch.stack(matrix), shift)
    else:
        std = z.std(0)
        std = std.clamp(min=0.01 * std.max())  # a feature that never changes stays small
        model.transform_z(torch.diag(1 / std), -z.mean(0) / std)
    return model


def train_step(model, frames, clip_len, weights, autocast):
    """One batch: frames uint8 (N, 96, 96, 3), `clip_len` in a row -> loss, pixel loss.

    weights: of the losses by name."""
    with autocast():
        z, reconstruction = model(frames)
    reconstruction, z, truth = reconstruction.float(), z.float(), models.to_float(frames)
    loss = pixel = losses.pixel_loss(reconstruction, truth)
    if weights["edge"]:
        loss = loss + weights["edge"] * losses.edge_loss(reconstruction, truth)
    if weights["interpretability"]:
        clips = z.unflatten(0, (-1, clip_len))
        loss = loss + weights["interpretability"] * losses.interpretability_loss(clips)
    return loss, pixel


def load_training_data(args, folder, device):
    """-> clips uint8 (C, clip_len, 96, 96, 3), the numbers of those to train on, held-out frames uint8
    (E, T, 96, 96, 3), a sample uint8 (N, 96, 96, 3) of the rest."""
    frames, numbers = data.load_frames(folder / "frames", data.memory_bytes() / 2 / parallel.LOCAL_WORLD)
    is_held_out = data.is_held_out(numbers)
    held_out = frames[np.flatnonzero(is_held_out)[:10]]
    rows = np.flatnonzero(np.repeat(~is_held_out, frames.shape[1]))
    sample = frames.reshape(-1, *frames.shape[2:])[rows[::-(-len(rows) // 4000)]]
    if frames.shape[1] % args.clip_len:
        raise SystemExit(f"an episode of {frames.shape[1]} frames is not a multiple "
                         f"of --clip-len {args.clip_len}")
    train = np.flatnonzero(np.repeat(~is_held_out, frames.shape[1] // args.clip_len))
    if len(train) * args.clip_len < args.batch or not len(held_out):
        raise SystemExit(f"{len(numbers)} episodes of {frames.shape[1]} frames are too few: at least "
                         f"{data.HELD_OUT} episodes, and a batch of {args.batch} frames are needed")
    clips = torch.from_numpy(frames).unflatten(1, (-1, args.clip_len)).flatten(0, 1)  # without a copy
    if device.type == "cuda" and clips.nbytes < 0.7 * torch.cuda.mem_get_info(device)[0]:
        clips = clips.to(device)
    return clips, train, held_out, torch.from_numpy(sample).to(device)


def make_model(args, device):
    """-> the Autoencoder, the one that --init-from names (or None), its history."""
    init, history = None, []
    sizes = models.ORIGINAL_AUTOENCODER if args.original else {}
    if args.init_from:
        init, checkpoint = training.load(args.init_from, models.Autoencoder, device)
        sizes, history = asdict(init.config), checkpoint["history"]
    sizes = sizes | {"dropout": args.dropout, "noise": args.noise}
    model = models.Autoencoder(models.AutoencoderConfig(**sizes))
    if init:
        model.load_state_dict(init.state_dict())
        model.encoder.requires_grad_(not args.decoder_alone)
    return model.to(device, memory_format=torch.channels_last), init, history


def fit(args, folder):
    torch.manual_seed(args.seed)
    device, autocast = training.pick_device(args.device)
    clips, train, held_out, sample = load_training_data(args, folder, device)
    recording = data.read_json(folder / "frames" / "meta.json") or {}

    # The model, and where its training stopped the last time
    model, init, history = make_model(args, device)
    optimizer = make_optimizer(model, args.lr, args.muon, args.weight_decay)
    schedule = training.make_schedule(optimizer, args, RESTART_EPOCHS)
    rng = np.random.default_rng(args.seed)
    resumed = training.load_resume(folder / "ae_resume.pt", model, optimizer, schedule, rng)
    first, best, seconds = resumed or (0, 0.0, 0.0)
    parallel.check_same(device, first, len(train))
    clips_a_step = args.batch // args.clip_len
    steps, count = len(train) // clips_a_step, len(train) * args.clip_len
    print(f"{device}, {models.count_parameters(model):,} parameters, {count:,} frames to train on, "
          f"{held_out.shape[0] * held_out.shape[1]:,} held out; epoch {first} of {args.epochs}")
    baseline = metrics.psnr(held_out.mean((0, 1), keepdims=True), held_out)

    if first >= args.epochs:
        print("all epochs are done: give more --epochs, or delete ae_resume.pt to start over")
    began = time.perf_counter()
    for epoch in range(first, args.epochs):
        # One pass over all clips in random order
        start, total = time.perf_counter(), 0.0
        is_late = epoch >= args.epochs // 4  # before, pixel loss alone
        weights = {"edge": args.edge if is_late else 0,
                   "interpretability": args.interpretability if is_late else 0}
        model.train()
        model.encoder.train(not args.decoder_alone)  # dropout must not move a z that stays
        order = rng.permutation(train)[:steps * clips_a_step]
        for step, numbers in enumerate(np.split(order, steps)):
            batch = torch.from_numpy(parallel.share(numbers)).to(clips.device)
            frames = clips[batch].flatten(0, 1).to(device)
            loss, pixel = train_step(model, frames, args.clip_len, weights, autocast)
            optimizer.zero_grad()
            loss.backward()
            parallel.average_gradients(model)
            optimizer.step()
            schedule.step(epoch + (step + 1) / steps)
            total += pixel.detach()
        training.check_finite(parallel.average(total), folder / "ae_resume.pt")
        seconds += time.perf_counter() - start
        if parallel.RANK:
            continue  # the first process measures and writes

        # Measure on held-out episodes, report
        model.eval()
        reconstruction = reconstruct(model, held_out, device, autocast)
        psnr, train_loss = float(metrics.psnr(reconstruction, held_out)), float(total) / steps
        held_out_loss = 10 ** (-psnr / 10) * losses.PIXELS
        print(f"epoch {epoch + 1:4d} | pixel loss: train {train_loss:7.2f}, held out {held_out_loss:7.2f} | "
              f"PSNR {psnr:5.2f} dB (mean frame {baseline:5.2f}) | "
              + plots.pace(began, epoch + 1 - first, args.epochs - epoch - 1, steps * args.batch), flush=True)
        with data.disk_errors(folder):
            plots.log(folder / "ae_log.jsonl", {"epoch": epoch + 1, "train": train_loss,
                                                "held_out": held_out_loss, "psnr": psnr})
            plots.draw_curves(folder / "ae_log.jsonl", folder / "ae_curves.png", ("train", "held_out"))
            shown = np.linspace(0, held_out.shape[1] - 1, 12).astype(int)
            plots.draw_strip(folder / "ae_frames.png",
                             [held_out[0, shown], reconstruction[0, shown],
                              held_out[-1, shown], reconstruction[-1, shown]], scale=2)
            # Keep the best epoch, and what the next one needs
            if psnr > best:
                best = psnr
                figures = {"epoch": epoch + 1, "psnr_db": round(psnr, 2)}
                entry = training.history_entry(args, recording, count, seconds, device, figures)
                stored = model if args.decoder_alone else standardise_z(model, sample, init)
                training.save(folder / "ae.pt", stored, figures=figures, history=[*history, entry])
            training.save_resume(folder / "ae_resume.pt", model, optimizer, rng, epoch + 1, best,
                                 seconds)
    print(f"best: {best:.2f} dB on held-out frames, in {folder / 'ae.pt'}; "
          f"look at {folder / 'ae_frames.png'}")


def main():
    args = parse()
    folder = data.game_folder(args.data, args.game)
    with training.lock(folder / "ae.pt", args.init_from):
        fit(args, folder)


if __name__ == "__main__":
    data.run(main, "the same command goes on after the last finished epoch")
