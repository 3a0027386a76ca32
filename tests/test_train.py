"""The networks and losses by themselves, and the whole chain of scripts on the real runner in a real Chromium."""
import json
import resource
import shutil
from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from helpers import ROOT, run
from PIL import Image
from torch import nn

import data
import metrics
import evaluate
import losses
import models
from capture import policies
import train_ae
import train_lstm
from muon import Muon, orthogonal


def test_parameters_are_the_originals():
    autoencoder, dynamics = models.Autoencoder(), models.Dynamics()
    assert models.parameters(autoencoder.encoder) == 107_040
    assert models.parameters(autoencoder.decoder) == 1_989_875
    assert models.parameters(dynamics) == 4_686_864
    assert models.parameters(autoencoder, dynamics) == 6_783_779


def test_decoder_equals_plain_transposed_convolutions():
    decoder, z = models.Decoder(models.AutoencoderConfig()).eval(), torch.randn(3, 16)
    plain = decoder.rest(decoder.first(decoder.head(z)[:, :, None, None]))
    assert plain.shape == (3, 3, 96, 96)
    torch.testing.assert_close(decoder(z), plain)


@pytest.mark.parametrize("kernel", [7, 8, 9])
def test_fast_transposed_convolution_equals_torchs_and_so_do_its_gradients(kernel):
    up, x = models.Up(6, 5, kernel), torch.randn(2, 6, 4, 7, requires_grad=True)
    plain = torch.nn.functional.conv_transpose2d(x, up.weight, up.bias, stride=2)
    wanted = torch.autograd.grad(plain.square().sum(), (x, up.weight, up.bias))
    fast = up(x)
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(torch.autograd.grad(fast.square().sum(), (x, up.weight, up.bias)), wanted)


def test_muon_makes_steps_whose_singular_values_are_about_one():
    chance = torch.Generator().manual_seed(0)
    for shape in ((20, 50), (50, 20)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=chance)))
        assert values.min() > 0.5 and values.max() < 1.4


def test_muon_steps_matrices_and_leaves_the_rest_to_adam():
    ours, adams = nn.Linear(8, 5), nn.Linear(8, 5)
    adams.load_state_dict(ours.state_dict())
    before, x = ours.weight.detach().clone(), torch.randn(30, 8)
    for module, optimizer in ((ours, Muon(ours, 1e-2, 0.1)), (adams, torch.optim.AdamW(adams.parameters(), 1e-2))):
        module(x).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(ours.bias, adams.bias)
    values = torch.linalg.svdvals(before - ours.weight) / 0.1
    assert values.min() > 0.5 and values.max() < 1.4


def test_frame_by_frame_equals_the_whole_sequence():
    dynamics = models.Dynamics().eval()
    dynamics.dz_std += torch.rand(16)
    z, keys = torch.randn(2, 12, 16), torch.randint(0, 2, (2, 12, 4)).float()
    whole, _ = dynamics(z, keys)
    state, pieces = None, []
    for t in range(12):
        piece, state = dynamics(z[:, t:t + 1], keys[:, t:t + 1], state)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, 1), whole)


def test_rollout_feeds_on_its_own_output():
    dynamics, z, keys = models.Dynamics().eval(), torch.randn(2, 16), torch.ones(2, 3, 4)
    dreamed, _ = dynamics.rollout(z, keys)
    again, _ = dynamics(torch.cat([z[:, None], dreamed[:, :-1]], 1), keys)
    torch.testing.assert_close(dreamed, again)


def test_rollout_loss_equals_dreams_forked_by_hand():
    model = models.Dynamics().eval()
    z, keys = torch.randn(2, 31, 16), torch.randint(0, 2, (2, 31, 4)).float()
    scale = torch.rand(16) + 0.5
    predicted, _ = model(z[:, :-1], keys[:, :-1])
    teacher = losses.step_loss(predicted, z[:, 1:], z[:, :-1], scale)
    dreams = []
    for t in (10, 20):
        warm, state = model(z[:, :t], keys[:, :t])
        dreams.append(torch.cat([warm[:, -1:], model.rollout(warm[:, -1], keys[:, t:t + 9], state)[0]], dim=1))
    truth, still = (torch.cat([z[:, t + a:t + b] for t in (10, 20)]) for a, b in ((0, 10), (-1, 0)))
    rollout = losses.rollout_loss(torch.cat(dreams), truth, still, scale)

    def loss(**options):
        args = SimpleNamespace(**{"noise": 0.0, "teacher": 1.0, "pushforward": False, **options})
        return train_lstm.train_step(model, z, keys, args, scale, options.get("rollout", 10))

    torch.testing.assert_close(loss(rollout=0, teacher=0), teacher)
    torch.testing.assert_close(loss(teacher=0.5), 0.5 * teacher + rollout)
    torch.testing.assert_close(loss(teacher=0), rollout)
    ours, pushed = (torch.autograd.grad(loss(teacher=0, pushforward=p), model.lstm.weight_ih_l0) for p in (0, 1))
    assert not torch.allclose(*ours, *pushed)


