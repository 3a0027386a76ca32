"""What evaluate.py measures: each figure against numbers made by hand, and the report of a toy model."""
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import ROOT, run
from PIL import Image
from scipy.stats import norm

import evaluate
import metrics
import plots
from capture.policies import FORK, combinations
from data import CONTEXT
from dream import Model


class Recorded(Model):
    """A perfect model: its rollouts are looked up in recorded z (N, T, Z). Frames are z[0] as grey."""
    frame_s = 0.1
    meta = {"keys": list("qwop"), "ticks_per_frame": 3}

    def __init__(self, z):
        self.z = z

    def context(self, z, keys):
        return [z[:, -1], None, None]

    def play(self, state, keys, seed=None):
        """From the frame in whose state it begins: where all of z equals it."""
        first = [np.flatnonzero((rows == now).all(-1))[0] + 1 for rows, now in zip(self.z, state[0])]
        return np.stack([rows[t:t + keys.shape[1]] for rows, t in zip(self.z, first)]), None, None

    def decode(self, z):
        return np.tile(np.clip(z[:, :1, None, None], 0, 255).astype(np.uint8), (1, 96, 96, 3))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# ----------------------------------------------------------------------------------------------------- frames

def test_psnr_by_hand():
    truth = np.full((2, 4, 4, 3), 100, np.uint8)
    assert metrics.psnr(truth + np.uint8(10), truth) == pytest.approx(10 * np.log10(255 ** 2 / 100))
    assert metrics.psnr(truth - np.uint8(100), truth) == pytest.approx(10 * np.log10(255 ** 2 / 100 ** 2))
    assert metrics.psnr(truth, truth) > 100


def naive_ssim(a, b):
    """Of two frames (H, W, 3): every 7x7 window of the grey frames in turn."""
    a, b = a.astype(float).mean(-1), b.astype(float).mean(-1)
    c1, c2, values = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    for y in range(a.shape[0] - 6):
        for x in range(a.shape[1] - 6):
            p, q = a[y:y + 7, x:x + 7], b[y:y + 7, x:x + 7]
            both = ((p - p.mean()) * (q - q.mean())).mean()
            values.append((2 * p.mean() * q.mean() + c1) * (2 * both + c2)
                          / ((p.mean() ** 2 + q.mean() ** 2 + c1) * (p.var() + q.var() + c2)))
    return np.mean(values)


def test_ssim_equals_its_definition(rng):
    truth = rng.integers(0, 256, (2, 20, 24, 3), np.uint8)
    frames = np.clip(truth + rng.normal(0, 40, truth.shape), 0, 255).astype(np.uint8)
    expected = np.mean([naive_ssim(a, b) for a, b in zip(frames, truth)])
    assert metrics.ssim(frames, truth) == pytest.approx(expected, abs=1e-9) and 0.5 < expected < 0.95
    assert metrics.ssim(truth, truth) == pytest.approx(1)


# ------------------------------------------------------------------------------------------- probes and falls

def test_a_probe_reads_angles_of_other_episodes(rng):
    z = rng.normal(size=(3000, 16))
    angles = z @ rng.normal(size=(16, 3)) / 4 + 0.3 * np.sin(z[:, :3])
    probe = metrics.Probe(z[:2500], metrics.sincos(angles[:2500]))
    assert metrics.degrees_off(probe(z[2500:]), angles[2500:]).mean() < 12
    assert metrics.degrees_off(metrics.sincos(angles), angles).max() < 1e-3
    shifted = metrics.sincos(angles + 2 * np.pi - 0.1)
    assert metrics.degrees_off(shifted, angles) == pytest.approx(np.degrees(0.1))


def test_an_episode_is_measured_by_a_probe_that_has_not_seen_it(rng):
    """The poses are noise: only a probe that was fitted on the same episode could read them."""
    z = {kind: rng.normal(size=(4, 40, 16)) for kind in ("random", "gait")}
    kinds = {kind: {"frames": np.zeros((4, 40)), "pose": rng.uniform(-3, 3, (4, 40, 2, 3))} for kind in z}
    probes = metrics.fit_probes(kinds, z)
    for kind, arrays in kinds.items():
        for episode, rows in enumerate(z[kind]):
            own, other = (metrics.degrees_off(probe(rows), arrays["pose"][episode, ..., 2]).mean()
                          for probe in (probes(episode), probes(episode + 1)))
            assert own > 70 > 40 > other
    del kinds["gait"]["pose"]
    assert metrics.fit_probes(kinds, z) is None


