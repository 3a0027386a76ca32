"""Which keys are pressed, key lists as text, and latents."""
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, run

import data
import encode
import models
from capture import policies
from engine import training

GAITS = policies.load_gaits(ROOT / "games/qwop_gaits.json")


@dataclass
class Game:
    """As much of a game as key lists need."""
    name: str = "toy"
    keys: list = field(default_factory=lambda: list("qwop"))


def policy(name, **content):
    return policies.Policy(**{"name": name, "keys": 4, "frames": 200, "ticks_per_frame": 3, "seed": 0,
                              "gaits": GAITS, **content})


# ------------------------------------------------------------------------------------------------------- keys

def test_random_keys_are_held_as_long_as_the_originals():
    keys = policies.random_keys(20_000, 4, np.random.default_rng(0)).astype(int)
    up, down = keys[:-1] == 0, keys[:-1] == 1
    assert keys.shape == (20_000, 4)
    assert policies.random_keys(5, 2, np.random.default_rng(0)).dtype == np.uint8
    assert (keys[1:][up] == 1).mean() == pytest.approx(0.10, abs=0.01)
    assert (keys[1:][down] == 0).mean() == pytest.approx(0.22, abs=0.01)
    assert keys.mean(0) == pytest.approx([0.31] * 4, abs=0.03)
    assert np.abs(np.corrcoef(keys.T) - np.eye(4)).max() < 0.05  # each key on its own


def test_a_gait_holds_each_key_in_its_part_of_the_period():
    gait = {"period": 30, "on": [[0.95, 0.45], [0.45, 0.95], [0.75, 0.15], [0.4, 0.4]]}
    keys = policies.gait_keys(gait, 20, 3)  # ten frames a period
    assert ["".join(map(str, column)) for column in keys.T] == [
        2 * "1111100000", 2 * "0000011111", 2 * "1100000011", 2 * "0000000000"]
    shifted = policies.gait_keys(gait, 20, 3, drift=0.1)
    assert (shifted[:-1] == keys[1:]).all()
    wavers = policies.gait_keys(gait, 20, 3, np.r_[np.zeros(10), np.full(10, 0.1)])
    assert (wavers[:10] == keys[:10]).all() and (wavers[10:] == shifted[10:]).all()


