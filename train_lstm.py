"""Train the dynamics: from z and the held keys to the next z, and to whether the life ends.

Reads   data/<game>/latents, data/<game>/ae.pt (to paint what is dreamed)
Writes  data/<game>/lstm.pt (the best epoch so far), lstm_resume.pt, lstm_log.jsonl, lstm_curves.png,
        lstm_dream.png (true frames over dreamed ones)

    python train_lstm.py --game runner
    python train_lstm.py --original           # the original's recipe

Teacher forcing first: every z is predicted from true ones. In the last --rollout-epochs the model also learns
from its own output: a rollout of --rollout frames starts every --rollout frames. Teacher forcing learns
fastest, rollouts keep long dreams stable (docs/experiments.md). The same command resumes.

Shapes: B episodes, T frames, Z latent features, K keys, L LSTM layers, H hidden width
"""
import time
from dataclasses import replace

import numpy as np
import torch

import data
import losses
import models
import plots
from data import CONTEXT
from engine import parallel, training
from engine.muon import make_optimizer

HORIZONS = (1, 5, 10, 25)  # frames of a rollout that its error is summed over; the last one picks the epoch
# The original's recipe. Its warm restart comes after 20 epochs.
ORIGINAL = {"epochs": 20, "rollout_epochs": 0, "batch": 32, "lr": 1e-3, "muon": 0, "weight_decay": 1e-5,
            "hidden": 128, "widths": (1024, 2048, 1024), "dropout": 0.1, "noise": 0.10, "over_weight": 0}
RESTART_EPOCHS = 20        # of --original: a cosine cycle of its learning rate


def parse():
    parser = training.make_parser(__doc__, "fine-tune this lstm.pt")
    group = parser.add_argument_group("network")
    group.add_argument("--hidden", type=int, default=384, help="width of the LSTM's layers")
    group.add_argument("--widths", type=int, nargs="+", default=(1024, 1248), help="of the layers after it")
    group.add_argument("--dropout", type=float, default=0, help="rate")
    group = parser.add_argument_group("optimisation")
    group.add_argument("--epochs", type=int, default=4, help="epochs over the training episodes")
    group.add_argument("--batch", type=int, default=8, help="episodes a step")
    group.add_argument("--lr", type=float, default=1e-3, help="highest learning rate of AdamW")
    group.add_argument("--muon", type=float, default=0.04,
                       help="highest learning rate of Muon, for weights that are matrices and not too large; "
                            "0: AdamW for all")
    group.add_argument("--weight-decay", type=float, default=1e-5, help="of matrices, decoupled")
    group = parser.add_argument_group("losses and regularisation")
    group.add_argument("--rollout-epochs", type=int, default=1, help="last epochs, which add rollouts")
    group.add_argument("--rollout", type=int, default=16, help="frames of a rollout")
    group.add_argument("--teacher-weight", type=float, default=4,
                       help="of the one-step loss, in those epochs")
    group.add_argument("--over-weight", type=float, default=1,
                       help="of the loss of when a life ends; 0: the model does not predict it")
    group.add_argument("--noise", type=float, default=0.10,
                       help="on the input z, as a share of the std of its steps")
    args = training.use_original(parser, ORIGINAL)
    if args.rollout < 2:
        raise SystemExit("--rollout must be 2 frames or more; without rollouts: --rollout-epochs 0")
    return args


@torch.no_grad()
def rollout_from(model, z, keys, over, start, steps):
    """Roll out frames start ... start + steps - 1 after the CONTEXT true ones before -> (B, steps, Z)."""
    first = start - CONTEXT
    _, state = model(z[:, first:start - 1], keys[:, first:start - 1], over[:, first:start - 1])
    return model.rollout(z[:, start - 1], keys[:, start - 1:start + steps - 1], state=state)[0]


