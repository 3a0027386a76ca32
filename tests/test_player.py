"""The player: what it chooses, that it learns in a dream, and that it plays the real game in closed loop."""
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import ROOT, collect, episodes, refusal, run

import data
import metrics
import train_player
from capture.player import LivePlayer, Player, load
from collect import main as collect_main
from dream import Model

RUNNER = ROOT / "docs/model/runner"


class Treadmill:
    """A dream in which the first key runs a metre a frame, and the last one ends the life."""
    features, noise_size = 16, 0
    starts = [[np.zeros((1, 16), np.float32), *2 * [np.zeros((1, 1, 2), np.float32)]]]

    def step(self, state, keys, noise):
        self.keys = keys
        return [state[0] + keys[:, :1], *state[1:]], keys[:, 3] > 0

    def readout(self, name, state):
        return self.keys[:, 0].astype(float)


def numbers(**weights):
    """The numbers of a player that weighs 1 (bias), sine, cosine, z[0] by key: numbers(q=(1, 0, 0, 0))"""
    rows = np.zeros((4, 35), np.float32)
    for key, row in weights.items():
        rows["qwop".index(key), :len(row)] = row
    return np.concatenate([[0.0], rows.ravel()])


def test_it_chooses_by_clock_z_and_step():
    one = numbers(q=(1,), w=(0, 1), o=(0, 0, 0, 1))
    one[1 + 3 * 35 + 3 + 16] = 1  # p: the step of z[0]
    player = Player([one], np.full(16, 0.5))
    z, rest = np.zeros((1, 16)), np.zeros((1, 16))
    assert [player.choose(z, rest, frame)[0].tolist() for frame in (1, 5)] == [[1, 1, 0, 0], [1, 0, 0, 0]]
    z[0, 0] = 0.1
    assert player.choose(z, rest, 1)[0].tolist() == [1, 1, 1, 0]
    assert player.choose(z, z, 1)[0].tolist() == [1, 1, 1, 1] and player.choose(z, -z, 1)[0, 3] == 0
    two = Player([numbers(q=(1,)), numbers(w=(1,))], np.ones(16))
    still = np.zeros((2, 16))
    assert two.choose(still, still, 1).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert two.only([1]).choose(still[:1], still[:1], 1).tolist() == [[0, 1, 0, 0]]


NOISE = SimpleNamespace(noise=0.1, temperature=1.0)


def test_dreamed_metres_end_with_the_life():
    """The second falls when z has grown to 6; no key is held in the first seed % STARTS frames."""
    player = Player([numbers(q=(1,)), numbers(q=(1,), p=(-5.5, 0, 0, 1)), numbers()], np.ones(16))
    metres, life = train_player.dream_lives(Treadmill(), player, 20, np.array([0, 3, 0]), NOISE)
    assert metres.tolist() == [20, 7, 0] and life.tolist() == [20, 9, 20]


