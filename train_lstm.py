"""Train the dynamics: from z and the held keys to the next z.

Reads   data/<game>/latents, data/<game>/ae.pt (to paint pictures of the dream)
Writes  data/<game>/lstm.pt (the best so far), lstm_resume.pt, lstm_log.jsonl, lstm_curves.png, lstm_dream.png

    python train_lstm.py --game runner

The defaults are the original's recipe: teacher forcing, noise on z, 1/std weights. With --rollout N the network is
trained on its own output, too: every N true frames a dream of N frames forks off; best after some --teacher-epochs
without. What each option does to a dream is measured in the README. The same command resumes.

Shapes: B episodes, T frames, Z latent features, K keys
"""
import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import data
import losses
import models
import plots
from data import CONTEXT
from muon import make_optimizer

HORIZONS = (1, 5, 10, 25)  # frames of dream that the report sums the error over; the last tells which epoch is kept


def measure(model, z, keys, restart):
    """Held-out figures of z (B, T, Z), keys float (B, T, K), restart bool (B, T) -> dict.

    skill: 1 - MSE / MSE of persistence, one step ahead; skill_alive leaves out the steps into a new life.
    rollout_N: error of dreams summed over N frames, over persistence's; below 1 is better than it.
    spread: std of z in the second half of dreams as long as the episodes, over the real one: 1 is as lively."""
    model.eval()
    with torch.no_grad():
        predicted, _ = model(z[:, :-1], keys[:, :-1])
        error, still = (predicted - z[:, 1:]).square(), (z[:, :-1] - z[:, 1:]).square()
        alive = ~restart[:, 1:]
        figures = {"skill": 1 - float(error.mean() / still.mean()),
                   "skill_alive": 1 - float(error[alive].mean() / still[alive].mean())}
        starts = range(0, z.shape[1] - CONTEXT - max(HORIZONS), 32)
        dream = torch.cat([dream_from(model, z, keys, t + CONTEXT, max(HORIZONS)) for t in starts])
        truth = torch.cat([z[:, t + CONTEXT:t + CONTEXT + max(HORIZONS)] for t in starts])
        last = torch.cat([z[:, t + CONTEXT - 1:t + CONTEXT] for t in starts])
        for n in HORIZONS:
            error, still = (dream - truth)[:, :n].square(), (last - truth)[:, :n].square()
            figures[f"rollout_{n}"] = float(error.mean() / still.mean())
        half = z.shape[1] // 2
        long = dream_from(model, z, keys, CONTEXT, z.shape[1] - CONTEXT)[:, half - CONTEXT:]
        figures["spread"] = float((long.flatten(0, 1).std(0) / z[:, half:].flatten(0, 1).std(0)).mean())
    model.train()
    return figures


def dream_from(model, z, keys, start, steps):
    """The dream of frames start ... start + steps - 1 after CONTEXT true frames before them -> (B, steps, Z)."""
    t = start - CONTEXT
    warm, state = model(z[:, t:start], keys[:, t:start])
    rest, _ = model.rollout(warm[:, -1], keys[:, start:start + steps - 1], state)
    return torch.cat([warm[:, -1:], rest], dim=1)


def paint_dream(path, model, decoder, z, keys, frames=12, every=2):
    """A filmstrip: decoded true latents over the dream from the same keys, `every` frames, of two episodes."""
    model.eval()
    with torch.no_grad():
        dream = dream_from(model, z[:2], keys[:2], CONTEXT, frames * every)[:, ::every]
        truth = z[:2, CONTEXT:CONTEXT + frames * every:every]
        rows = [decoder.paint(x)[..., :3].cpu().numpy() for pair in zip(truth, dream) for x in pair]
    model.train()
    plots.draw_strip(path, rows, scale=2)