@torch.no_grad()
def measure(model, z, keys, over, restart):
    """Held-out figures of z (B, T, Z), keys float (B, T, K), over float (B, T) whether the life ends in the
    step from t to t + 1, restart bool (B, T), in evaluation mode -> dict.

    skill: 1 - MSE / MSE of persistence, one step ahead, told when lives end; skill_alive leaves out the steps
    into a new life. over: cross-entropy of their ends over that of their rate alone; 1 is as good as it.
    rollout_N: error of rollouts summed over N frames, over that of persistence; below 1 is better than it.
    spread: std of z in the second half of episode-long rollouts, over the real one: 1 is as lively."""
    # One step ahead
    x, _ = model.lstm(model.inputs(z, keys, over)[:, :-1])
    predicted = model.next_z(z[:, :-1], x)
    error, persistence = (predicted - z[:, 1:]).square(), (z[:, :-1] - z[:, 1:]).square()
    alive = ~restart[:, 1:]
    figures = {"skill": 1 - float(error.mean() / persistence.mean()),
               "skill_alive": 1 - float(error[alive].mean() / persistence[alive].mean())}
    if model.config.over:
        logit = model.over_logit(z[:, 1:-1], keys[:, 1:-1], x[:, :-1])
        ends = over[:, 1:-1]
        rate = ends.mean().clamp(1e-4, 1 - 1e-4)
        baseline = losses.over_loss(torch.full_like(logit, rate.logit()), ends)
        figures["over"] = float(losses.over_loss(logit, ends) / baseline)
    # Rollouts from every 32nd frame
    longest = max(HORIZONS)
    starts = range(CONTEXT, z.shape[1] - longest, 32)
    rollouts = torch.cat([rollout_from(model, z, keys, over, t, longest) for t in starts])
    truth = torch.cat([z[:, t:t + longest] for t in starts])
    last = torch.cat([z[:, t - 1:t] for t in starts])
    for n in HORIZONS:
        error, persistence = (rollouts - truth)[:, :n].square(), (last - truth)[:, :n].square()
        figures[f"rollout_{n}"] = float(error.mean() / persistence.mean())
    # Rollouts of whole episodes
    half = z.shape[1] // 2
    whole = rollout_from(model, z, keys, over, CONTEXT, z.shape[1] - CONTEXT)[:, half - CONTEXT:]
    figures["spread"] = float((whole.flatten(0, 1).std(0) / z[:, half:].flatten(0, 1).std(0)).mean())
    return figures


@torch.no_grad()
def draw_rollouts(path, model, decoder, z, keys, over, frames=12, every=2):
    """A filmstrip of two episodes: painted true z over the rollout under the same keys, `every` frames."""
    rollouts = rollout_from(model, z[:2], keys[:2], over[:2], CONTEXT, frames * every)[:, ::every]
    truth = z[:2, CONTEXT:CONTEXT + frames * every:every]
    rows = [decoder.paint(one) for pair in zip(truth, rollouts) for one in pair]
    plots.draw_strip(path, [row[..., :3].cpu().numpy() for row in rows], scale=2)


def train_step(model, z, keys, over, scale, args, rollout=0):
    """One batch of episodes: z (B, T, Z), keys (B, T, K), over (B, T) whether the life ends in the step from
    t to t + 1 -> loss (scalar). Without over_weight, 1 is as good as persistence under teacher forcing.

    scale (Z): what the squared errors are divided by. args: the weights of the losses, and `noise` on the
    input z, as a share of dz_std. rollout: frames of the rollouts that branch off every so many frames, from
    the state that the true frames left; 0: teacher forcing alone."""
    z_in = z[:, :-1] + args.noise * model.dz_std * parallel.noise_like(z[:, :-1])
    keys, over, truth = keys[:, :-1], over[:, :-1], z[:, 1:]

    # Teacher forcing through the whole episode; the state is kept where a rollout will begin
    outputs, states, state = [], [], None
    for part in model.inputs(z_in, keys, over).split(rollout or z.shape[1], dim=1):
        output, state = model.lstm(part, state)
        outputs.append(output)
        states.append(state)
    x, loss = torch.cat(outputs, dim=1), 0                                              # (B, T - 1, H)
    if args.over_weight:
        logit = model.over_logit(z_in[:, 1:], keys[:, 1:], x[:, :-1])
        loss = loss + args.over_weight * losses.over_loss(logit, over[:, 1:])
    teacher_weight = args.teacher_weight if rollout else 1
    if teacher_weight:
        loss = loss + teacher_weight * losses.one_step_loss(model.next_z(z_in, x), truth, z[:, :-1], scale)
    if not rollout:
        return loss

    # All rollouts of the batch side by side, the first frame of each predicted from a true one
    starts = range(rollout, z_in.shape[1] - rollout + 2, rollout)
    h = torch.cat([h for h, _ in states[:len(starts)]], dim=1)                          # (L, starts * B, H)
    c = torch.cat([c for _, c in states[:len(starts)]], dim=1)
    last = torch.tensor(starts, device=z.device) - 1
    first = model.next_z(z_in[:, last], x[:, last]).transpose(0, 1).flatten(0, 1)       # (starts * B, Z)
    keys, over = (torch.cat([a[:, t:t + rollout - 1] for t in starts]) for a in (keys, over))
    rest, logit, _ = model.rollout(first, keys, over, (h, c))
    if args.over_weight:
        loss = loss + args.over_weight * losses.over_loss(logit, over)
    return loss + losses.rollout_loss(torch.cat([first[:, None], rest], dim=1),
                                      torch.cat([truth[:, t - 1:t - 1 + rollout] for t in starts]),
                                      torch.cat([z[:, t - 1:t] for t in starts]), scale)


