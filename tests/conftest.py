"""Fixtures that several tests share: recordings, a browser, a model folder of random weights."""
import os
import shutil
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side: threads would wait for each other

import numpy as np
import pytest
import torch
from filelock import FileLock
from helpers import collect, run
from playwright.sync_api import sync_playwright

import data
import models
from capture.browser import launch
from engine import training

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would ignore Ctrl-C


@pytest.fixture(scope="module")
def recorded(request, tmp_path_factory):
    """A data folder with the episodes that SIZES of the module asks for. Tests copy it to change it."""
    folder = tmp_path_factory.mktemp("recorded")
    result = collect(folder, *request.module.SIZES)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def copy(recorded, tmp_path):
    """A copy of `recorded` that a test may spoil -> the data folder."""
    shutil.copytree(recorded, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium: playwright's own where it is installed, else the system's."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


def pytest_collection_modifyitems(items):
    """The longest file first, so that both processes end at the same time."""
    items.sort(key=lambda item: item.path.name != "test_train.py")


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory):
    """A data folder of the game `runner`: random weights and latents, 21 episodes (one is held out), and the
    model folder that export.py makes of it. All test processes share it: copy what is changed."""
    root = tmp_path_factory.getbasetemp() / "toy"
    if "PYTEST_XDIST_WORKER" in os.environ:  # the parent is that of all processes
        root = root.parent.parent / "toy"
    with FileLock(f"{root}.lock"):
        if not (root / "runner" / "model").exists():
            make_toy_data(root / "runner")
            result = run("export.py", "--data", root)
            assert result.returncode == 0, result.stderr
    return root


def make_toy_data(folder):
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    autoencoder = models.Autoencoder()
    dynamics = models.Dynamics(models.DynamicsConfig(hidden=128, widths=(1024, 2048, 1024)))
    with torch.no_grad():
        for weights in autoencoder.parameters():
            weights += 0.01 * torch.randn_like(weights)  # biases start at 0, and equal ones are stored once
    training.save(folder / "ae.pt", autoencoder, history=[{"command": "train_ae.py"}],
                  figures={"psnr_db": 1.5})
    dynamics.dz_std *= 0.5
    with torch.no_grad():
        dynamics.head[-1].weight *= 30  # random weights hardly listen to the keys
    encoder = training.hash_of(autoencoder.encoder)
    training.save(folder / "lstm.pt", dynamics, history=[{"command": "train_lstm.py"}], figures={},
                  encoder=encoder)
    meta = {"encoder": encoder, "game": "runner", "keys": list("qwop"), "tick_ms": 33.33,
            "ticks_per_frame": 3}
    (folder / "latents").mkdir()
    data.write_json(folder / "latents" / "meta.json", meta)
    rng = np.random.default_rng(0)
    for episode in range(21):
        data.save_episode(data.episode_path(folder / "latents", episode), {
            "z": rng.normal(size=(64, 16)).astype(np.float32),
            "keys": rng.integers(0, 2, (64, 4)).astype(np.uint8), "restart": np.arange(64) % 40 == 0,
            "over": np.arange(64) % 40 == 39})
    (folder / "held_out").mkdir()
    frames = np.repeat(np.repeat(rng.integers(0, 256, (4, 26, 12, 12, 3), np.uint8), 8, 2), 8, 3)
    data.save_episode(folder / "held_out" / "gait.npz", {
        "frames": frames, "keys": rng.integers(0, 2, (4, 26, 4)).astype(np.uint8),
        "restart": np.tile(np.arange(26) == 0, (4, 1)), "over": np.zeros((4, 26), bool)})


@pytest.fixture(scope="session")
def toy_model(toy_data):
    """The model folder in toy_data."""
    return toy_data / "runner" / "model"
