"""The whole chain of scripts on the real runner in a real Chromium, and what they do with bad input."""
import importlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import nullcontext
from functools import partial
from unittest import mock

import numpy as np
import onnxruntime
import pytest
import torch
from helpers import ROOT, complaint, processes_of, refusal, run
from PIL import Image
from torch import distributed

import data
import encode
import models
import train_ae
import train_lstm
from engine import muon, parallel, training

TRAIN_AE = ("train_ae.py", "--clip-len", 16, "--edge", 0.1, "--interpretability", 1)
TRAIN_LSTM = ("train_lstm.py", "--hidden", 48, "--widths", 80, 40, "--rollout", 4, "--batch", 2)
STEPS = (("collect.py", "--episodes", 21, "--frames", 48),
         ("collect.py", "--held-out", "--lives", 2, "--rhythms", 4),
         (*TRAIN_AE, "--epochs", 2),
         ("encode.py", "--live", 23),
         (*TRAIN_LSTM, "--epochs", 2),
         ("export.py",),
         ("evaluate.py", "--dream-frames", 60))


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The folder data/runner after the README's commands, each as small as it can be. Those that open no
    browser run in this process, which has torch already."""
    root = tmp_path_factory.mktemp("chain")
    for script, *args in STEPS:
        if script in ("collect.py", "encode.py"):
            result = run(script, "--data", root, *args)
            assert result.returncode == 0, (script, result.stderr)
            continue
        with mock.patch("sys.argv", [script, "--data", *map(str, (root, *args))]):
            importlib.import_module(script.removesuffix(".py")).main()
    return root / "runner"


def copy_chain(chain, root, *ignored):
    """A copy of the chain's folder that a test may spoil, without files of these patterns -> data folder."""
    shutil.copytree(chain, root / "runner", ignore=shutil.ignore_patterns(*ignored))
    return root


def test_chain_ends_with_a_model_that_plays(chain):
    meta = json.loads((chain / "model" / "meta.json").read_text())
    assert (meta["game"], meta["keys"], meta["frame_ms"]) == ("runner", list("qwop"), 100)
    assert meta["fidelity"]["autoencoder"]["psnr_db"] > 0 and meta["drift_limit"] > 0
    assert len(meta["readout"]["metres"]) == len(meta["readout"]["over"]) == 1 + 3 * 48 + 16
    clips = json.loads((chain / "model" / "clips.js").read_text()[len("self.DREAM_CLIPS = "):-2])
    assert {clip["kind"] for clip in clips} == {"random", "gait", "human", "held"}
    dynamics, decoder = (onnxruntime.InferenceSession(chain / "model" / f"{name}.onnx")
                         for name in ("dynamics", "decoder"))
    z, zero = np.array([meta["starts"][0]["z"]], np.float32), np.zeros((3, 1, 48), np.float32)
    z, _, _, _ = dynamics.run(None, {"z": z, "keys": np.ones((1, 4), np.float32), "h": zero, "c": zero,
                                     "noise": np.zeros((1, 1), np.float32)})
    assert decoder.run(None, {"z": z})[0].shape == (1, 96, 96, 4)


def test_training_learns(chain):
    """Two epochs are few: the autoencoder gets better, the dynamics already beat persistence."""
    ae, lstm = ([json.loads(line) for line in (chain / f"{name}_log.jsonl").read_text().splitlines()]
                for name in ("ae", "lstm"))
    assert [entry["epoch"] for entry in ae] == [entry["epoch"] for entry in lstm] == [1, 2]
    assert ae[1]["held_out"] < ae[0]["held_out"] and lstm[1]["rollout_25"] < lstm[0]["rollout_25"] < 1


def test_history_holds_every_training(chain, tmp_path):
    ae, lstm = json.loads((chain / "model" / "meta.json").read_text())["history"]
    assert ae["command"].startswith("train_ae.py --data")
    assert lstm["command"].startswith("train_lstm.py --data")
    assert ae["frames"] == 20 * 48 and lstm["frames"] == 22 * 48
    for entry in (ae, lstm):
        assert entry["seconds"] >= 0 and entry["figures"]["epoch"] in (1, 2)
        assert entry["data"]["policy"]["name"] == "mix"
        assert str(chain.parent) not in json.dumps(entry)  # folders of this machine are not told
    root = copy_chain(chain, tmp_path, "*_resume.pt", "*_log.jsonl", "model", "frames/episode*")
    assert run(*TRAIN_LSTM, "--data", root, "--epochs", 1, "--init-from", chain / "lstm.pt").returncode == 0
    first, second = training.load(root / "runner" / "lstm.pt", models.Dynamics)[1]["history"]
    assert first == lstm and "--init-from" in second["command"]