def test_a_dream_weighs_every_frame_the_same():
    z, truth = torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0], [10, 0]]])
    scale = torch.ones(2)
    assert losses.rollout_loss(truth, truth, z, scale) == 0
    assert losses.rollout_loss(torch.zeros_like(truth), truth, z, scale) == 1
    assert losses.rollout_loss(truth * torch.tensor([[[1.0], [0]]]), truth, z, scale) == 0.5


def test_noise_and_dropout_act_in_training_only():
    model, frames = models.Autoencoder(), torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8)
    assert not torch.equal(model(frames)[1], model(frames)[1])
    model.eval()
    assert torch.equal(model(frames)[1], model(frames)[1])


def test_stored_features_have_std_1_or_are_those_of_the_start_and_paint_the_same():
    model = models.Autoencoder(models.AutoencoderConfig(pose_angles=12)).eval()
    begun = deepcopy(model)
    begun.rename(torch.randn(16, 16) + 8 * torch.eye(16), torch.randn(16))
    frames = torch.randint(0, 256, (99, 96, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        z, pictures = model(frames)
        read, wanted = model.pose_head(z), begun(frames)[0]
        mapped, standard = train_ae.finished(model, frames, begun), train_ae.finished(model, frames)
        for stored in (mapped, standard):
            again, same = stored(frames)
            torch.testing.assert_close(same, pictures, atol=1e-4, rtol=0)
            torch.testing.assert_close(stored.pose_head(again), read, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(mapped(frames)[0], wanted, atol=1e-3, rtol=1e-3)
        again = standard(frames)[0]
        torch.testing.assert_close(again.mean(0), torch.zeros(16), atol=1e-3, rtol=0)
        torch.testing.assert_close(again.std(0), torch.ones(16), atol=1e-3, rtol=0)


def test_losses_are_zero_where_nothing_is_wrong():
    pictures = torch.rand(4, 3, 96, 96)
    assert losses.pixel_loss(pictures, pictures) == 0
    assert losses.edge_loss(pictures, pictures) == 0
    assert losses.pixel_loss(torch.ones(1, 3, 96, 96), torch.zeros(1, 3, 96, 96)) == 9216
    assert losses.edge_loss(pictures, torch.zeros_like(pictures)) > 1
    z = torch.randn(1, 5, 16)
    assert losses.step_loss(z + 1, z + 1, z, torch.ones(16)) == 0
    torch.testing.assert_close(losses.step_loss(z, z + 1, z, torch.ones(16)), torch.tensor(1.0))


def test_edges_agree_with_convolution():
    grey = torch.rand(2, 3, 96, 96)
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])[None, None]
    blurred = torch.nn.functional.avg_pool2d(grey.mean(1, keepdim=True), 3, 1)
    x, y = (torch.nn.functional.conv2d(blurred, k) for k in (kernel, kernel.transpose(2, 3)))
    torch.testing.assert_close(losses.edges(grey), (x ** 2 + y ** 2 + 1e-6).sqrt()[:, 0])


def test_interpretability_loss_counts_features_that_change():
    one = torch.ones(1, 2, 16)
    one[0, 1, 3] = 2
    every = torch.stack([torch.ones(16), torch.full((16,), 2.0)])[None]
    torch.testing.assert_close(losses.interpretability_loss(one), torch.tensor(0.0))
    torch.testing.assert_close(losses.interpretability_loss(every), torch.tensor(3.0))  # sqrt(16) - 1


def test_psnr_and_ssim():
    a = np.random.default_rng(0).integers(0, 246, (2, 96, 96, 3), np.uint8)
    assert metrics.psnr(a + 10, a) == pytest.approx(20 * np.log10(255 / 10))
    assert metrics.ssim(a, a) == pytest.approx(1)
    assert metrics.ssim(a[::-1], a) < 0.1


# ------------------------------------------------------------------------------------------------------- the chain

TRAIN_AE = ("train_ae.py", "--restart-epochs", 2, "--pixel-epochs", 1, "--batch", 64, "--run", 16, "--muon", 0.02,
            "--pose", 10, "--moving", 1)
TRAIN_LSTM = ("train_lstm.py", "--restart-epochs", 2, "--batch", 8, "--rollout", 4, "--ema", 0.9, "--unit",
              "--teacher-epochs", 1, "--pushforward", "--muon", 0.02)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A data folder after the README's commands, each as small as it can be; the scripts' results by name."""
    root = tmp_path_factory.mktemp("chain")
    results = {}
    for script, *args in (("collect.py", "--episodes", 21, "--frames", 64),
                          ("collect.py", "--held-out", "--frames", 64),
                          (*TRAIN_AE, "--epochs", 2),
                          ("encode.py", "--frames", 64, "--live", 41),
                          (*TRAIN_LSTM, "--epochs", 2),
                          ("export.py",), ("evaluate.py", "--dream-frames", 200)):
        results[script] = run(script, "--data", root, *args)
        assert results[script].returncode == 0, (script, results[script].stderr)
    return root, results


def test_held_out_episodes_are_of_every_kind_and_never_those_of_training(chain, tmp_path):
    folder, again = chain[0] / "runner" / "held_out", tmp_path / "runner" / "held_out"
    kinds = data.load_held_out(folder)
    assert set(kinds) == {"random", "gait", "human", "held", "choices"}
    assert kinds["held"]["keys"].shape == (6, 64, 4) and kinds["choices"]["frames"].shape == (96, 21, 96, 96, 3)
    for kind in ("random", "gait", "human"):
        arrays = kinds[kind]
        assert arrays["frames"].shape == (4, 64, 96, 96, 3) and arrays["pose"].shape == (4, 64, 12, 3)
        assert arrays["more_frames"].shape == (60, 11, 96, 96, 3) and arrays["more_over"].shape == (60, 64)
    past = kinds["choices"]["frames"].reshape(6, 16, 21, 96, 96, 3)
    assert (past[:, :, :11] == past[:, :1, :11]).all() and (past[:, 1, 12] != past[:, 0, 12]).any()
    trained = {policies.Policy("random", 4, 64, 3, 0, [])(n)[0].tobytes() for n in range(200)}
    assert not any(row.tobytes() in trained for row in (*kinds["random"]["keys"], *kinds["random"]["more_keys"]))
    shutil.copytree(folder, again)
    said = run("collect.py", "--held-out", "--data", tmp_path, "--frames", 64).stdout
    assert said.count("is there") == 5
    (again / "random.npz").write_bytes((folder / "random.npz").read_bytes()[:5000])
    line = fails("evaluate.py", "--data", tmp_path, "--model", chain[0] / "runner" / "model")
    assert "random.npz" in line and "--held-out" in line


def test_chain_ends_with_a_model_that_plays(chain):
    folder = chain[0] / "runner"
    meta = json.loads((folder / "model" / "meta.json").read_text())
    assert (meta["game"], meta["keys"], meta["parameters"]) == ("runner", list("qwop"), 6_783_779)
    assert meta["fidelity"]["autoencoder"]["psnr_db"] > 10 and meta["drift_limit"] > 0
    assert len(meta["readout"]["metres"]) == len(meta["readout"]["over"]) == 1 + 3 * 128 + 16
    clips = json.loads((folder / "model" / "clips.js").read_text()[len("self.DREAM_CLIPS = "):-2])
    assert {clip["kind"] for clip in clips} == {"random", "gait", "human", "held"}
    dynamics, decoder = (onnxruntime.InferenceSession(folder / "model" / f"{name}.onnx")
                         for name in ("dynamics", "decoder"))
    z, zero = np.array([meta["starts"][0]["z"]], np.float32), np.zeros((3, 1, 128), np.float32)
    z, _, _ = dynamics.run(None, {"z": z, "keys": np.ones((1, 4), np.float32), "h": zero, "c": zero})
    assert decoder.run(None, {"z": z})[0].std() > 0


def test_chain_writes_pictures_that_open(chain):
    folder = chain[0] / "runner"
    for name in ("frames/contact_sheet.png", "frames/clip.gif", "ae_curves.png", "ae_frames.png", "lstm_curves.png",
                 "lstm_dream.png", "report/filmstrip.png", "report/rollout.png", "report/lives.png",
                 "report/survival.png", "report/control.png", "report/clip.gif"):
        assert np.array(Image.open(folder / name).convert("RGB")).std() > 0, name


def test_latents_are_those_of_the_frames(chain):
    folder = chain[0] / "runner"
    latents = data.Latents(folder / "latents")
    assert latents.done.all() and latents.z.shape == (41, 64, 16)
    assert np.abs(np.diff(latents.z[40], axis=0)).max() > 0  # recorded live: never stored as pictures
    assert len(data.episode_files(folder / "frames")) == 21
    encoder = models.load(folder / "ae.pt", models.Autoencoder)[0].encoder
    episode = data.load_episode(data.episode_path(folder / "frames", 7))
    with torch.no_grad():
        z = encoder(torch.from_numpy(episode["frames"]))
    torch.testing.assert_close(torch.from_numpy(latents.z[7].copy()), z, atol=1e-4, rtol=1e-4)
    assert np.array_equal(latents.keys[7], episode["keys"]) and np.array_equal(latents.restart[7], episode["restart"])


def test_live_episodes_are_the_recorded_ones(chain, tmp_path):
    """The same numbers give the same episodes, whether they are stored as pictures or encoded on the fly."""
    shutil.copytree(chain[0] / "runner", tmp_path / "runner", ignore=shutil.ignore_patterns("latents", "frames"))
    assert run("encode.py", "--data", tmp_path, "--frames", 64, "--live", 2, "--workers", 1).returncode == 0
    stored, live = (data.Latents(root / "runner" / "latents") for root in (chain[0], tmp_path))
    np.testing.assert_allclose(live.z[:2], stored.z[:2], atol=1e-4)
    assert np.array_equal(live.keys[:2], stored.keys[:2])


@pytest.mark.parametrize(("command", "checkpoint"), [(TRAIN_AE, "ae_resume.pt"), (TRAIN_LSTM, "lstm_resume.pt")])
def test_resumed_training_equals_an_uninterrupted_one(chain, tmp_path, command, checkpoint):
    whole = torch.load(chain[0] / "runner" / checkpoint, weights_only=True)
    shutil.copytree(chain[0] / "runner", tmp_path / "runner", ignore=shutil.ignore_patterns(f"{checkpoint[:2]}*"))
    if command is TRAIN_LSTM:
        shutil.copy(chain[0] / "runner" / "ae.pt", tmp_path / "runner")
    for epochs in (1, 2):
        assert run(command[0], "--data", tmp_path, *command[1:], "--epochs", epochs).returncode == 0
    resumed = torch.load(tmp_path / "runner" / checkpoint, weights_only=True)
    assert resumed["epoch"] == whole["epoch"] == 2
    for name, weights in whole["weights"].items():
        assert torch.equal(weights, resumed["weights"][name]), name


def test_teacher_epochs_are_without_dreams(chain, tmp_path):
    weights = []
    for n, options in enumerate((("--rollout", 4, "--teacher-epochs", 1), ("--teacher", 0), ("--rollout", 4))):
        root = tmp_path / str(n)
        shutil.copytree(chain[0] / "runner", root / "runner", ignore=shutil.ignore_patterns("lstm*", "frames"))
        assert run("train_lstm.py", "--data", root, "--batch", 8, "--epochs", 1, *options).returncode == 0
        weights.append(torch.load(root / "runner" / "lstm.pt", weights_only=True)["weights"]["head.1.weight"])
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_report_holds_every_figure(chain):
    folder = chain[0] / "runner"
    figures, = json.loads((folder / "report" / "report.json").read_text()).values()
    assert {"kinds", "choices", "stability", "falls", "speed"} == set(figures)
    assert set(figures["kinds"]) == set(figures["falls"]) | {"held"} == {"random", "gait", "human", "held"}
    for kind in figures["kinds"].values():
        assert {"frames", "ceiling", "one_step", "rollout"} == set(kind)
        assert kind["ceiling"]["psnr_db"] > 10 and 0 < kind["ceiling"]["probe_degrees"] < 90
    assert figures["falls"]["random"]["real"]["per_1000_frames"] > 5
    assert set(figures["stability"]) == {"random", "human", "none", "all"}
    table = (folder / "report" / "table.md").read_text()
    assert table in chain[1]["evaluate.py"].stdout and table.count("\n") > 25
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_an_earlier_report_is_a_column_of_a_new_one(chain, tmp_path):
    """Its models are not measured again, not even needed: only those of the same episodes can stand beside others."""
    folder = chain[0] / "runner"
    old = shutil.copytree(folder / "report", tmp_path / "old")
    arguments = ("--data", chain[0], "--out", tmp_path / "new", "--dream-frames", 100)
    model = shutil.copytree(folder / "model", tmp_path / "model")
    assert run("evaluate.py", *arguments, "--model", model, "--compare", old).returncode == 0
    before, after = (json.loads((path / "report.json").read_text()) for path in (old, tmp_path / "new"))
    (mine, _), (theirs, figures) = after.items()
    assert mine == str(model) and before == {theirs: figures | {"speed": before[theirs]["speed"]}}
    assert (tmp_path / "new" / "table.md").read_text().splitlines()[0].endswith(f"| {mine} | {theirs} |")
    figures["falls"]["random"]["falls"] += 1
    (old / "report.json").write_text(json.dumps({theirs: figures}))
    assert "other episodes" in fails("evaluate.py", *arguments, "--compare", old)


def test_probes_read_what_is_there():
    chance = np.random.default_rng(0)
    z = chance.normal(size=(3000, 16))
    angles = z @ chance.normal(size=(16, 3)) / 4 + 0.3 * np.sin(z[:, :3])
    probe = evaluate.Probe(z[:2500], evaluate.sincos(angles[:2500]))
    assert evaluate.degrees_off(probe(z[2500:]), angles[2500:]).mean() < 12
    assert evaluate.degrees_off(evaluate.sincos(angles), angles).max() < 1e-3
    assert evaluate.degrees_off(evaluate.sincos(angles + 2 * np.pi - 0.1), angles) == pytest.approx(np.degrees(0.1))


def test_falls_and_lives_are_counted():
    over = np.array([[0, 0, 1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0]], bool)
    assert evaluate.count_falls(over) == 2 and evaluate.life_lengths(over).tolist() == [4]


def test_the_truth_as_a_dream_has_no_error(chain):
    """Every figure of a perfect model: its dynamics are looked up in what was recorded."""
    folder = chain[0] / "runner"
    model = evaluate.Model(folder / "model")
    arrays = data.load_held_out(folder / "held_out")["choices"]
    z = model.encode(arrays["frames"])
    model.dream = lambda warm, keys, frames: z[:, warm.shape[1]:warm.shape[1] + frames]
    figures, matrix = evaluate.measure_choices(model, arrays, z, None)
    assert figures["step_cosine"] == pytest.approx(1, abs=1e-3) and figures["moments"] > 0
    assert figures["effect_cosine"] == pytest.approx(1, abs=1e-3) == figures["effect_size"]
    assert np.diag(matrix).min() > 0.99 > np.abs(matrix[0, 1:]).mean()


# ------------------------------------------------------------------------------------------------------- bad input

def fails(script, *args, **options):
    """The script must end with exit code 1 and one line on stderr -> that line."""
    result = run(script, *args, **options)
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1 and len(lines) == 1, (result.returncode, result.stderr)
    return lines[0]


@pytest.mark.parametrize(("script", "next_command"), [
    ("train_ae.py", "collect.py"), ("encode.py", "train_ae.py"), ("train_lstm.py", "encode.py"),
    ("export.py", "train_ae.py"), ("evaluate.py", "export.py")])
def test_empty_data_names_the_next_command(tmp_path, script, next_command):
    assert next_command in fails(script, "--data", tmp_path)


def test_checkpoint_of_another_shape(chain, tmp_path):
    folder = tmp_path / "runner"
    shutil.copytree(chain[0] / "runner", folder)
    models.save(folder / "lstm.pt", models.Dynamics(models.DynamicsConfig(z=8)))
    assert "z" in fails("export.py", "--data", tmp_path)
    checkpoint = torch.load(folder / "ae.pt", weights_only=True)
    torch.save({**checkpoint, "config": {**checkpoint["config"], "z": 8}}, folder / "ae.pt")
    assert "ae.pt is not a checkpoint" in fails("encode.py", "--data", tmp_path, "--frames", 64)
    (folder / "ae.pt").write_bytes(b"not a checkpoint")
    assert "ae.pt is not a checkpoint" in fails("train_lstm.py", "--data", tmp_path)


def test_full_disk_keeps_what_is_there(chain, tmp_path):
    folder = tmp_path / "runner"
    shutil.copytree(chain[0] / "runner", folder)
    before = (folder / "lstm_resume.pt").read_bytes()
    (folder / "lstm_resume.pt.part").symlink_to("/dev/full")
    assert "cannot write" in fails(TRAIN_LSTM[0], "--data", tmp_path, *TRAIN_LSTM[1:], "--epochs", 3)
    assert (folder / "lstm_resume.pt").read_bytes() == before
    shutil.rmtree(folder / "latents")
    small = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (10_000, 10_000))
    assert "cannot write" in fails("encode.py", "--data", tmp_path, preexec_fn=small)
    assert not (folder / "latents" / "done.npy").exists()


def test_other_arguments_do_not_resume(chain):
    line = fails(TRAIN_AE[0], "--data", chain[0], *TRAIN_AE[1:], "--epochs", 3, "--dropout", 0)
    assert "cannot resume" in line and "ae_resume.pt" in line


def test_training_begins_with_given_weights(chain, tmp_path):
    folder, begun = tmp_path / "runner", chain[0] / "runner"
    shutil.copytree(begun, folder, ignore=shutil.ignore_patterns("*_resume.pt", "*_log.jsonl"))
    for command, name, kind, figure in ((TRAIN_AE, "ae", models.Autoencoder, "psnr_db"),
                                        (TRAIN_LSTM, "lstm", models.Dynamics, "skill")):
        still = "--data", tmp_path, "--epochs", 1, "--lr", 1e-9, "--muon", 1e-9
        assert run(*command, *still, "--start", begun / f"{name}.pt").returncode == 0
        wanted, got = (models.load(root / f"{name}.pt", kind)[1]["measured"][figure] for root in (begun, folder))
        assert got == pytest.approx(wanted, abs=0.02)
    paddle = tmp_path / "lstm.pt"
    models.save(paddle, models.Dynamics(models.DynamicsConfig(keys=3)))
    (folder / "lstm_resume.pt").unlink()
    assert "keys 3, not 4" in fails(*TRAIN_LSTM, "--data", tmp_path, "--epochs", 1, "--start", paddle)
    assert "--widths 64 32 16" in fails(*TRAIN_AE, "--data", tmp_path, "--epochs", 1, "--widths", 64, 32, 8,
                                        "--start", begun / "ae.pt")


def test_a_decoder_alone_leaves_the_encoder_as_it_is(chain, tmp_path):
    folder, begun = tmp_path / "runner", chain[0] / "runner" / "ae.pt"
    shutil.copytree(begun.parent, folder, ignore=shutil.ignore_patterns("*_resume.pt", "*_log.jsonl", "ae.pt"))
    options = TRAIN_AE[0], "--data", tmp_path, *TRAIN_AE[1:], "--epochs", 1, "--decoder-alone"
    assert "--start" in fails(*options) and not (folder / "ae.pt").exists()
    assert run(*options, "--start", begun).returncode == 0
    before, after = (models.load(path, models.Autoencoder)[1]["weights"] for path in (begun, folder / "ae.pt"))
    same = {name.split(".")[0]: set() for name in before}
    for name, weight in before.items():
        same[name.split(".")[0]].add(torch.equal(weight, after[name]))
    assert same["encoder"] == {True} and same["decoder"] == {False}


def test_too_few_episodes_and_unknown_device(chain, tmp_path):
    frames = tmp_path / "runner" / "frames"
    frames.mkdir(parents=True)
    shutil.copy(data.episode_path(chain[0] / "runner" / "frames", 0), frames)
    assert "too few" in fails(*TRAIN_AE, "--data", tmp_path, "--epochs", 1)
    assert "--device" in fails(*TRAIN_AE, "--data", chain[0], "--epochs", 2, "--device", "abacus")


def test_readme_names_every_script_of_the_pipeline():
    words = (ROOT / "README.md").read_text()
    for script in ("collect.py", "train_ae.py", "encode.py", "train_lstm.py", "export.py", "evaluate.py", "app.py"):
        assert f"python {script}" in words, script
