"""export.py: the model folder keeps its contract and dreams what PyTorch dreams."""
import base64
import gzip
import hashlib
import io
import json
import re
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import refusal, run
from PIL import Image

import data
import export
import models
import train_lstm
from capture import policies
from engine import graphs, training

SHAPES = {"frames": ["N", 96, 96, 3], "rgba": ["N", 96, 96, 4],
          "z": ["N", 16], "z_next": ["N", 16], "keys": ["N", 4],
          "h": [3, "N", 128], "c": [3, "N", 128], "h_next": [3, "N", 128], "c_next": [3, "N", 128],
          "noise": ["N", 1], "over": ["N"]}
GRAPHS = {"encoder": (["frames"], ["z"]), "decoder": (["z"], ["rgba"]),
          "dynamics": (["z", "keys", "h", "c", "noise"], ["z_next", "h_next", "c_next", "over"])}


def session(folder, name):
    return onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_keeps_the_contract(toy_model, name):
    graph = session(toy_model, name)
    assert [i.name for i in graph.get_inputs()] == GRAPHS[name][0]
    assert [o.name for o in graph.get_outputs()] == GRAPHS[name][1]
    for x in graph.get_inputs() + graph.get_outputs():
        assert x.shape == SHAPES[x.name], x.name
        assert x.type == ("tensor(uint8)" if x.name in ("frames", "rgba") else "tensor(float)")


def test_weights_are_stored_once_and_mish_is_rewritten(toy_model):
    numbers, parameters = 0, json.loads((toy_model / "meta.json").read_text())["parameters"]
    for name in GRAPHS:
        proto = onnx.load(toy_model / f"{name}.onnx")
        numbers += sum(int(np.prod(x.dims)) for x in proto.graph.initializer)
        assert not {node.op_type for node in proto.graph.node} & {"Mish", "Softplus", "Tanh"}
        assert b"stack_trace" not in proto.SerializeToString()
    assert parameters <= numbers < parameters + 20_000


@torch.no_grad()
@pytest.mark.parametrize("n", [1, 5])
def test_twenty_dreamed_frames_equal_pytorch(toy_data, toy_model, n):
    autoencoder, _ = training.load(toy_data / "runner" / "ae.pt", models.Autoencoder)
    dynamics, _ = training.load(toy_data / "runner" / "lstm.pt", models.Dynamics)
    graphs.shorten(autoencoder)  # as the files hold them
    graphs.shorten(dynamics)
    rng = np.random.default_rng(n)
    frames = rng.integers(0, 256, (n, 96, 96, 3), np.uint8)
    keys = rng.integers(0, 2, (n, 20, 4)).astype(np.float32)
    z = session(toy_model, "encoder").run(["z"], {"frames": frames})[0]
    np.testing.assert_allclose(z, autoencoder.encoder(torch.from_numpy(frames)), atol=1e-5)
    noise = rng.normal(size=(20, n, 1)).astype(np.float32)
    graph, h, c = session(toy_model, "dynamics"), *np.zeros((2, 3, n, 128), np.float32)
    first, dreamed, over = torch.from_numpy(z), [], []
    for t in range(20):
        feed = {"z": z, "keys": keys[:, t], "h": h, "c": c, "noise": noise[t]}
        z, h, c, ended = graph.run(None, feed)
        dreamed.append(z)
        over.append(ended)
    over = torch.from_numpy(np.stack(over, 1))
    expected, logit, (h_expected, c_expected) = dynamics.rollout(first, torch.from_numpy(keys), over)
    np.testing.assert_allclose(np.stack(dreamed, 1), expected, atol=1e-4, rtol=1e-4)
    chance = torch.distributions.Normal(0, 1).icdf(logit.sigmoid())  # noise below it ends the life
    assert torch.equal(over > 0.5, torch.from_numpy(noise[..., 0].T) < chance) and 0 < over.mean() < 1
    np.testing.assert_allclose(h, h_expected, atol=1e-4)
    np.testing.assert_allclose(c, c_expected, atol=1e-4)
    rgba = session(toy_model, "decoder").run(["rgba"], {"z": z})[0]
    difference = rgba.astype(int) - autoencoder.decoder.paint(torch.from_numpy(z)).numpy().astype(int)
    assert np.abs(difference).max() <= 1 and (rgba[..., 3] == 255).all()