def test_chain_writes_pictures_that_open(chain):
    for name in ("frames/contact_sheet.png", "frames/clip.gif", "ae_curves.png", "ae_frames.png",
                 "lstm_curves.png", "lstm_dream.png", "report/filmstrip.png", "report/rollout.png",
                 "report/lives.png", "report/survival.png", "report/control.png", "report/clip.gif"):
        with Image.open(chain / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10, name


def test_latents_are_those_of_the_frames(chain):
    latents = data.load_latents(chain / "latents")
    assert latents.numbers.tolist() == list(range(23)) and latents.z.shape == (23, 48, 16)
    assert np.abs(np.diff(latents.z[22], axis=0)).max() > 0.1  # recorded live: its frames were never stored
    assert len(data.episode_files(chain / "frames")) == 21
    encoder = training.load(chain / "ae.pt", models.Autoencoder)[0].encoder
    episode = data.load_episode(data.episode_path(chain / "frames", 7))
    with torch.no_grad():
        z = encoder(torch.from_numpy(episode["frames"]))
    torch.testing.assert_close(torch.from_numpy(latents.z[7]), z, atol=1e-4, rtol=1e-4)
    assert np.array_equal(latents.keys[7], episode["keys"])
    assert np.array_equal(latents.restart[7], episode["restart"])


@pytest.mark.slow
def test_live_episodes_are_the_recorded_ones(chain, tmp_path):
    """The same numbers give the same episodes, whether their frames are stored or encoded on the fly."""
    root = copy_chain(chain, tmp_path, "latents", "episode_*")
    assert run("encode.py", "--data", root, "--live", 2, "--workers", 1).returncode == 0
    stored, live = (data.load_latents(path / "latents") for path in (chain, root / "runner"))
    np.testing.assert_allclose(live.z[:2], stored.z[:2], atol=1e-4)
    assert np.array_equal(live.keys[:2], stored.keys[:2])


@pytest.mark.slow
@pytest.mark.parametrize(("command", "name"), [(TRAIN_AE, "ae"), (TRAIN_LSTM, "lstm")])
def test_resumed_training_equals_an_uninterrupted_one(chain, tmp_path, command, name):
    root = copy_chain(chain, tmp_path, f"{name}_*", f"{name}.pt")
    folder = root / "runner"
    assert run(*command, "--data", root, "--epochs", 2).returncode == 0
    whole = torch.load(folder / f"{name}_resume.pt", weights_only=True)
    for path in (f"{name}_resume.pt", f"{name}.pt", f"{name}_log.jsonl"):
        (folder / path).unlink()
    process = subprocess.Popen([sys.executable, ROOT / command[0], "--data", root, "--epochs", "2",
                                *map(str, command[1:])],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (folder / f"{name}_resume.pt").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert "the same command goes on" in process.communicate()[1]
    assert torch.load(folder / f"{name}_resume.pt", weights_only=True)["epoch"] == 1
    assert run(*command, "--data", root, "--epochs", 2).returncode == 0
    resumed = torch.load(folder / f"{name}_resume.pt", weights_only=True)
    assert resumed["epoch"] == whole["epoch"] == 2 and resumed["seconds"] > 0
    for key, weight in whole["weights"].items():
        assert torch.equal(weight, resumed["weights"][key]), key
    epochs = [json.loads(line)["epoch"] for line in (folder / f"{name}_log.jsonl").read_text().splitlines()]
    assert epochs == [1, 2]


@pytest.mark.slow
def test_init_from_begins_with_the_given_weights(chain, tmp_path):
    root = copy_chain(chain, tmp_path, "*_resume.pt", "*_log.jsonl", "model")
    for command, name, kind, figure in ((TRAIN_LSTM, "lstm", models.Dynamics, "skill"),
                                        (TRAIN_AE, "ae", models.Autoencoder, "psnr_db")):
        tiny_steps = "--data", root, "--epochs", 1, "--lr", 1e-9, "--muon", 1e-9
        assert run(*command, *tiny_steps, "--init-from", chain / f"{name}.pt").returncode == 0
        before, after = (training.load(folder / f"{name}.pt", kind)[1]["figures"][figure]
                         for folder in (chain, root / "runner"))
        assert after == pytest.approx(before, abs=0.02)


@pytest.mark.slow
def test_a_decoder_alone_leaves_the_encoder_as_it_is(chain, tmp_path):
    root = copy_chain(chain, tmp_path, "*_resume.pt", "*_log.jsonl", "ae.pt", "model")
    assert run(*TRAIN_AE, "--data", root, "--epochs", 1, "--dropout", 0.2, "--decoder-alone",
               "--init-from", chain / "ae.pt").returncode == 0
    before, after = (training.load(folder / "ae.pt", models.Autoencoder)[1]["weights"]
                     for folder in (chain, root / "runner"))
    for name, weight in before.items():
        assert torch.equal(weight, after[name]) == name.startswith("encoder"), name


# ---------------------------------------------------------------------------------------- several processes

def weights_after_a_step(rank, world, folder):
    """One step of both trainings in float32, as this process of so many: writes the weights it has then."""
    parallel.RANK, parallel.WORLD, muon.has_bfloat16 = rank, world, lambda device: False
    if world > 1:
        distributed.init_process_group("gloo", f"file://{folder}/{world}", rank=rank, world_size=world)
    rng = np.random.default_rng(0)
    frames = torch.from_numpy(rng.integers(0, 256, (8, 96, 96, 3), np.uint8))
    z, keys, over = (torch.from_numpy(rng.random(shape, np.float32))
                     for shape in ((4, 9, 16), (4, 9, 4), (4, 9)))
    torch.manual_seed(0)
    small = {"decoder_hidden": 32, "channels": (16, 16, 16, 16)}
    models_ = (models.Autoencoder(models.AutoencoderConfig(**small)),
               models.Dynamics(models.DynamicsConfig(hidden=24, widths=(32,))))
    losses_ = {"edge": 0.1, "interpretability": 1}, Namespace(noise=0.1, over_weight=1, teacher_weight=4)
    steps = (lambda: train_ae.train_step(models_[0], parallel.share(frames), 2, losses_[0], nullcontext)[0],
             lambda: train_lstm.train_step(models_[1], *map(parallel.share, (z, keys, over)), torch.ones(16),
                                           losses_[1], rollout=3))
    for model, step in zip(models_, steps):
        optimizer = muon.make_optimizer(model, 1e-3, 0.03, 0.1)
        step().backward()
        parallel.average_gradients(model)
        optimizer.step()
    torch.save([model.state_dict() for model in models_], f"{folder}/{world}_{rank}.pt")


def test_a_step_of_several_processes_is_that_of_one(tmp_path):
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=weights_after_a_step, args=(rank, world, tmp_path))
                 for world in (1, 2) for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    alone, *others = (torch.load(tmp_path / f"{name}.pt") for name in ("1_0", "2_0", "2_1"))
    for other in others:
        for a, b in zip(alone, other):
            for name, weight in a.items():
                torch.testing.assert_close(b[name], weight, atol=1e-4, rtol=1e-3, msg=name)
    with pytest.raises(SystemExit, match="--batch"), mock.patch.object(parallel, "WORLD", 3):
        parallel.share(np.arange(8))


def test_latents_of_other_machines_are_copied_and_what_differs_is_named(toy_data, tmp_path, capsys):
    """Equal overlaps are fine; the one episode that differs is kept as it was; another encoder is refused."""
    for name, numbers in (("a", range(8)), ("b", range(6, 21)), ("c", ())):
        shutil.copytree(toy_data / "runner" / "latents", tmp_path / name / "runner" / "latents")
        folder = tmp_path / name / "runner" / "latents"
        for number, path in data.episode_files(folder).items():
            if number not in numbers:
                path.unlink()
    data.save_episode(data.episode_path(folder.parents[2] / "b/runner/latents", 7), {"z": np.zeros(2)})
    data.write_json(folder / "meta.json", {"encoder": "another"})
    arguments = ["encode.py", "--data", str(tmp_path / "whole"), "--merge"]
    with mock.patch("sys.argv", [*arguments, str(tmp_path / "a"), str(tmp_path / "b")]):
        encode.main()
    whole = tmp_path / "whole" / "runner" / "latents"
    for number, path in data.episode_files(toy_data / "runner" / "latents").items():
        assert data.episode_path(whole, number).read_bytes() == path.read_bytes(), number
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "differs" in line and "episode_000007.npz" in line] == [lines[1]]
    assert "no latents of the same" in refusal(encode.main, *arguments[1:], tmp_path / "c")