def test_a_controller_sees_z_with_noise():
    """It runs when it sees a z above 0, where there is none: in each dream at another time."""
    player = Player([numbers(q=(0, 0, 0, 1))] * 8, np.ones(16))
    metres, _ = train_player.dream_lives(Treadmill(), player, 20, train_player.STARTS * np.arange(8), NOISE)
    assert len(set(metres)) > 1 and min(metres) > 5


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A data folder with a copy of the shipped runner, in whose dream a player has learned for seconds."""
    root = tmp_path_factory.mktemp("learned")
    shutil.copytree(RUNNER, root / "runner" / "model", ignore=shutil.ignore_patterns("player*", "clips.js"))
    options = ("--data", root, "--minutes", 0.02, "--frames", 20, "--population", 6, "--dreams", 1)
    first, again = run("train_player.py", *options), run("train_player.py", *options)
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert "; 0 generations done" in first.stdout and "; 0 generations done" not in again.stdout
    return root


def test_a_player_learns_and_goes_on_learning(learned):
    player = json.loads((learned / "runner/model/player.json").read_text())
    assert player["game"] == "runner" and len(player["numbers"]) == 141 and player["frames"] == 40
    log = [json.loads(line) for line in (learned / "runner/player_log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in log] == list(range(10, 10 * len(log) + 10, 10)) and len(log) >= 2
    assert player["metres"] == round(max(entry["metres"] for entry in log), 1)
    script = (learned / "runner/model/player.js").read_text()
    assert json.loads(script.removeprefix("self.DREAM_PLAYER = ").removesuffix(";\n")) == player
    for name in ("player.png", "player_curve.png"):
        assert (learned / "runner" / name).stat().st_size > 1000


@pytest.mark.parametrize(("frames", "best"), [(20, "its own"), (30, -1.0)])
def test_a_better_player_stays(learned, frames, best):
    """A search has to beat the player in the folder, if both were measured in the same dream and way."""
    model, args = Model(learned / "runner/model"), SimpleNamespace(frames=frames, noise=0.3, temperature=1.0)
    known = data.read_json(model.folder / "player.json")["metres"]
    assert train_player.best_of(model, args) == (known if best == "its own" else best)
    model.meta["sha256"]["dynamics.onnx"] = "that of another dream"
    assert train_player.best_of(model, args) == -1


def test_closed_loop_equals_a_replay_of_its_keys(learned, tmp_path):
    """Frame by frame with the network, or the list of its keys without it: the same bytes."""
    sizes = ("--frames", 40, "--episodes", 3)
    result = collect(tmp_path / "played", *sizes, "--player", learned / "runner/model/player.json")
    assert result.returncode == 0 and "of the first lives: median" in result.stdout, result.stderr
    folder = tmp_path / "played/runner/frames"
    meta = data.read_json(folder / "meta.json")
    assert meta["policy"]["name"] == "player"
    result = collect(tmp_path / "again", "--frames", 40, "--replay", folder / "keys.json")
    assert result.returncode == 0, result.stderr
    assert episodes(tmp_path / "again") == episodes(tmp_path / "played")

    # The keys are those that the player chooses from these frames
    live = LivePlayer(learned / "runner/model/player.json")
    for number, episode in data.load_episodes(folder, ("frames", "keys", "restart")):
        live.start(number)
        rows = [live(*row) for row in zip(episode["frames"], episode["restart"])]
        np.testing.assert_array_equal(rows, episode["keys"])
        assert not episode["keys"][:number].any()
    assert "name it with --player in collect.py" in collect(tmp_path / "played", "--episodes", 4).stderr


def test_a_player_wanders(learned, tmp_path):
    """With --wander other numbers play in each life, the same again in the same episode."""
    player = learned / "runner/model/player.json"
    live, frame, rows = LivePlayer(player, wander=1.0), np.zeros((96, 96, 3), np.uint8), []
    for episode in (0, 0, 1):
        live.start(episode)
        for _ in range(6):  # lives
            live(frame, restart=True)
            rows.append(live.player.numbers.tolist())
    assert rows[:6] == rows[6:12] != rows[12:] and len({str(row) for row in rows}) > 6
    assert live.learned.numbers.tolist() in rows  # some lives play as it has learned
    result = collect(tmp_path, "--player", player, "--wander", 0.5, "--episodes", 1, "--frames", 40)
    assert result.returncode == 0, result.stderr
    assert data.read_json(tmp_path / "runner/frames/meta.json")["policy"]["wander"] == 0.5


@pytest.mark.parametrize(("change", "words"), [
    ({"encoder": "0"}, "another encoder"), ({"numbers": [0.0] * 9}, "9 numbers"),
    ({"numbers": [float("nan")] * 141}, "not finite"), ({"numbers": ["a"]}, "ValueError"),
    (None, "TypeError"), ("{", "JSONDecodeError")])
def test_a_player_of_another_model_is_refused(learned, tmp_path, change, words):
    model = LivePlayer(learned / "runner/model/player.json").model
    player = json.loads((learned / "runner/model/player.json").read_text())
    text = change if isinstance(change, str) else json.dumps(change and player | change)
    (tmp_path / "player.json").write_text(text)
    with pytest.raises(SystemExit, match=f"does not fit this model .*{words}.*run train_player.py"):
        load(tmp_path / "player.json", model)


def test_a_player_that_is_not_there_or_of_another_game_is_one_line(learned, tmp_path):
    assert "no model in" in refusal(collect_main, "--data", tmp_path, "--player", tmp_path / "player.json")
    breakout = ROOT / "tests/games/breakout.py"
    player = learned / "runner/model/player.json"
    line = refusal(collect_main, "--data", tmp_path, "--game", breakout, "--player", player)
    assert "name a player of this game" in line


def test_bad_options_and_a_model_without_metres_are_refused(toy_data):
    assert "does not tell metres" in refusal(train_player.main, "--data", toy_data)
    assert "--population more than 3" in refusal(train_player.main, "--population", 3)


def test_transfer_compares_dreamed_with_real_metres():
    """Rhythms that hold the first key for 1 to 5 frames; the real game falls in the last one."""
    keys, over = np.zeros((5, 8, 4), np.uint8), np.zeros((5, 8), bool)
    for n in range(5):
        keys[n, :n + 1, 0] = 1
    over[4, 2] = True
    score = np.cumsum(keys[..., 0], axis=1) / 10
    model = Treadmill()
    model.meta = {"readout": {}}
    figures = metrics.measure_transfer(model, {"keys": keys, "over": over, "score": score})
    assert figures["metres"] == {"best_ten": pytest.approx(0.2), "all": pytest.approx(0.2)}
    assert figures["spearman"] == pytest.approx(5.5 / 95 ** 0.5)  # of the ranks 1 2 3 4 5 and 1 2.5 4 5 2.5
    assert metrics.measure_transfer(model, {}) is None