def test_falls_and_lives_are_counted():
    over = np.array([[0, 0, 1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0]], bool)
    assert metrics.count_falls(over) == 2 and metrics.life_lengths(over).tolist() == [4]
    assert metrics.count_falls(np.array([[1, 1, 0, 1]], bool)) == 1  # the first frame's fall is not in it


class Told(Recorded):
    """A model that tells recorded ends of lives, bool (N, T), or draws them with a probability (N, T)."""
    noise_size = 1

    def __init__(self, z, over):
        super().__init__(z)
        self.over, self.t = over, 0

    def zero_state(self, n):
        return [np.zeros((1, n, 1))] * 2

    def play(self, state, keys, seed):
        return None, self.over[:, -keys.shape[1]:], None

    def step(self, state, keys, noise):
        """A step with noise of 30 or -30 is the one that is taken, others only ask."""
        t = self.t
        self.t += abs(noise[0, 0]) == 30
        return state, norm.cdf(noise[:, 0]) < self.over[:, t]


def test_dreamed_falls_are_compared_with_real_ones():
    """Two episodes: 2 and 1 falls in reality, 1 and 1 in the dream."""
    real, dreamed = np.zeros((2, 2, CONTEXT + 20), bool)
    real[0, [CONTEXT + 2, CONTEXT + 12]] = real[1, CONTEXT + 9] = True
    dreamed[0, CONTEXT + 5] = dreamed[1, CONTEXT + 9] = True
    z = np.zeros((2, CONTEXT + 20, 16), np.float32)
    kinds = {"random": {"over": real, "keys": np.zeros((2, CONTEXT + 20, 4))}}
    figures = metrics.measure_falls(Told(z, dreamed), kinds, {"random": z})[0]["random"]
    assert figures["falls"] == 3 and figures["real"] == {"per_1000_frames": 3000 / 38, "mean_life_frames": 10}
    assert figures["dreamed"] == {"per_1000_frames": 2000 / 38, "mean_life_frames": None}
    assert figures["difference"] == pytest.approx(-100 / 3) and figures["distance"] is None
    assert figures["error"] == pytest.approx(100 / 3 * np.std([-1, 0]) * 2 ** 0.5)

    dreamed[0, CONTEXT + 16] = True
    figures, lengths = metrics.measure_falls(Told(z, dreamed), kinds, {"random": z})
    assert [x.tolist() for x in lengths["random"]] == [[10], [11]] and figures["random"]["distance"] == 1
    model = Recorded(z)
    model.noise_size = 0
    assert set(metrics.measure_falls(model, kinds, {"random": z})[0]["random"]) == {"falls", "real"}


@pytest.mark.parametrize(("probability", "gap"), [(0.3, 0), (0.8, 0.5)])
def test_the_probability_of_an_end_is_held_against_their_frequency(probability, gap):
    """3 of 10 steps end a life."""
    over = np.zeros((1, 11), bool)
    over[0, [2, 5, 9]] = True
    arrays = {"over": over, "keys": np.zeros((1, 11, 4))}
    figures = metrics.measure_over(Told(None, np.full((1, 10), probability)), arrays, np.zeros((1, 11, 16)))
    assert figures == {"expected": pytest.approx(1000 * probability), "real": 300, "gap": pytest.approx(gap)}


def test_a_frame_that_no_real_one_resembles_is_off_the_manifold(rng):
    z = np.zeros((4, 50, 16), np.float32)
    z[..., 0] = rng.integers(50, 150, z.shape[:2])
    manifold = metrics.Manifold(Recorded(z), {"random": z[:2], "human": z[2:]})
    other = np.zeros((2, 3, 16), np.float32)
    other[..., 0] = [[60, 99, 200], [140, 20, 250]]
    assert manifold.is_off(other).tolist() == [[False, False, True], [False, True, True]]


def test_the_classifier_tells_dreams_that_differ(rng):
    z = rng.normal(size=(8, 60, 16)).astype(np.float32)
    kinds, model = {"random": {"keys": np.zeros((8, 60, 4))}}, Recorded(z)
    same, other = (rng.normal(mean, 1, (8, 60 - CONTEXT, 16)) for mean in (0, 1))
    for dream, low, high in ((same, 0.35, 0.65), (other, 0.95, 1)):
        model.rollout_after = lambda z, keys, seed, dream=dream: dream
        assert low <= metrics.measure_classifier(model, kinds, {"random": z}) <= high
    assert metrics.measure_classifier(model, kinds, {"random": z[:, :20]}) is None