def test_meta_and_script_agree_with_the_files(toy_model):
    meta = json.loads((toy_model / "meta.json").read_text())
    assert meta["game"] == "runner" and meta["keys"] == list("qwop")
    assert meta["tick_ms"] == 33.33 and meta["ticks_per_frame"] == 3 and meta["frame_ms"] == 99.99
    autoencoder, dynamics = models.Autoencoder(), models.Dynamics(models.DynamicsConfig(
        hidden=128, widths=(1024, 2048, 1024)))
    assert meta["parameters"] == models.count_parameters(autoencoder, dynamics)
    assert meta["format"] == 2 and meta["dz_std"] == [0.5] * 16
    assert meta["history"] == [{"command": "train_ae.py"}, {"command": "train_lstm.py"}]
    assert meta["fidelity"] == {"autoencoder": {"psnr_db": 1.5}, "dynamics": {}}
    assert all(low < 0 < high for low, high in zip(meta["z_low"], meta["z_high"], strict=True))
    assert set(meta["sha256"]) == {"encoder.onnx", "decoder.onnx", "dynamics.onnx", "model.js", "clips.js"}
    assert len(meta["gaits"]) == 3 and meta["gaits"][0]["score"] == max(g["score"] for g in meta["gaits"])
    assert "readout" not in meta  # nothing was recorded with a score
    for name, expected in meta["sha256"].items():
        assert hashlib.sha256((toy_model / name).read_bytes()).hexdigest() == expected

    script = (toy_model / "model.js").read_text()
    script = json.loads(script.removeprefix("self.DREAM_MODEL = ").removesuffix(";\n"))
    assert script["meta"]["starts"] == meta["starts"]
    for name in GRAPHS:
        assert gzip.decompress(base64.b64decode(script[name])) == (toy_model / f"{name}.onnx").read_bytes()


def test_clips_are_true_moments_with_their_keys(toy_data, toy_model):
    script = (toy_model / "clips.js").read_text()
    clip, = json.loads(script.removeprefix("self.DREAM_CLIPS = ").removesuffix(";\n"))
    recorded = np.load(toy_data / "runner" / "held_out" / "gait.npz")
    assert (clip["kind"], clip["frames"]) == ("gait", 16)
    assert np.array_equal(policies.from_text(clip["keys"], 4), recorded["keys"][0, 10:])
    picture = base64.b64decode(clip["picture"].removeprefix("data:image/webp;base64,"))
    sheet = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    assert sheet.shape == (2 * 96, 15 * 96, 3)
    assert np.abs(sheet[96:, :96].astype(int) - recorded["frames"][0, 25]).mean() < 12  # the last of them
    z = session(toy_model, "encoder").run(None, {"frames": recorded["frames"][0]})[0]
    h = c = np.zeros((3, 1, 128), np.float32)
    for t in range(10):
        _, h, c = session(toy_model, "dynamics").run(None, {
            "z": z[t:t + 1], "keys": recorded["keys"][0, t:t + 1].astype(np.float32), "h": h, "c": c,
            "noise": np.float32([[9]])})[:3]  # nobody falls in it
    np.testing.assert_allclose(clip["start"]["z"], z[10], atol=1e-4)
    np.testing.assert_allclose(clip["start"]["h"], h[:, 0], atol=1e-4)


def test_start_states_are_true_moments_of_held_out_lives(toy_data, toy_model):
    starts = json.loads((toy_model / "meta.json").read_text())["starts"]
    assert len(starts) == 8 and set(starts[0]) == {"z"}
    assert all(np.shape(s["h"]) == np.shape(s["c"]) == (3, 128) for s in starts[1:])
    held_out = data.load_latents(toy_data / "runner" / "latents").z[19]
    moments = [int(np.abs(held_out - s["z"]).max(axis=1).argmin()) for s in starts]
    assert np.abs(held_out[moments] - [s["z"] for s in starts]).max() < 1e-6
    assert moments[0] == 0 and all(10 <= m < 25 for m in moments[1:]) and len(set(moments)) == 8


