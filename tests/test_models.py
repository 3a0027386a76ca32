"""The networks, the losses and the optimiser by themselves."""
import resource
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import data
import losses
import models
import train_ae
import train_lstm
from engine import training
from engine.muon import Muon, orthogonalise

ORIGINAL_AE = models.AutoencoderConfig(dropout=0.2, **models.ORIGINAL_AUTOENCODER)
ORIGINAL_LSTM = models.DynamicsConfig(hidden=128, widths=(1024, 2048, 1024), dropout=0.1, over=False)


def parse(script, monkeypatch, *options):
    monkeypatch.setattr("sys.argv", [script.__name__, *options])
    return script.parse()


def test_original_is_the_seeds_autoencoder_and_its_training(monkeypatch):
    args = parse(train_ae, monkeypatch, "--original")
    assert (args.epochs, args.batch, args.clip_len, args.lr, args.muon) == (160, 256, 256, 1e-3, 0)
    assert (args.dropout, args.noise, args.edge, args.interpretability) == (0.2, 0.05, 0.10, 10)
    assert (train_ae.RESTART_EPOCHS, args.epochs // 4) == (40, 40)  # pixel loss alone for a quarter
    model, init, history = train_ae.make_model(args, "cpu")
    assert (init, history) == (None, [])
    assert models.count_parameters(model.encoder) == 107_040
    assert models.count_parameters(model.decoder) == 1_989_875
    sizes = [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0], c.padding[0])
             for c in model.modules() if isinstance(c, (nn.Conv2d, nn.ConvTranspose2d))]
    assert sizes == [(3, 8, 5, 2, 0), (8, 16, 5, 2, 0), (16, 32, 5, 2, 0), (32, 64, 5, 2, 0),
                     (576, 64, 7, 2, 0), (64, 32, 7, 2, 0), (32, 16, 9, 2, 0), (16, 3, 8, 2, 0)]
    assert [(x.in_features, x.out_features) for x in model.modules() if isinstance(x, nn.Linear)] == [
        (576, 64), (64, 16), (16, 64), (64, 576)]
    assert [x.p for x in model.modules() if isinstance(x, nn.Dropout)] == [0.2] * 3


def test_original_is_the_seeds_dynamics_and_its_training(monkeypatch):
    args = parse(train_lstm, monkeypatch, "--original")
    assert (args.epochs, args.batch, args.lr, args.weight_decay, args.muon) == (20, 32, 1e-3, 1e-5, 0)
    assert (args.noise, args.dropout, args.rollout_epochs, train_lstm.RESTART_EPOCHS) == (0.10, 0.1, 0, 20)
    zeros = {name: np.zeros((3, 8, n), np.float32) for name, n in (("z", 16), ("keys", 4))}
    latents = data.Latents(np.arange(3), **zeros, restart=np.zeros((3, 8)), over=np.zeros((3, 8)), meta={})
    model, _ = train_lstm.make_model(args, latents, np.arange(3), "cpu")
    assert model.config == ORIGINAL_LSTM
    assert models.count_parameters(model) == 4_686_864
    assert models.count_parameters(models.Autoencoder(ORIGINAL_AE), model) == 6_783_779
    assert (model.lstm.input_size, model.lstm.num_layers, model.lstm.dropout) == (20, 3, 0.1)


def test_an_option_beside_original_wins_and_defaults_are_within_the_originals_size(monkeypatch):
    assert parse(train_ae, monkeypatch, "--original", "--epochs", "3").epochs == 3
    args = parse(train_lstm, monkeypatch)
    dynamics = models.Dynamics(models.DynamicsConfig(hidden=args.hidden, widths=tuple(args.widths)))
    assert models.count_parameters(models.Autoencoder(), dynamics) <= 6_783_779


@pytest.mark.parametrize(("script", "options", "words"), [
    (train_ae, ["--clip-len", "48"], "not a multiple of --clip-len 48"),
    (train_ae, ["--interpretability", "1"], "--clip-len 2"),
    (train_ae, ["--decoder-alone"], "--init-from"),
    (train_lstm, ["--rollout", "1"], "--rollout-epochs 0")])