def test_a_rollout_begins_at_the_last_true_frame_with_the_keys_that_follow_it(rng):
    model = Model(ROOT / "docs/model/runner")
    z, keys = rng.normal(size=(1, 4, 16)).astype(np.float32), rng.integers(0, 2, (1, 7, 4))
    state, dreamed = [None, *model.zero_state(1)], []
    for t in range(6):
        if t < 4:
            state[0] = z[:, t]
        state = list(model.step(state, keys[:, t])[0])
        dreamed.append(state[0])
    np.testing.assert_allclose(model.rollout_after(z, keys)[0], np.concatenate(dreamed[3:]), atol=1e-6)


# --------------------------------------------------------------------------------------------------- dynamics

@pytest.mark.parametrize(("share", "skill"), [(1, 1), (0.5, 0.75), (0, 0), (-1, -3)])
def test_one_step_skill_by_hand(rng, share, skill):
    """A model that makes a share of every step: its error is (1 - share) of persistence's."""
    z = rng.normal(size=(2, 30, 16))
    model = SimpleNamespace(teach=lambda z, keys: (z + share * (np.roll(z, -1, 1) - z), None))
    figures = metrics.measure_one_step(model, {"keys": None, "restart": np.zeros((2, 30), bool)}, z)
    assert figures == {"skill": pytest.approx(skill), "skill_alive": pytest.approx(skill)}


def test_skill_within_a_life_leaves_restarts_out(rng):
    z, restart = rng.normal(size=(2, 30, 16)), np.zeros((2, 30), bool)
    restart[:, 15] = True

    def teach(z, keys):
        z_next = np.roll(z, -1, 1)
        z_next[:, 14] = 9  # frame 15 is the first of a life: nobody can know it
        return z_next, None

    model = SimpleNamespace(teach=teach)
    figures = metrics.measure_one_step(model, {"keys": None, "restart": restart}, z)
    assert figures["skill"] < 0.5 and figures["skill_alive"] == pytest.approx(1)


def test_the_truth_as_a_dream_has_no_error(rng):
    """Every figure of control of a perfect model."""
    count = len(combinations(4))
    z = rng.normal(size=(3 * count, FORK + 10, 16))
    arrays = {"keys": np.zeros((len(z), FORK + 10, 4)), "restart": np.zeros(z.shape[:2], bool)}
    arrays["restart"][0, 5] = True  # the first of three moments has a restart in it: it does not count
    figures, matrix = metrics.measure_choices(Recorded(z), arrays, z, None)
    assert figures["moments"] == 2
    for name in ("step_cosine", "effect_cosine", "effect_size"):
        assert figures[name] == pytest.approx(1), name
    assert np.diag(matrix) == pytest.approx(np.ones(count)) and np.abs(matrix[0, 1:]).mean() < 0.3


def test_rollouts_of_a_perfect_model_reach_the_ceiling(rng):
    """Painted frames are 2 levels off in half of the columns; other keys change nothing."""
    z = rng.normal(size=(1, CONTEXT + 64, 16)).astype(np.float32)
    z[..., 0] = np.linspace(50, 200, z.shape[1])
    model = Recorded(z)
    frames = model.decode(z[0])[None].copy()
    frames[..., ::2, :] += np.uint8(2)
    arrays = {"frames": frames, "keys": np.zeros((1, z.shape[1], 4), np.uint8)}
    median = np.zeros((96, 96, 3))
    figures, curves, *_ = metrics.measure_rollouts(model, arrays, z, None, median, rng)
    np.testing.assert_allclose(curves["whole, dream"], curves["whole, ceiling"])
    truth = frames[0, CONTEXT:CONTEXT + 50].astype(float)
    error = np.square(frames[0, CONTEXT - 1] - truth).mean((1, 2, 3)).cumsum() / (2.0 * np.arange(1, 51))
    for seconds, frame in (("0.1", 1), ("0.5", 5), ("1.0", 10), ("2.5", 25), ("5.0", 50)):
        assert figures["gain_db_whole"][seconds] == pytest.approx(10 * np.log10(error[frame - 1]), abs=1e-3)
    assert figures["valid_horizon_s_whole"] == 5 and figures["control_db_whole"] == {"0.5": 0, "1.0": 0}
    assert "pose_over_persistence" not in figures