def test_readings_are_those_that_hold_on_other_episodes(tmp_path):
    """The trunk leans as z[0] says, degree by degree; the knees, and all else, are noise."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(6, 50, 16)).astype(np.float32)
    over = np.zeros((6, 50), bool)
    over[:, 40:] = True
    for episode in range(6):
        pose = rng.normal(size=(50, 12, 3)).astype(np.float32)
        pose[:, 0, 2] = np.where(over[episode], 1, 0.3 + np.radians(10 * z[episode, :, 0]))
        data.save_episode(data.episode_path(tmp_path, episode), {
            "frames": np.zeros((50, 96, 96, 3), np.uint8), "keys": np.zeros((50, 4), np.uint8),
            "restart": np.arange(50) == 0, "over": over[episode], "pose": pose})
    latents = data.Latents(np.arange(6), z, np.zeros((6, 50, 4), np.uint8), over, over, {})
    reading, = export.fit_readings(tmp_path, latents)
    assert (reading["name"], reading["unit"]) == ("leans forward", "°") and reading["r2"] > 0.99
    np.testing.assert_allclose(reading["weights"][1:], 10 * np.eye(16)[0], atol=0.5)
    np.testing.assert_allclose(np.abs(reading["correlation"]), np.eye(16)[0], atol=0.2)
    assert reading["low"] == pytest.approx(-23, abs=6) and reading["high"] == pytest.approx(23, abs=6)


def test_the_map_shows_where_real_play_differs_most(toy_model):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1000, 16)) * np.where(np.arange(16) == 3, 5, 1)
    drawn = export.make_map(z, np.ones(16))
    first, *_ = axes = np.array(drawn["axes"])
    assert np.abs(first[1:]).argmax() == 3 and abs(axes[0, 1:] @ axes[1, 1:]) < 0.01 * (first[1:] @ first[1:])
    places = axes[:, 0] + z[::4] @ axes[:, 1:].T
    assert np.abs(places - drawn["points"]).max() < 0.6 and (np.abs(places - 50) < 55).mean() > 0.97
    meta = json.loads((toy_model / "meta.json").read_text())
    assert meta["map"]["points"] and meta["sizes"]["encoder"][:2] == [[96, 96, 3], [48, 48, 8]]
    assert meta["sizes"]["dynamics"] == [[128], [128], [128], [1024], [2048], [1024], [16]]
    assert meta["sizes"]["decoder"][-1] == [96, 96, 3]


@pytest.mark.slow
def test_two_exports_give_equal_bytes_and_keep_what_else_is_there(toy_data, toy_model, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    assert run("export.py", "--data", toy_data, "--out", tmp_path).returncode == 0
    for path in toy_model.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in toy_model.iterdir()} | {"note.txt"}


@pytest.mark.parametrize("lacking", ["ae.pt", "lstm.pt", "latents", "latents/meta.json"])
def test_what_is_missing_is_one_line(toy_data, tmp_path, lacking):
    shutil.copytree(toy_data / "runner", tmp_path / "runner", ignore=shutil.ignore_patterns("model"))
    path = tmp_path / "runner" / lacking
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    line = refusal(export.main, "--data", tmp_path)
    assert re.search(r"run (train_ae|train_lstm|encode|collect)\.py", line), line
    assert not (tmp_path / "runner" / "model").exists()


@pytest.mark.parametrize("stranger", ["ae.pt", "lstm.pt", "latents"])
def test_what_another_encoder_made_is_refused(toy_data, tmp_path, stranger):
    folder = tmp_path / "runner"
    shutil.copytree(toy_data / "runner", folder, ignore=shutil.ignore_patterns("model"))
    torch.manual_seed(1)
    if stranger == "ae.pt":
        training.save(folder / "ae.pt", models.Autoencoder(), history=[], figures={})
    elif stranger == "lstm.pt":
        model, checkpoint = training.load(folder / "lstm.pt", models.Dynamics)
        training.save(folder / "lstm.pt", model, history=[], figures={}, encoder="0" * 16)
    else:
        meta = data.read_json(folder / "latents/meta.json")
        data.write_json(folder / "latents/meta.json", meta | {"encoder": "0" * 16})
    named = "lstm.pt" if stranger == "lstm.pt" else "latents"
    line = refusal(export.main, "--data", tmp_path)
    assert f"{folder / named} was made with another encoder" in line
    assert re.search(r"run (encode|train_lstm)\.py", line), line
    if stranger != "lstm.pt":
        assert "another encoder" in refusal(train_lstm.main, "--data", tmp_path)


def test_a_graph_that_differs_from_pytorch_replaces_nothing(toy_data, toy_model, tmp_path, monkeypatch):
    shutil.copytree(toy_data / "runner", tmp_path / "runner")
    torch.manual_seed(1)
    other = models.Autoencoder()  # whose decoder is not that of the graphs
    other.encoder = training.load(toy_data / "runner" / "ae.pt", models.Autoencoder)[0].encoder
    training.save(tmp_path / "runner" / "ae.pt", other, history=[], figures={})
    (tmp_path / "runner" / ".model.part-1").mkdir()  # of a run that was killed
    monkeypatch.setattr(graphs, "write", lambda path, *_: shutil.copy(toy_model / path.name, path))
    monkeypatch.setattr("sys.argv", ["export.py", "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match="differs from PyTorch by"):
        export.main()
    names = {path.name for path in (tmp_path / "runner").iterdir()}
    assert names == {"ae.pt", "lstm.pt", "latents", "held_out", "model"}
    for path in toy_model.iterdir():
        assert (tmp_path / "runner" / "model" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.slow
def test_networks_of_other_sizes_are_exported(toy_data, tmp_path):
    shutil.copytree(toy_data / "runner", tmp_path / "runner", ignore=shutil.ignore_patterns("model"))
    other = models.Dynamics(models.DynamicsConfig(hidden=48, widths=(80, 40)))
    checkpoint = training.load(tmp_path / "runner" / "lstm.pt", models.Dynamics)[1]
    training.save(tmp_path / "runner" / "lstm.pt", other, history=[], figures={},
                  encoder=checkpoint["encoder"])
    assert run("export.py", "--data", tmp_path).returncode == 0
    assert session(tmp_path / "runner" / "model", "dynamics").get_inputs()[2].shape == [3, "N", 48]