@pytest.mark.slow
def test_a_killed_process_ends_the_training_and_another_number_goes_on(chain, tmp_path):
    """One line is the training's, torchrun adds its own. In the end it is the training of one process."""
    root = copy_chain(chain, tmp_path, "lstm*")
    command = [ROOT / TRAIN_LSTM[0], *TRAIN_LSTM[1:], "--data", root, "--epochs", 2]
    process = subprocess.Popen([sys.executable, "-m", "torch.distributed.run", "--standalone",
                                "--nproc-per-node", "2", *map(str, command)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "epoch 0 of 2" in process.stdout.readline()
    last = max(pid for pid, line in processes_of(process.pid).items() if "distributed.run" not in line)
    while not (root / "runner" / "lstm_resume.pt").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    os.kill(last, signal.SIGKILL)
    output, errors = process.communicate(timeout=60)
    assert process.returncode and errors.count("the same command goes on") == 1, errors
    assert output.count("epoch") == 1, output
    assert run(*TRAIN_LSTM, *command[len(TRAIN_LSTM):]).returncode == 0
    resumed, whole = (torch.load(folder / "runner" / "lstm_resume.pt", weights_only=True)
                   for folder in (root, chain.parent))
    assert resumed["epoch"] == 2 and resumed["best"] == pytest.approx(whole["best"], abs=0.02)
    for name, weight in whole["weights"].items():
        assert (resumed["weights"][name] - weight).norm() < 0.15 * weight.norm() + 1e-3, name  # of bfloat16


# -------------------------------------------------------------------------------------------------- bad input

@pytest.mark.parametrize(("script", "next_command"), [
    ("train_ae.py", "collect.py"), ("encode.py", "train_ae.py"), ("train_lstm.py", "encode.py"),
    ("export.py", "train_ae.py"), ("evaluate.py", "export.py")])
def test_empty_data_names_the_next_command(tmp_path, script, next_command):
    assert next_command in complaint(run(script, "--data", tmp_path))


@pytest.mark.parametrize(("content", "words"), [
    (b"not a checkpoint", "is not a checkpoint"), (b"", "is not a checkpoint"),
    ({"sizes": {}, "weights": {}}, "is not a checkpoint"),
    ({"config": {"z": 8}, "weights": {}}, "is not a checkpoint"),
    ({"config": {"depth": 8}, "weights": {}}, "is not a checkpoint"), ({}, "is not a checkpoint")])
def test_a_damaged_or_foreign_checkpoint_is_one_line(tmp_path, content, words):
    path = tmp_path / "ae.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(SystemExit) as stop:
        training.load(path, models.Autoencoder)
    assert words in str(stop.value) and "train_ae.py" in str(stop.value) and "\n" not in str(stop.value)


def test_what_does_not_belong_together_is_refused(chain, tmp_path):
    root = copy_chain(chain, tmp_path, "model")
    folder = root / "runner"
    training.save(folder / "other.pt", models.Dynamics(models.DynamicsConfig(keys=3)), history=[], figures={})
    (folder / "lstm_resume.pt").unlink()
    line = refusal(train_lstm.main, "--data", root, "--epochs", 1, "--init-from", folder / "other.pt")
    assert "keys=3" in line
    with data.lock(folder / "lstm.pt"):
        line = refusal(train_lstm.main, "--data", root, "--epochs", 1)
    assert "another process writes to" in line
    line = refusal(train_lstm.main, "--data", root, "--init-from", folder / "lstm.pt")
    assert "which this training writes" in line
    line = refusal(train_ae.main, *TRAIN_AE[1:], "--data", root, "--epochs", 3, "--dropout", 0.1)
    assert "cannot resume" in line and "ae_resume.pt" in line


@pytest.mark.slow
def test_full_disk_keeps_what_is_there(chain, tmp_path):
    root = copy_chain(chain, tmp_path, "model")
    folder = root / "runner"
    before = (folder / "lstm_resume.pt").read_bytes()
    (folder / "lstm_resume.pt.part").symlink_to("/dev/full")
    assert "cannot write" in complaint(run(*TRAIN_LSTM, "--data", root, "--epochs", 3))
    assert (folder / "lstm_resume.pt").read_bytes() == before
    shutil.rmtree(folder / "latents")
    small = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2_000, 2_000))
    assert "cannot write" in complaint(run("encode.py", "--data", root, preexec_fn=small))
    assert not data.episode_files(folder / "latents")