# ------------------------------------------------------------------------------------------------- the report

FIGURES = {
    "kinds": {kind: {
        "frames": 100, "ceiling": {"psnr_db": 20.0 + n, "psnr_moving_db": 15.0, "ssim": 0.9},
        "one_step": {"skill": 0.5, "skill_alive": 0.4},
        "rollout": {"gain_db_whole": {"0.1": 1.0, "0.5": 2.0}, "gain_db_moving": {"0.1": 1.0, "0.5": 2.0},
                    "valid_horizon_s_whole": 0.5, "control_db_whole": {"0.5": 1.0}}}
        for n, kind in enumerate(("random", "human"))},
    "stability": {kind: {"frozen": 0.5, "real_frozen": None, "exploded": 0.25, "off_manifold": 0.1,
                         "halfway": 0.1, "spread": 1.0, "real_spread": None}
                  for kind in ("random", "human", "none", "all")},
    "falls": {kind: {"real": {"per_1000_frames": 20.0, "mean_life_frames": 40.0},
                     "dreamed": {"per_1000_frames": 0.0, "mean_life_frames": None}, "falls": 3}
              for kind in ("random", "human")},
    "classifier": 0.75,
    "speed": {"p50_ms": 3.0, "p95_ms": None}}


def test_table_has_a_row_for_what_is_measured():
    """No probe, no choices, dreams of half a second alone."""
    lines = evaluate.table({"a": FIGURES, "b": FIGURES}).splitlines()
    assert lines[:2] == ["| random / human | a | b |", "|---|---|---|"]
    assert {line.count("|") for line in lines} == {4}
    rows = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in lines[2:]}
    assert rows["ceiling: PSNR, dB"] == "20.0 / 21.0"
    assert rows["gain over persistence up to 0.5 s, dB"] == "2.0 / 2.0"
    assert rows["long dreams (random / human / none / all): exploded, %"] == "25.0 / 25.0 / 25.0 / 25.0"
    assert rows["the same of real play under such keys"] == "- / - / - / -"
    assert rows["frames of a life, dreamed"] == "- / -"
    assert rows["could it be real? Accuracy of a classifier, clips of 16 frames, %"] == "75"
    assert rows["milliseconds a frame, p50 and p95"] == "3.0 / -"
    assert not [title for title in rows if "1.0 s" in title or "pose" in title or "cosine" in title]


def test_table_refuses_a_report_that_lacks_what_all_have():
    """A defect of ours is not a missing row."""
    with pytest.raises(KeyError, match="stability"):
        evaluate.table({"a": {name: part for name, part in FIGURES.items() if name != "stability"}})
    broken = json.loads(json.dumps(FIGURES))
    del broken["kinds"]["human"]["one_step"]["skill"]
    with pytest.raises(KeyError, match="skill"):
        evaluate.table({"a": broken})


@pytest.fixture(scope="module")
def report(toy_data, toy_model, tmp_path_factory):
    """The report of the toy model on its 26 held-out frames of each of 4 episodes -> folder."""
    out = tmp_path_factory.mktemp("report")
    result = run("evaluate.py", "--data", toy_data, "--out", out, "--dream-frames", 8)
    assert result.returncode == 0, result.stderr
    assert (out / "table.md").read_text() in result.stdout
    return out


def test_report_holds_every_figure(report, toy_model):
    (name, figures), = json.loads((report / "report.json").read_text()).items()
    assert name == str(toy_model) and set(figures) == {
        "kinds", "stability", "falls", "classifier", "speed"}
    assert set(figures["stability"]) == {"random", "human", "none", "all"}
    assert set(figures["falls"]) == {"gait"}
    kind = figures["kinds"]["gait"]
    assert set(kind) == {"frames", "ceiling", "one_step", "rollout", "over"} and kind["frames"] == 4 * 26
    assert 0 < kind["ceiling"]["psnr_db"] < 20
    assert set(kind["rollout"]["gain_db_whole"]) == {"0.1", "0.5", "1.0"}
    assert {path.name for path in report.iterdir()} == {
        "report.json", "table.md", "rollout.png", "survival.png", "lives.png", "filmstrip.png", "clip.gif"}