def held_in_ticks(gait, ticks, ticks_per_frame):
    """The keys held in each tick of a life: keys[t] from frame t to the next, none before the first frame."""
    keys = policies.gait_keys(gait, -(-ticks // ticks_per_frame), ticks_per_frame)
    return np.vstack([np.zeros_like(keys[:1]), keys]).repeat(ticks_per_frame, 0)[:ticks]


def test_a_gait_is_the_same_at_one_and_at_three_ticks_a_frame():
    for gait in GAITS[:20]:
        differ = np.flatnonzero((held_in_ticks(gait, 900, 1) != held_in_ticks(gait, 900, 3)).any(1))
        assert differ.tolist() == []


@pytest.mark.parametrize("name", policies.POLICIES)
def test_a_policy_says_the_same_again_and_something_else_for_others(name):
    plays = [policy(name)(n) for n in range(30)]
    for n, (keys, skip) in enumerate(plays):
        again, same_skip = policy(name)(n)
        assert skip == same_skip >= 0 and (keys == again).all()
        assert keys.dtype == np.uint8 and keys.shape == (skip + 200, 4) and keys.max() <= 1
    assert len({keys.tobytes() for keys, _ in plays}) == 30
    if name != "held":  # whose first ones are the same for every seed
        assert (policy(name, seed=1)(0)[0][:200] != plays[0][0][:200]).any()
    skips = [skip for _, skip in plays]
    assert len(set(skips)) > {"gait": 25, "mix": 10}.get(name, 0)
    assert (max(skips) > 0) == (name in ("gait", "mix", "choices"))


def test_a_person_presses_slowly_holds_and_pauses():
    keys = np.concatenate([policy("human")(n)[0] for n in range(100)])
    assert keys.sum(1).max() == 2 and 0.1 < (keys.sum(1) == 0).mean() < 0.5
    changes = (keys[1:] != keys[:-1]).any(1).mean()
    random = np.concatenate([policy("random")(n)[0] for n in range(100)])
    assert changes < 0.6 * (random[1:] != random[:-1]).any(1).mean()
    assert keys.mean(0) == pytest.approx([0.28] * 4, abs=0.04)
    assert policies.human_keys(50, 1, 3, np.random.default_rng(0)).any()  # a game of one key


def test_held_keys_are_none_all_and_each_alone_first():
    first = [policy("held")(n)[0] for n in range(12)]
    assert [policies.to_text(keys[[0, -1]]) for keys in first[:6]] == ["00", "ff", "11", "22", "44", "88"]
    assert all((keys == keys[0]).all() for keys in first[:6])
    assert all((keys[100:] == keys[100]).all() for keys in first[6:]) and (first[6] != first[6][0]).any()


def test_choices_share_their_past_and_hold_every_combination():
    plays = [policy("choices", frames=21)(n) for n in range(32)]
    for moment in (plays[:16], plays[16:]):
        (past, skip), seen = moment[0], moment[0][1] + policies.FORK - 1
        assert all(s == skip and (keys[:seen] == past[:seen]).all() for keys, s in moment)
        held = [keys[seen:] for keys, _ in moment]
        assert all(len(keys) == 11 and (keys == keys[0]).all() for keys in held)
        assert policies.to_text(np.stack([keys[0] for keys in held])) == "0123456789abcdef"
    assert (plays[0][0][:20] != plays[16][0][:20]).any()
    assert len(policies.combinations(3)) == 8 and len(policies.combinations(6)) == 16
    assert policies.combinations(6).any(0).all()


def test_mix_is_of_all_and_windows_lie_all_over_the_track():
    skips = np.array([policy("mix")(n)[1] for n in range(300)])
    assert 0.4 < (skips == 0).mean() < 0.6
    ends = [policy("mix")(n)[0][-60:] for n in range(300)]
    still = [end[0] for end in ends if (end == end[0]).all()]  # longer than a person holds
    assert 15 < len(still) < 45 and 3 < sum(not keys.any() for keys in still) < 20
    part = skips[skips > 0] / max(gait["frames"] for gait in GAITS)
    assert part.min() < 0.05 and part.max() > 0.8 and len(np.unique((part * 5).astype(int))) >= 4


def test_a_gait_is_clean_up_to_its_window_or_spoiled_from_the_start():
    clean = 0
    for n in range(60):
        keys, skip = policy("gait", frames=100)(n)
        pure = [policies.gait_keys(gait, len(keys), 3) for gait in GAITS]
        match = max((one == keys).all(1).argmin() if (one != keys).any() else len(keys) for one in pure)
        clean += match >= skip
    assert 45 < clean < 60


@pytest.mark.parametrize("ticks, frames", [(1, 50), (2, 50), (8, 50), (3, 2), (3, 3000)])
def test_policies_fit_other_lengths(ticks, frames):
    for n in range(10):
        keys, skip = policy("mix", ticks_per_frame=ticks, frames=frames)(n)
        assert keys.shape == (skip + frames, 4)
        assert skip * ticks < 3 * max(gait["frames"] for gait in GAITS)


def test_given_keys_are_played_as_they_are():
    mine = np.ones((7, 4), np.uint8), 3
    given = policy("random", lists={1: mine})
    assert given(1) is mine and (given(0)[0] == policy("random")(0)[0]).all()


# -------------------------------------------------------------------------------------------------- key lists

@pytest.mark.parametrize("count", range(1, 10))
def test_keys_become_text_and_back(count):
    keys = np.random.default_rng(count).integers(0, 2, (50, count)).astype(np.uint8)
    text = policies.to_text(keys)
    back = policies.from_text(text, count)
    assert len(text) == 50 * -(-count // 4) and back.dtype == np.uint8 and (back == keys).all()
    assert (policies.from_text(text.upper(), count) == keys).all()


def test_text_is_bits_in_the_order_of_the_keys():
    assert policies.to_text(np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]])) == "12c"
    assert policies.to_text(np.array([[0, 0, 0, 0, 1]])) == "10"


@pytest.mark.parametrize("text, count, expected", [
    ("", 4, "hexadecimal"), ("0g", 4, "hexadecimal"), ("0 1", 4, "hexadecimal"), ("0x1", 4, "hexadecimal"),
    (None, 4, "hexadecimal"), (12, 4, "hexadecimal"), (["1"], 4, "hexadecimal"), ("٣", 4, "hexadecimal"),
    ("012", 5, "2 hexadecimal"), ("8", 3, "more than the game's 3 keys"),
    ("20", 5, "more than the game's 5 keys")])