def test_too_few_episodes_and_unknown_device(chain, tmp_path):
    frames = tmp_path / "runner" / "frames"
    frames.mkdir(parents=True)
    shutil.copy(data.episode_path(chain / "frames", 0), frames)
    assert "too few" in refusal(train_ae.main, "--data", tmp_path)
    assert "--device" in refusal(train_ae.main, "--data", chain.parent, "--device", "abacus")


def test_frames_beyond_the_memory_lie_in_a_file_that_goes_with_the_program(chain):
    before = sorted((chain / "frames").iterdir())
    in_memory, numbers = data.load_frames(chain / "frames", memory=10 ** 10)
    on_disk, same_numbers = data.load_frames(chain / "frames", memory=0)
    assert isinstance(on_disk, np.memmap) and not isinstance(in_memory, np.memmap)
    assert (on_disk == in_memory).all() and (numbers == same_numbers).all()
    assert sorted((chain / "frames").iterdir()) == before


def test_a_damaged_episode_is_left_out_and_left_alone(chain, tmp_path, capsys):
    root = copy_chain(chain, tmp_path, "model")
    path = data.episode_path(root / "runner" / "frames", 3)
    path.write_bytes(path.read_bytes()[:2000])
    numbers = [number for number, _ in data.load_episodes(path.parent)]
    assert numbers == [n for n in range(21) if n != 3] and path.stat().st_size == 2000
    assert str(path) in capsys.readouterr().out