def test_options_that_make_no_sense_are_one_line(monkeypatch, script, options, words):
    with pytest.raises(SystemExit) as stop:
        parse(script, monkeypatch, *options)
    assert words in str(stop.value) and "\n" not in str(stop.value)


def test_the_default_decoder_paints_whole_frames():
    painted = models.Decoder(models.AutoencoderConfig())(torch.randn(3, 16))
    assert painted.shape == (3, 3, 96, 96) and painted.min() > 0 and painted.max() < 1


def test_muon_makes_steps_whose_singular_values_are_about_one():
    rng = torch.Generator().manual_seed(0)
    for shape in ((20, 50), (50, 20)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=rng)))
        assert values.min() > 0.5 and values.max() < 1.4


class Configured(nn.Module):
    """A network with a config, as checkpoints need one."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.config = layer, models.DynamicsConfig()


def test_a_resumed_training_has_its_own_length_and_rates(tmp_path):
    """After 2 of 4 epochs, resumed with 8 and half the rate: that of a quarter of the way."""
    layer, rng, resume = nn.Linear(2, 2), np.random.default_rng(0), tmp_path / "lstm_resume.pt"

    def start(epochs, lr, decay):
        optimizer = torch.optim.AdamW(layer.parameters(), lr, weight_decay=decay)
        schedule = training.make_schedule(optimizer, SimpleNamespace(epochs=epochs, original=False), 40)
        return Configured(layer), optimizer, schedule, rng

    model, optimizer, schedule, _ = start(4, 1.0, 0.3)
    schedule.step(2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5)
    training.save_resume(resume, model, optimizer, rng, 2, 0.0, 0.0)
    again = start(8, 0.5, 0.1)
    assert training.load_resume(resume, *again) is None  # without the checkpoint beside it
    (tmp_path / "lstm.pt").touch()
    assert training.load_resume(resume, *again) == (2, 0.0, 0.0)
    group, = again[1].param_groups
    assert group["lr"] == pytest.approx(0.5 * (1 + 2 ** -0.5) / 2) and group["weight_decay"] == 0.1
    assert training.load_resume(resume, *again, encoder="another") is None  # it learned from other z


@pytest.mark.parametrize("size", [1_000, 50_000])
def test_a_full_disk_is_an_os_error(tmp_path, size):
    """Also one that gets full in the middle of a checkpoint, as torch has its own error for that."""
    model = models.Dynamics(models.DynamicsConfig(hidden=32, widths=(32,)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(OSError):
            training.save(tmp_path / "a.pt", model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_muon_steps_matrices_and_leaves_the_rest_to_adam():
    layer, reference = nn.Linear(8, 5), nn.Linear(8, 5)
    reference.load_state_dict(layer.state_dict())
    before, x = layer.weight.detach().clone(), torch.randn(30, 8)
    for module, optimizer in ((layer, Muon(layer, 1e-2, 0.1, weight_decay=0)),
                              (reference, torch.optim.AdamW(reference.parameters(), 1e-2, weight_decay=0))):
        module(x).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(layer.bias, reference.bias)
    values = torch.linalg.svdvals(before - layer.weight) / 0.1
    assert values.min() > 0.5 and values.max() < 1.4


def test_muon_weight_decay_reaches_matrices_alone_and_is_decoupled():
    steps = []
    for decay in (0.0, 0.5):
        torch.manual_seed(0)
        layer = nn.Linear(8, 5)
        before = layer.weight.detach().clone(), layer.bias.detach().clone()
        layer(torch.ones(3, 8)).square().sum().backward()
        Muon(layer, 1e-2, 0.1, decay).step()
        steps.append((layer.weight.detach() - before[0], layer.bias.detach() - before[1]))
    torch.testing.assert_close(steps[1][0] - steps[0][0], -0.1 * 0.5 * before[0])
    torch.testing.assert_close(steps[1][1], steps[0][1])


def episodes(count, frames):
    """z, keys, and over with a tenth of ones."""
    return (torch.randn(count, frames, 16), torch.randint(0, 2, (count, frames, 4)).float(),
            (torch.rand(count, frames) < 0.1).float())


def test_a_step_is_a_frame_the_keys_that_follow_it_and_the_end_after_them():
    z, keys = np.arange(4.0)[None, :, None], np.array([[[1], [0], [0], [1]]])
    steps = models.steps_of(z, keys, np.array([[True, False, True, False]]))
    assert [x.flatten().tolist() for x in steps] == [[0, 1, 2], [1, 0, 0], [0, 1, 0]]


def test_statistics_are_of_the_steps_of_training_and_undone_in_the_next_z():
    z = np.tile(np.float32([0, 1, 4, 5, 99])[:, None], (2, 1, 16)) * np.float32(np.arange(1, 17))
    z[1] *= 100  # held out
    rest = np.zeros((2, 5, 4), np.uint8), *np.zeros((2, 2, 5), bool)
    args = SimpleNamespace(hidden=8, dropout=0, widths=[4], over_weight=1, init_from=None)
    latents = data.Latents(np.array([18, 19]), z, *rest, {})
    train, held_out = latents.split()
    assert (train.tolist(), held_out.tolist()) == ([0], [1])
    model, _ = train_lstm.make_model(args, latents, train, "cpu")
    scale = torch.arange(1.0, 17)  # the last frame begins no step
    torch.testing.assert_close(model.dz_mean, scale * 5 / 3)
    torch.testing.assert_close(model.dz_std, scale * torch.tensor([1.0, 3, 1]).std())
    torch.nn.init.zeros_(model.head[-1].weight)
    torch.nn.init.constant_(model.head[-1].bias, 2)
    z_next = model.next_z(torch.ones(1, 16), torch.zeros(1, 8))[0]
    torch.testing.assert_close(z_next, 1 + model.dz_mean + 2 * model.dz_std)


def test_frames_are_upright_and_in_the_order_of_their_colours():
    frames = torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8)
    assert models.to_float(frames)[1, 2, 30, 60] == frames[1, 30, 60, 2] / 255
    decoder, z = models.Autoencoder().decoder, torch.randn(2, 16)
    painted = decoder(z)[1, 2, 30, 60] * 255
    assert abs(decoder.paint(z)[1, 30, 60, 2] - painted) <= 0.5


def test_every_twentieth_episode_is_held_out():
    assert np.flatnonzero(data.is_held_out(np.arange(60))).tolist() == [19, 39, 59]


def test_frame_by_frame_equals_the_whole_sequence():
    dynamics = models.Dynamics().eval()
    dynamics.dz_std += torch.rand(16)
    z, keys, over = episodes(2, 12)
    whole, _ = dynamics(z, keys, over)
    state, pieces = None, []
    for t in range(12):
        piece, _, state = dynamics.step(z[:, t], keys[:, t], over[:, t], state)
        pieces.append(piece)
    torch.testing.assert_close(torch.stack(pieces, 1), whole)


@pytest.mark.parametrize("config", [models.DynamicsConfig(), ORIGINAL_LSTM])
def test_rollout_feeds_on_its_own_output_and_on_the_likelier_end(config):
    dynamics, z, keys = models.Dynamics(config).eval(), torch.randn(2, 16), torch.ones(2, 30, 4)
    dreamed, logit, _ = dynamics.rollout(z, keys)
    over = (logit > 0).float()
    again, _ = dynamics(torch.cat([z[:, None], dreamed[:, :-1]], 1), keys, over)
    torch.testing.assert_close(dreamed, again)
    given, _, _ = dynamics.rollout(z, keys, 1 - over)
    assert torch.equal(given, dreamed) != config.over  # it is told, if it listens


def test_rollout_loss_equals_rollouts_branched_by_hand():
    model = models.Dynamics().eval()
    z, keys, over = episodes(2, 31)
    scale = torch.rand(16) + 0.5
    x, _ = model.lstm(model.inputs(z, keys, over)[:, :-1])
    one_step = losses.one_step_loss(model.next_z(z[:, :-1], x), z[:, 1:], z[:, :-1], scale)
    ends = losses.over_loss(model.over_logit(z[:, 1:-1], keys[:, 1:-1], x[:, :-1]), over[:, 1:-1])
    rollouts, logits = [], []
    for t in (10, 20):
        first, state = model(z[:, :t], keys[:, :t], over[:, :t])
        rest, logit, _ = model.rollout(first[:, -1], keys[:, t:t + 9], over[:, t:t + 9], state)
        rollouts.append(torch.cat([first[:, -1:], rest], dim=1))
        logits.append(losses.over_loss(logit, over[:, t:t + 9]) / 2)
    truth = torch.cat([z[:, t:t + 10] for t in (10, 20)])
    last = torch.cat([z[:, t - 1:t] for t in (10, 20)])
    rollout = losses.rollout_loss(torch.cat(rollouts), truth, last, scale)

    def loss(rollout, teacher_weight, over_weight):
        args = SimpleNamespace(noise=0, teacher_weight=teacher_weight, over_weight=over_weight)
        return train_lstm.train_step(model, z, keys, over, scale, args, rollout)

    torch.testing.assert_close(loss(0, 0, 0), one_step)
    torch.testing.assert_close(loss(0, 0, 2), one_step + 2 * ends)
    torch.testing.assert_close(loss(10, 0.5, 0), 0.5 * one_step + rollout)
    torch.testing.assert_close(loss(10, 0, 3), rollout + 3 * (ends + sum(logits)))


def test_a_rollout_weighs_every_frame_the_same():
    z, truth = torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0], [10, 0]]])
    scale = torch.ones(2)
    assert losses.rollout_loss(truth, truth, z, scale) == 0
    assert losses.rollout_loss(torch.zeros_like(truth), truth, z, scale) == 1
    assert losses.rollout_loss(truth * torch.tensor([[[1.0], [0]]]), truth, z, scale) == 0.5


def test_noise_and_dropout_act_in_training_only():
    model, frames = models.Autoencoder(ORIGINAL_AE), torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8)
    assert not torch.equal(model(frames)[0], model(frames)[0])  # dropout
    assert not torch.equal(model(frames)[1], model(frames)[1])
    model.eval()
    assert torch.equal(model(frames)[1], model(frames)[1])
    noisy = models.Autoencoder(models.AutoencoderConfig(noise=0.05))
    assert torch.equal(noisy(frames)[0], noisy(frames)[0])
    assert not torch.equal(noisy(frames)[1], noisy(frames)[1])


def test_stored_z_has_std_1_or_is_that_of_init_from_and_paints_the_same():
    model = models.Autoencoder().eval()
    init = deepcopy(model)
    init.transform_z(torch.randn(16, 16) + 8 * torch.eye(16), torch.randn(16))
    frames = torch.randint(0, 256, (99, 96, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        reconstruction = model(frames)[1]
        init_z = init(frames)[0]
        mapped, standard = train_ae.standardise_z(model, frames, init), train_ae.standardise_z(model, frames)
        for stored in (mapped, standard):
            torch.testing.assert_close(stored(frames)[1], reconstruction, atol=1e-4, rtol=0)
        torch.testing.assert_close(mapped(frames)[0], init_z, atol=1e-3, rtol=1e-3)
        stored_z = standard(frames)[0]
        torch.testing.assert_close(stored_z.mean(0), torch.zeros(16), atol=1e-3, rtol=0)
        torch.testing.assert_close(stored_z.std(0), torch.ones(16), atol=1e-3, rtol=0)


def test_losses_are_zero_where_nothing_is_wrong():
    frames = torch.rand(4, 3, 96, 96)
    assert losses.pixel_loss(frames, frames) == 0
    assert losses.edge_loss(frames, frames) == 0
    assert losses.pixel_loss(torch.ones(1, 3, 96, 96), torch.zeros(1, 3, 96, 96)) == 9216
    assert losses.edge_loss(frames, torch.zeros_like(frames)) > 1
    z = torch.randn(1, 5, 16)
    assert losses.one_step_loss(z + 1, z + 1, z, torch.ones(16)) == 0
    torch.testing.assert_close(losses.one_step_loss(z, z + 1, z, torch.ones(16)), torch.tensor(1.0))


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
