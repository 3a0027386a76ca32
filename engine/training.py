"""What both trainings share: the device, checkpoints that resume, and the history of what made the weights.

A checkpoint holds {"config", "weights", "history", "figures"}: what makes the network, its weights, every
training that made them in order, and the last one's held-out figures; lstm.pt also "encoder", its hash.
"""
import hashlib
import io
import os
import platform
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

import data
import models
from engine import parallel

KINDS = {models.Autoencoder: (models.AutoencoderConfig, "train_ae.py"),
         models.Dynamics: (models.DynamicsConfig, "train_lstm.py")}


def has_bfloat16(device):
    """Whether the torch.device has bfloat16 instructions; a CPU without is 7 times as fast with float32."""
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return device.type == "cuda"


def pick_device(name=None):
    """The device to train on -> torch.device, and a function that makes its autocast context.

    name: cpu, cuda or mps; None: CUDA before MPS before CPU. bfloat16 where there are instructions for it.
    Ends the program with one line if there is no such device."""
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name or best)
        if device.type == "cuda" and parallel.WORLD > 1:
            device = torch.device("cuda", parallel.LOCAL_RANK)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SystemExit(f"no device {name} here ({data.first_line(error)}): use --device {best}") from None
    parallel.join(device)
    return device, lambda: torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device))


def make_parser(doc, init_from_help):
    """A parser with the options that every training has. doc: of the script."""
    parser = data.make_parser(doc)
    parser.add_argument("--device", help="cpu, cuda or mps; the best there is by default")
    parser.add_argument("--seed", type=int, default=0, help="of weights, noise and order")
    parser.add_argument("--init-from", type=Path, help=init_from_help)
    return parser


def use_original(parser, original):
    """Parse the arguments, --original in place of the defaults -> args. original: {option: value}."""
    parser.add_argument("--original", action="store_true", help="the original's recipe, not the defaults")
    if parser.parse_known_args()[0].original:
        parser.set_defaults(**original)
    return parser.parse_args()


@contextmanager
def lock(path, init_from):
    """Keep a checkpoint for this training. Ends the program with one line if another one writes it, or if
    --init-from (a path, or None) names it."""
    if init_from and init_from.resolve() == path.resolve():
        raise SystemExit(f"--init-from names {path}, which this training writes: name a copy of it")
    with ExitStack() as stack:
        if not parallel.RANK and path.parent.is_dir():
            with data.disk_errors(path.parent):
                stack.enter_context(data.lock(path))
        yield


def make_schedule(optimizer, args, restart_epochs):
    """A cosine of the learning rate over the run; with --original warm restarts every restart_epochs."""
    cycle = min(restart_epochs, args.epochs) if args.original else args.epochs
    return torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, cycle)


def history_entry(args, recording, frames, seconds, device, figures):
    """What a training writes down of itself, for the history: a dict for JSON.

    args: its arguments. recording: meta.json of its data. frames: in its training set. seconds: it took.
    figures: what it has reached."""
    facts = ("game", "policy", "seed", "ticks_per_frame", "url")
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    processes = f"{parallel.WORLD} processes, " if parallel.WORLD > 1 else ""
    return {"command": data.command_line(),
            "arguments": {k: data.without_folders(v) if isinstance(v, (str, Path)) else v
                          for k, v in vars(args).items()},
            "data": {name: recording[name] for name in facts if name in recording},
            "frames": frames, "seconds": round(seconds),
            "machine": f"{processes}{platform.machine()}, {os.cpu_count()} cores, {processor}",
            "torch": str(torch.__version__), "figures": figures}


def check_finite(loss, resume_path):
    """End the program if the loss of an epoch (scalar) is not finite. resume_path: of the one before."""
    if not torch.isfinite(torch.as_tensor(loss)):
        raise SystemExit("the training has diverged: use a lower --muon or --lr and move "
                         f"{resume_path.name} away. The best checkpoint so far is kept")


# ------------------------------------------------------------------------------------------------ checkpoints

def save(path, model, **rest):
    """Write a checkpoint aside, then rename: config, weights, and what else is given."""
    part, content = path.with_name(path.name + ".part"), io.BytesIO()
    torch.save({"config": asdict(model.config), "weights": model.state_dict(), **rest}, content)
    part.write_bytes(content.getbuffer())  # not by torch, for which a full disk is a RuntimeError
    part.replace(path)


def load(path, kind, device="cpu"):
    """Open a checkpoint of save() -> model in evaluation mode, the whole checkpoint.

    kind: models.Autoencoder or models.Dynamics. Ends the program with one line if the file is missing,
    damaged, or of another network."""
    config, script = KINDS[kind]
    if not path.exists():
        raise SystemExit(f"no checkpoint {path}: run {script} first")
    advice = f"move it away and run {script} again"
    try:
        checkpoint = torch.load(path, map_location=device, weights_only=True)
        model = kind(config(**checkpoint["config"]))
        model.load_state_dict(checkpoint["weights"])
    except Exception as error:  # torch has no kind of its own for a damaged or foreign file
        raise SystemExit(f"{path} is not a checkpoint of {script} ({data.reason(error)}): {advice}") from None
    return model.to(device).eval(), checkpoint


def hash_of(encoder):
    """What tells an encoder from others: a hash of its weights."""
    digest = hashlib.sha256()
    for weight in encoder.state_dict().values():
        digest.update(weight.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_encoder(made_with, encoder, what, advice):
    """End the program if what was made with an encoder does not belong to this one. made_with: its hash."""
    if made_with != hash_of(encoder):
        raise SystemExit(f"{what} was made with another encoder than this ae.pt: {advice}")


def save_resume(path, model, optimizer, rng, epoch, best, seconds, encoder=None):
    """Write all that a resumed training needs. rng: a numpy Generator. epoch: epochs done. best: score.
    encoder: the hash of the one whose z it learns from."""
    save(path, model, optimizer=optimizer.state_dict(), torch_rng=torch.get_rng_state(),
         rng=rng.bit_generator.state, epoch=epoch, best=best, seconds=seconds, encoder=encoder)


def load_resume(path, model, optimizer, schedule, rng, encoder=None):
    """Put a training back where save_resume() left it -> epoch, best, seconds; None if there is no file or no
    checkpoint beside it, or one of another encoder. Learning rates and weight decay are those of this run:
    with other --epochs the learning rate goes to its end in so many."""
    if not path.exists() or not path.with_name(path.name.replace("_resume", "")).exists():
        return None
    own = [{name: group[name] for name in ("initial_lr", "weight_decay")} for group in optimizer.param_groups]
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["config"] != asdict(model.config):
            raise ValueError(f"it was made with {state['config']}")
        if state.get("encoder", encoder) != encoder:  # an earlier version did not write it
            print(f"{path.name} is of another autoencoder: training starts over")
            return None
        model.load_state_dict(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        for group, values in zip(optimizer.param_groups, own, strict=True):
            group |= values
        schedule.step(state["epoch"])
        torch.set_rng_state(state["torch_rng"])
        rng.bit_generator.state = state["rng"]
        return state["epoch"], state["best"], state["seconds"]
    except Exception as error:
        raise SystemExit(f"cannot resume from {path} ({data.reason(error)}): "
                         "use the arguments it was made with, or move it away to start over") from None