@pytest.mark.slow
def test_an_earlier_report_is_a_column_of_a_new_one(report, toy_data, toy_model, tmp_path):
    """Its models are not measured again, they need not even exist."""
    before = json.loads((report / "report.json").read_text())
    model = shutil.copytree(toy_model, tmp_path / "model")
    result = run("evaluate.py", "--data", toy_data, "--out", tmp_path / "new", "--dream-frames", 8,
                 "--model", model, "--compare", report)
    assert result.returncode == 0, result.stderr
    (mine, _), (other, figures) = json.loads((tmp_path / "new" / "report.json").read_text()).items()
    assert mine == str(model) and before == {other: figures | {"speed": before[other]["speed"]}}
    assert (tmp_path / "new" / "table.md").read_text().splitlines()[0].endswith(f"| {mine} | {other} |")


def two_falls(kind):
    """An earlier report, and episodes of a kind with two falls after the context."""
    over = np.zeros((1, CONTEXT + 10), bool)
    over[0, [CONTEXT + 2, CONTEXT + 6]] = True
    return {"a": FIGURES | {"falls": {kind: {"falls": 2}}}}, {kind: {"over": over}}


@pytest.mark.parametrize(("change", "words"), [
    ({"falls": {"gait": {"falls": 3}}}, "a was measured on other episodes"),
    ({"falls": {"human": {"falls": 2}}}, "a was measured on other episodes"),
    ({"falls": {}}, "a was measured on other episodes"), (None, "not a report of evaluate.py"),
    ({}, None)])
def test_a_report_of_other_episodes_is_refused(tmp_path, change, words):
    reports, kinds = two_falls("gait")
    reports["a"] = change if change is None else reports["a"] | change
    (tmp_path / "report.json").write_text(json.dumps(reports))
    if words:
        with pytest.raises(SystemExit, match=words):
            evaluate.read_report(tmp_path, kinds)
    else:
        speed = {"p50_ms": None, "p95_ms": None}  # it may be that of another machine
        assert evaluate.read_report(tmp_path, kinds) == {"a": reports["a"] | {"speed": speed}}


@pytest.mark.parametrize("change", [{"keys": list("abcd")}, {"frame_ms": 33.3}])
def test_a_model_of_another_game_is_refused(toy_data, toy_model, tmp_path, change, monkeypatch):
    model = shutil.copytree(toy_model, tmp_path / "model")
    meta = json.loads((model / "meta.json").read_text())
    (model / "meta.json").write_text(json.dumps(meta | change))
    monkeypatch.setattr("sys.argv", ["evaluate.py", "--data", str(toy_data), "--out", str(tmp_path / "new"),
                                     "--compare", str(model)])
    with pytest.raises(SystemExit, match="other keys or another pace"):
        evaluate.main()
    assert not (tmp_path / "new").exists()


def test_a_log_holds_each_epoch_once(tmp_path):
    """After a run that was killed between log and checkpoint, after a half-written line, and of a new run."""
    path = tmp_path / "log.jsonl"
    for epoch in (1, 2, 3, 3):
        plots.log(path, {"epoch": epoch, "train": 1.0})
    assert [entry["epoch"] for entry in plots.read_log(path)] == [1, 2, 3]
    path.write_text(path.read_text() + '{"epoch": 4, "tra\n[]\n{}\n')
    plots.log(path, {"epoch": 4, "train": 0.5})
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]
    plots.log(path, {"epoch": 1, "train": 2.0})
    assert path.read_text() == '{"epoch": 1, "train": 2.0}\n'


@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_curves_of_any_number_of_epochs(tmp_path, epochs):
    (tmp_path / "log.jsonl").touch()
    for epoch in range(epochs):
        plots.log(tmp_path / "log.jsonl", {"epoch": epoch + 1, "train": 0.5 / (epoch + 1)})
    plots.draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.png", ("train", "held_out"))
    assert Image.open(tmp_path / "curves.png").size == (880, 495)


@pytest.mark.parametrize(("shape", "size"), [((640, 400), (480, 150)), ((300, 600), (480, 480))])
def test_a_clip_has_the_proportions_of_the_canvas(tmp_path, rng, shape, size):
    frames = rng.integers(0, 256, (3, 96, 2 * 96, 3), np.uint8)
    plots.draw_clip(tmp_path / "clip.gif", frames, 100, shape)
    with Image.open(tmp_path / "clip.gif") as clip:
        assert (clip.size, clip.n_frames, clip.info["duration"]) == (size, 3, 100)