def test_text_that_is_no_keys_is_refused(text, count, expected):
    with pytest.raises(ValueError, match=expected):
        policies.from_text(text, count)


def test_lists_are_saved_and_loaded(tmp_path):
    path, rng = tmp_path / "keys.json", np.random.default_rng(0)
    lists = [(policies.random_keys(20 + skip, 4, rng), skip) for skip in (0, 5, 300)]
    policies.save_lists(path, Game(), 3, lists)
    loaded = policies.load_lists(path, Game(), 3, 20)
    assert [(keys.tolist(), skip) for keys, skip in loaded] == [(keys.tolist(), skip) for keys, skip in lists]
    content = json.loads(path.read_text())
    assert (content["game"], content["keys"], content["ticks_per_frame"]) == ("toy", list("qwop"), 3)
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


@pytest.mark.parametrize("length, skip, starts", [
    (20, 0, [0]), (21, 0, [0, 1]), (40, 0, [0, 20]), (50, 0, [0, 20, 30]), (50, 7, [7, 27, 30]),
    (27, 7, [7])])
def test_a_long_list_gives_windows_that_end_with_it(tmp_path, length, skip, starts):
    keys = policies.random_keys(length, 4, np.random.default_rng(0))
    policies.save_lists(tmp_path / "keys.json", Game(), 3, [(keys, skip)])
    windows = policies.load_lists(tmp_path / "keys.json", Game(), 3, 20)
    assert [start for _, start in windows] == starts
    assert all((part == keys[:start + 20]).all() for part, start in windows)


LIST = {"game": "toy", "keys": list("qwop"), "ticks_per_frame": 3,
        "episodes": [{"skip": 0, "keys": "0123456789"}]}


@pytest.mark.parametrize("content, expected", [
    ("{", "Expecting"), ("", "Expecting"), ("\udcff", "decode"), ([], "list indices"), (None, "NoneType"),
    ({"game": "runner"}, "game is 'runner', not 'toy'"), ({"game": None}, "game is None"),
    ({"keys": list("qwo")}, "keys is ['q', 'w', 'o'], not"),
    ({"ticks_per_frame": 4}, "ticks_per_frame is 4, not 3"), ({"episodes": []}, "no episodes"),
    ({"episodes": 7}, "not iterable"), ({"episodes": "0123456789"}, "indices"),
    ({"episodes": [{}]}, "no 'keys' in it"), ({"episodes": [None]}, "NoneType"),
    ({"episodes": [{"keys": "012345678x"}]}, "hexadecimal"),
    ({"episodes": [{"keys": "0" * 10, "skip": -1}]}, "skip of episode 0 is -1"),
    ({"episodes": [{"keys": "0" * 10, "skip": 0.5}]}, "skip of episode 0 is 0.5"),
    ({"episodes": [{"keys": "0" * 10, "skip": None}]}, "skip of episode 0 is None"),
    ({"episodes": [{"keys": "0" * 20}, {"keys": "0" * 10, "skip": 1}]},
     "episode 1 has 9 frames to record, --frames is 10")])
def test_a_list_that_does_not_fit_is_one_line(tmp_path, content, expected):
    path = tmp_path / "keys.json"
    if isinstance(content, str):
        path.write_text(content, errors="surrogateescape")
    else:
        path.write_text(json.dumps(LIST | content if content else content))
    with pytest.raises(SystemExit) as caught:
        policies.load_lists(path, Game(), 3, 10)
    line = str(caught.value)
    assert line.startswith(f"{path} is no key list for this recording: ")
    assert expected in line and "\n" not in line


