"""Whatever is in a file, it is read, or refused in one line: good files with damaged bytes or values."""
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import data
import dream
import models
import plots
from capture import player, policies
from engine import training

RUNNER = ROOT / "docs/model/runner"
GAME = SimpleNamespace(name="runner", keys=list("qwop"))
MANY = settings(max_examples=60, deadline=20_000, suppress_health_check=list(HealthCheck))
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-10 ** 30, 10 ** 400), st.floats(), st.text(max_size=20),
    st.lists(st.floats(), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))


def episode_file():
    file = io.BytesIO()
    np.savez_compressed(file, frames=np.zeros((3, 96, 96, 3), np.uint8), keys=np.zeros((3, 4), np.uint8),
                        restart=np.zeros(3, bool))
    return file.getvalue()


def checkpoint_file():
    file = io.BytesIO()
    model = models.Dynamics(models.DynamicsConfig(hidden=4, widths=(4,)))
    torch.save({"config": vars(model.config), "weights": model.state_dict(), "history": []}, file)
    return file.getvalue()


KEY_LIST = {"game": "runner", "keys": list("qwop"), "ticks_per_frame": 3,
            "episodes": [{"skip": 0, "keys": "0123456789ab"}]}
PLAYER = {"encoder": json.loads((RUNNER / "meta.json").read_text())["sha256"]["encoder.onnx"][:16],
          "numbers": [0.0] * 141}
META = json.loads((RUNNER / "meta.json").read_text()) | {"starts": [], "readout": {}}
READERS = {
    "episode.npz": (episode_file(), data.load_episode),
    "checkpoint.pt": (checkpoint_file(), lambda path: training.load(path, models.Dynamics)),
    "log.jsonl": (b'{"epoch": 1, "train": 0.5}\n{"epoch": 2, "train": 0.4}\n', plots.read_log),
    "keys.json": (json.dumps(KEY_LIST).encode(), lambda path: policies.load_lists(path, GAME, 3, 6)),
    "player.json": (json.dumps(PLAYER).encode(), lambda path: player.load(path, SimpleNamespace(
        meta=META, features=16))),
    "meta.json": (json.dumps(META).encode(), lambda path: dream.read_meta(path.parent))}


def read(path, content, reader):
    """Read a file with this content: it works, or raises an error of one line."""
    path.write_bytes(content)
    try:
        reader(path)
    except (ValueError, SystemExit) as error:
        assert str(error) and "\n" not in str(error)


@pytest.mark.parametrize("name", READERS)
@MANY
@given(damage=st.data())
def test_damaged_bytes_are_refused_in_one_line(tmp_path, name, damage):
    good, reader = READERS[name]
    content = bytearray(good)
    for _ in range(damage.draw(st.integers(1, 4))):
        at = damage.draw(st.integers(0, len(content) - 1))
        content[at] = damage.draw(st.integers(0, 255))
    content = content[:damage.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    read(tmp_path / name, bytes(content), reader)


@pytest.mark.parametrize("name", [name for name in READERS if name.endswith(".json")])
@MANY
@given(damage=st.data())
def test_other_values_are_refused_in_one_line(tmp_path, name, damage):
    """Of a JSON file one value, of one level or the next, is another."""
    good, reader = READERS[name]
    content = json.loads(good)
    node, key = content, damage.draw(st.sampled_from(sorted(content)))
    if isinstance(node[key], (list, dict)) and node[key] and damage.draw(st.booleans()):
        node = node[key]
        key = damage.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
    node[key] = damage.draw(VALUES)
    read(tmp_path / name, json.dumps(content).encode(), reader)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"null", b"\xff\xfe\x00", b"[]", b'"text"', b"0"])
def test_foreign_files_are_refused_in_one_line(tmp_path, name, content):
    read(tmp_path / name, content, READERS[name][1])