def train_step(model, z, keys, args, scale, rollout):
    """One batch of whole episodes: z (B, T, Z), keys (B, T, K) -> loss (scalar, 1 is persistence).

    With a rollout of 0 every frame is predicted from true ones. Else a dream forks off every `rollout` frames, from
    the state that true frames left, and learns from its own output; --teacher is then the weight of the other loss.
    scale (Z): what the squared errors are divided by."""
    z_in, keys, truth = z[:, :-1] + args.noise * model.dz_std * torch.randn_like(z[:, :-1]), keys[:, :-1], z[:, 1:]
    x, states, state = [], [], None
    for part in torch.cat([z_in, keys], dim=-1).split(rollout or z.shape[1], dim=1):
        y, state = model.lstm(part, state)
        x.append(y)
        states.append(state)
    x, loss, weight = torch.cat(x, dim=1), 0, args.teacher if rollout else 1
    if weight:
        loss = weight * losses.step_loss(model.next(z_in, x), truth, z[:, :-1], scale)
    if not rollout:
        return loss
    forks = range(rollout, z_in.shape[1] - rollout + 2, rollout)
    h, c = (torch.cat(parts, dim=1) for parts in zip(*states[:len(forks)]))        # (L, B * forks, H)
    last = torch.tensor(forks, device=z.device) - 1
    begin = model.next(z_in[:, last], x[:, last]).transpose(0, 1).flatten(0, 1)    # (forks * B, Z), frame t of each
    dreamed, _ = model.rollout(begin, torch.cat([keys[:, t:t + rollout - 1] for t in forks]), (h, c),
                               args.pushforward)
    truth = torch.cat([truth[:, t - 1:t - 1 + rollout] for t in forks])
    return loss + losses.rollout_loss(torch.cat([begin[:, None], dreamed], dim=1), truth,
                                      torch.cat([z[:, t - 1:t] for t in forks]), scale)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="runner")
    parser.add_argument("--data", default="data", help="folder of all recordings")
    parser.add_argument("--device", help="cpu, cuda or mps; the best there is by default")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training episodes")
    parser.add_argument("--restart-epochs", type=int, default=20, help="a cosine cycle of the learning rate")
    parser.add_argument("--batch", type=int, default=32, help="episodes a step")
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--weight-decay", type=float, default=1e-5)
    parser.add_argument("--hidden", type=int, default=128, help="width of the LSTM's layers")
    parser.add_argument("--widths", type=int, nargs="+", default=(1024, 2048, 1024), help="of the layers behind it")
    parser.add_argument("--noise", type=float, default=0.10, help="on the input z, as a share of the std of its steps")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--rollout", type=int, default=0, help="frames of dream that it learns from; 0: none")
    parser.add_argument("--window", type=int, default=0, help="cut episodes into windows of so many frames, each with "
                                                              "a memory of its own; 0: whole episodes")
    parser.add_argument("--teacher", type=float, default=1.0, help="weight of the one-step loss beside --rollout")
    parser.add_argument("--teacher-epochs", type=int, default=0, help="of the one-step loss alone, before dreams of "
                                                                      "--rollout frames join")
    parser.add_argument("--pushforward", action="store_true", help="no gradient through the frames of a dream")
    parser.add_argument("--unit", action="store_true", help="errors in units of each feature's variance, not its std")
    parser.add_argument("--muon", type=float, default=0, help="highest learning rate of Muon, for the weights that are "
                                                              "matrices and not too large; 0: AdamW for all")
    parser.add_argument("--ema", type=float, default=0, help="keep and measure a moving average of the weights, with "
                                                             "this decay a step; 0: none")
    parser.add_argument("--start", help="begin with the weights of this lstm.pt")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main():
    args = parse()
    torch.manual_seed(args.seed)
    device, autocast = models.pick_device(args.device)
    folder = data.game_folder(args.data, args.game)
    store = data.Latents(folder / "latents")
    train, held_out = store.split()
    if args.rollout < 0 or args.rollout == 1:
        raise SystemExit("--rollout must be 0, or 2 and more frames")
    if store.z.shape[1] <= CONTEXT + max(HORIZONS):
        raise SystemExit(f"episodes of {store.z.shape[1]} frames are too short: at least "
                         f"{CONTEXT + max(HORIZONS) + 1} are needed")
    window = args.window or store.z.shape[1]
    if window < 2 or store.z.shape[1] % window:
        raise SystemExit(f"--window {window} is no divisor of the {store.z.shape[1]} frames of an episode")
    if 2 * args.rollout > window - 1:
        raise SystemExit(f"--rollout {args.rollout} does not fit twice into {window} frames")
    if len(train) < 1 or len(held_out) < 1:
        raise SystemExit(f"{len(train)} + {len(held_out)} encoded episodes are too few: "
                         f"at least {data.HELD_OUT} are needed")
    autoencoder, _ = models.load(folder / "ae.pt", models.Autoencoder, device)

    def load(episodes):
        """z float (B, T, Z), keys float (B, T, K), restart (B, T) of the numbered episodes, on the device."""
        arrays = store.z, store.keys, store.restart
        z, keys, restart = (torch.from_numpy(np.asarray(a[episodes])).to(device) for a in arrays)
        return z.float(), keys.float(), restart

    measured_on = load(held_out[:100])
    fits = store.z.nbytes < data.memory_bytes() / 4
    everything = load(train) if fits else None

    sizes = models.DynamicsConfig(store.z.shape[2], store.keys.shape[2], args.hidden, dropout=args.dropout,
                                 widths=tuple(args.widths))
    model = models.Dynamics(sizes).to(device)
    sample = np.sort(np.random.default_rng(0).permutation(train)[:2000])
    dz = np.diff(store.z[sample].astype(np.float32), axis=1).reshape(-1, sizes.z)
    model.dz_mean.copy_(torch.from_numpy(dz.mean(0)))
    model.dz_std.copy_(torch.from_numpy(dz.std(0) + 1e-6))
    if args.start:
        begun = models.load(Path(args.start), models.Dynamics, device)[0]
        theirs, ours = asdict(begun.config) | {"dropout": args.dropout}, asdict(sizes)
        if other := [f"{name} {theirs[name]}, not {ours[name]}" for name in ours if theirs[name] != ours[name]]:
            raise SystemExit(f"{args.start} cannot be begun with, it has {'; '.join(other)}")
        model.load_state_dict(begun.state_dict())
    scale = model.dz_std ** (2 if args.unit else 1)
    optimizer = make_optimizer(model, args.lr, args.muon, args.weight_decay)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(args.ema)) if args.ema else None
    shown = average.module if args.ema else model
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, args.restart_epochs)
    shuffled = np.random.default_rng(args.seed)
    best, first = float("inf"), 0
    if state := models.load_resume(folder / "lstm_resume.pt", model, optimizer, schedule):
        best, first = state["best"], state["epoch"]
        if args.ema:
            average.load_state_dict(state["average"])
        shuffled.bit_generator.state = state["shuffled"]
    frames = len(train) * store.z.shape[1]
    print(f"{device}, {models.parameters(model):,} parameters, {frames:,} frames to train on, "
          f"{len(held_out) * store.z.shape[1]:,} held out; epoch {first} of {args.epochs}")

    steps = max(len(train) // args.batch, 1)
    clock = plots.Clock(args.epochs, first)
    for epoch in range(first, args.epochs):
        total = 0.0
        order = shuffled.permutation(len(train))
        for step in range(steps):
            chosen = order[step * args.batch:(step + 1) * args.batch]
            z, keys = [a[chosen] for a in everything[:2]] if fits else load(np.sort(train[chosen]))[:2]
            z, keys = (x.unflatten(1, (-1, window)).flatten(0, 1) for x in (z, keys))
            with autocast():
                loss = train_step(model, z, keys, args, scale, args.rollout if epoch >= args.teacher_epochs else 0)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # a dream trained through time can explode
            optimizer.step()
            if args.ema:
                average.update_parameters(model)
            schedule.step(epoch + (step + 1) / steps)
            total += loss.detach()
        models.check_finite(total, folder / "lstm_resume.pt")
        figures = measure(shown, *measured_on)
        train_loss, score = float(total) / steps, figures[f"rollout_{max(HORIZONS)}"]
        print(f"epoch {epoch + 1:4d} | train {train_loss:6.4f} | one-step skill {figures['skill']:6.3f} | "
              "dream over persistence " + ", ".join(f"{n} frames {figures[f'rollout_{n}']:5.3f}" for n in HORIZONS)
              + f" | spread {figures['spread']:4.2f} | {clock.words(epoch + 1, 'frames', frames)}", flush=True)
        with data.disk_errors(folder):
            plots.log(folder / "lstm_log.jsonl", {"epoch": epoch + 1, "train": train_loss, **figures})
            plots.draw_curves(folder / "lstm_log.jsonl", folder / "lstm_curves.png",
                               ["train", *(f"rollout_{n}" for n in HORIZONS)])
            paint_dream(folder / "lstm_dream.png", shown, autoencoder.decoder, *measured_on[:2])
            if score < best:
                best = score
                models.save(folder / "lstm.pt", shown, measured={k: round(v, 4) for k, v in figures.items()},
                            how={**vars(args), "device": str(device), "epochs_done": epoch + 1, "frames_seen": frames})
            models.save_resume(folder / "lstm_resume.pt", model, optimizer, schedule, epoch=epoch + 1, best=best,
                               shuffled=shuffled.bit_generator.state,
                               average=average.state_dict() if args.ema else None)
    print(f"best: dream over persistence {best:.3f} over {max(HORIZONS)} frames, in {folder / 'lstm.pt'}; "
          f"look at {folder / 'lstm_dream.png'}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("\nstopped: the same command goes on after the last finished epoch") from None