def check_sizes(args, latents):
    """End the program with one line if there are too few episodes, or too short ones."""
    train, held_out = latents.split()
    frames = latents.z.shape[1]
    needed = 1 + max(CONTEXT + max(HORIZONS) + 1, 2 * args.rollout + 1 if args.rollout_epochs else 0)
    if frames < needed:
        raise SystemExit(f"episodes of {frames} frames are too short: at least {needed} are needed")
    if not len(train) or not len(held_out):
        raise SystemExit(f"{len(train)} + {len(held_out)} encoded episodes are too few: "
                         f"at least {data.HELD_OUT} are needed")


def to_tensors(latents, episodes, device):
    """These episodes, without their last frame -> z float (B, T, Z), keys float (B, T, K), over float (B, T)
    whether the life ends in the step from t to t + 1, restart bool (B, T) on the device."""
    steps = models.steps_of(*(array[episodes] for array in (latents.z, latents.keys, latents.over)))
    restart = torch.from_numpy(latents.restart[episodes, :-1])
    return tuple(x.to(device) for x in (*steps, restart))


def make_model(args, latents, train, device):
    """-> the Dynamics, with the training set's statistics or the weights of --init-from, and its history."""
    model = models.Dynamics(models.DynamicsConfig(latents.z.shape[2], latents.keys.shape[2], args.hidden,
                                                  dropout=args.dropout, widths=tuple(args.widths),
                                                  over=args.over_weight > 0)).to(device)
    if args.init_from:
        init, checkpoint = training.load(args.init_from, models.Dynamics, device)
        if replace(init.config, dropout=args.dropout) != model.config:
            raise SystemExit(f"{args.init_from} has {init.config}, this training {model.config}: "
                             "make them the same")
        model.load_state_dict(init.state_dict())
        return model, checkpoint["history"]
    z, _, over, _ = to_tensors(latents, train[::max(1, len(train) // 1000)], device)
    dz = (z[:, 1:] - z[:, :-1]).flatten(0, 1)
    model.dz_mean.copy_(dz.mean(0))
    model.dz_std.copy_(dz.std(0).clamp(min=1e-6))
    if model.config.over:  # begin with their rate
        torch.nn.init.constant_(model.over_head[-1].bias, float(over.mean().clamp(1e-4, 0.5).logit()))
    return model, []


def fit(args, folder):
    torch.manual_seed(args.seed)
    device, autocast = training.pick_device(args.device)
    latents = data.load_latents(folder / "latents")
    check_sizes(args, latents)
    train, held_out = latents.split()
    autoencoder, _ = training.load(folder / "ae.pt", models.Autoencoder, device)
    training.check_encoder(latents.meta.get("encoder"), autoencoder.encoder, folder / "latents",
                           "run encode.py again")

    held_out_episodes = to_tensors(latents, held_out[:100], device)
    all_z, all_keys, all_over, _ = to_tensors(latents, train, device)

    # The model, and where its training stopped the last time
    model, history = make_model(args, latents, train, device)
    scale = model.dz_std if args.original else model.dz_std.square()
    optimizer = make_optimizer(model, args.lr, args.muon, args.weight_decay)
    schedule = training.make_schedule(optimizer, args, RESTART_EPOCHS)
    rng = np.random.default_rng(args.seed)
    resumed = training.load_resume(folder / "lstm_resume.pt", model, optimizer, schedule, rng,
                                   latents.meta["encoder"])
    first, best, seconds = resumed or (0, float("inf"), 0.0)
    parallel.check_same(device, first, len(train))
    count = len(train) * latents.z.shape[1]
    print(f"{device}, {models.count_parameters(model):,} parameters, {count:,} frames to train on, "
          f"{len(held_out) * latents.z.shape[1]:,} held out; epoch {first} of {args.epochs}")

    steps = max(len(train) // args.batch, 1)
    if first >= args.epochs:
        print("all epochs are done: give more --epochs, or delete lstm_resume.pt to start over")
    began = time.perf_counter()
    for epoch in range(first, args.epochs):
        # One pass over all episodes in random order; in the last epochs with rollouts
        start, total = time.perf_counter(), 0.0
        rollout = args.rollout if epoch >= args.epochs - args.rollout_epochs else 0
        model.train()
        order = rng.permutation(len(train))
        for step in range(steps):
            numbers = parallel.share(order[step * args.batch:(step + 1) * args.batch])
            with autocast():
                loss = train_step(model, all_z[numbers], all_keys[numbers], all_over[numbers], scale, args,
                                  rollout)
            optimizer.zero_grad()
            loss.backward()
            parallel.average_gradients(model)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # gradients through a rollout can explode
            optimizer.step()
            schedule.step(epoch + (step + 1) / steps)
            total += loss.detach()
        training.check_finite(parallel.average(total), folder / "lstm_resume.pt")
        seconds += time.perf_counter() - start
        if parallel.RANK:
            continue  # the first process measures and writes

        # Measure on held-out episodes, report
        model.eval()
        figures = measure(model, *held_out_episodes)
        train_loss, score = float(total) / steps, figures[f"rollout_{max(HORIZONS)}"]
        errors = ", ".join(f"{n} frames {figures[f'rollout_{n}']:5.3f}" for n in HORIZONS)
        print(f"epoch {epoch + 1:4d} | train {train_loss:6.4f} | one-step skill {figures['skill']:6.3f} | "
              f"ends of lives {figures.get('over', 1):5.3f} | "
              f"rollout over persistence {errors} | spread {figures['spread']:4.2f} | "
              f"{plots.pace(began, epoch + 1 - first, args.epochs - epoch - 1, count)}", flush=True)
        with data.disk_errors(folder):
            plots.log(folder / "lstm_log.jsonl", {"epoch": epoch + 1, "train": train_loss, **figures})
            plots.draw_curves(folder / "lstm_log.jsonl", folder / "lstm_curves.png",
                              ["train", *(f"rollout_{n}" for n in HORIZONS)])
            draw_rollouts(folder / "lstm_dream.png", model, autoencoder.decoder, *held_out_episodes[:3])
            # Keep the best epoch, and what the next one needs
            if score < best:
                best = score
                figures = {"epoch": epoch + 1} | {name: round(value, 4) for name, value in figures.items()}
                entry = training.history_entry(args, latents.meta, count, seconds, device, figures)
                training.save(folder / "lstm.pt", model, figures=figures, encoder=latents.meta["encoder"],
                              history=[*history, entry])
            training.save_resume(folder / "lstm_resume.pt", model, optimizer, rng, epoch + 1, best,
                                 seconds, latents.meta["encoder"])
    print(f"best: rollout over persistence {best:.3f} over {max(HORIZONS)} frames, in {folder / 'lstm.pt'}; "
          f"look at {folder / 'lstm_dream.png'}")


def main():
    args = parse()
    folder = data.game_folder(args.data, args.game)
    with training.lock(folder / "lstm.pt", args.init_from):
        fit(args, folder)


if __name__ == "__main__":
    data.run(main, "the same command goes on after the last finished epoch")