def test_a_list_that_is_not_there_is_one_line(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(SystemExit, match="is no key list for this recording"):
            policies.load_lists(path, Game(), 3, 10)


def test_gaits_of_a_game_that_has_none():
    assert policies.load_gaits(Path("nowhere.json")) == []
    kinds = {keys.tobytes() for n in range(9) for keys in [policies.Policy("mix", 4, 50, 3, 0, [])(n)[0]]}
    assert len(kinds) > 6  # mix is then random, human-like and held keys


def test_a_file_without_gaits_is_refused(tmp_path):
    data.write_json(tmp_path / "x_gaits.json", {"episodes": []})
    with pytest.raises(SystemExit, match="holds no gaits"):
        policies.load_gaits(tmp_path / "x_gaits.json")


def test_what_only_measures_is_not_what_every_seed_plays():
    """Held keys and gaits in training begin with what every seed plays; for the test set they never do."""
    constant = {policy("held")(n)[0].tobytes() for n in range(6)}
    for n in range(12):
        assert policy("held", is_test=True)(n)[0].tobytes() not in constant
        keys, skip = policy("gait", is_test=True)(n)
        first = max(0, skip - policies.AWAY)
        pure = [policies.gait_keys(gait, len(keys), 3) for gait in GAITS]
        assert min((one[first:] != keys[first:]).any(1).sum() for one in pure) > 2


def test_the_shipped_gaits_are_what_the_policies_read():
    content = json.loads((ROOT / "games/qwop_gaits.json").read_text())
    assert content["game"] == "qwop" and content["gaits"] == GAITS and len(GAITS) > 20
    for gait in GAITS:
        on = np.array(gait["on"])
        assert on.shape == (4, 2) and on.min() >= 0 and on.max() <= 1
        assert gait["period"] > 3 and gait["frames"] > 0


# ---------------------------------------------------------------------------------------------------- latents

def test_encode_writes_what_the_encoder_says_and_anew_for_another_one(toy_data, tmp_path):
    folder = tmp_path / "runner"
    (folder / "frames").mkdir(parents=True)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 6, 96, 96, 3), np.uint8)
    for n in range(2):
        data.save_episode(data.episode_path(folder / "frames", n),
                          {"frames": frames[n], "keys": np.zeros((6, 4), np.uint8),
                           "restart": np.arange(6) == 0, "over": np.zeros(6, bool)})
    data.write_json(folder / "frames" / "meta.json", {"game": "runner", "frames": 6, "keys": list("qwop")})
    model, _ = training.load(toy_data / "runner" / "ae.pt", models.Autoencoder)
    for _ in range(2):
        training.save(folder / "ae.pt", model)
        with torch.no_grad():
            z = np.stack([model.encoder(torch.from_numpy(part)) for part in frames])
            model.encoder.head[-1].bias += 1  # of the next round
        result = run("encode.py", "--data", tmp_path, "--device", "cpu")
        assert result.returncode == 0 and "2 to do" in result.stdout, result.stderr
        latents = data.load_latents(folder / "latents")
        assert latents.z.dtype == "float32" and latents.numbers.tolist() == [0, 1]
        np.testing.assert_allclose(latents.z, z, atol=1e-5, rtol=1e-5)
    # What a player has played elsewhere comes behind
    add = ("encode.py", "--data", tmp_path, "--device", "cpu", "--add", tmp_path / "played")
    assert "run collect.py --player first" in run(*add).stderr
    shutil.copytree(folder / "frames", tmp_path / "played/runner/frames")
    for done in (2, 4):
        result = run(*add)
        assert result.returncode == 0 and f"{done} episodes are encoded" in result.stdout, result.stderr
    latents = data.load_latents(folder / "latents")
    assert latents.numbers.tolist() == [0, 1, 10 ** 6, 10 ** 6 + 1] and (latents.z[:2] == latents.z[2:]).all()
    meta = data.read_json(folder / "frames/meta.json")
    data.write_json(tmp_path / "played/runner/frames/meta.json", meta | {"frames": 7})
    assert "was recorded with frames 7, not 6" in run(*add).stderr


def test_an_empty_folder_hides_no_held_out_episodes(tmp_path):
    (tmp_path / "runner/held_out").mkdir(parents=True)
    assert data.held_out_folder(tmp_path / "runner") == ROOT / "held_out/runner"
    (tmp_path / "runner/held_out/random.npz").touch()
    assert data.held_out_folder(tmp_path / "runner") == tmp_path / "runner/held_out"


def test_latents_of_another_browser_are_kept():
    meta = {"game": "runner", "encoder": "ab", "browser": "Chromium 1", "version": "1"}
    assert encode.is_same(meta, meta | {"browser": "Chromium 2", "version": "2"})
    assert not encode.is_same(meta, meta | {"encoder": "cd"}) and not encode.is_same(None, meta)


def test_latents_of_different_lengths_are_refused(tmp_path):
    for n in range(2):
        arrays = {"z": np.zeros((5 + n, 16), np.float32), "keys": np.zeros((5 + n, 4), np.uint8),
                  "restart": np.zeros(5 + n, bool), "over": np.zeros(5 + n, bool)}
        data.save_episode(data.episode_path(tmp_path, n), arrays)
    with pytest.raises(SystemExit, match="2 readable episodes in .* do not fit together"):
        data.load_latents(tmp_path)
