"""Which keys are pressed: policies, and key lists that are replayed.

A recording depends on its keys alone, so a key list stores it without loss:

    {"game": "runner", "keys": ["q", "w", "o", "p"], "ticks_per_frame": 3,
     "episodes": [{"skip": 0, "keys": "005a..."}, ...]}

The keys held from one frame to the next are one hexadecimal digit (bit 0 is the first key), or two if there
are more than four keys. The first `skip` frames are played but not recorded: an episode may be a window of a
longer life.

Shapes: L frames that are played, T that are recorded of them, K keys
"""
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import data

PRESS, LET_GO = 0.10, 0.22  # chance per frame that a key goes down or up: each is down 31% of the time
GRID = 3                    # ticks: gaits' keys change at its multiples, the same at 1 and 3 ticks a frame
POLICIES = ("mix", "random", "gait", "human", "held", "choices", "rhythms")
MIX = {"random": 0.25, "human": 0.2, "gait": 0.3, "switch": 0.15, "held": 0.1}
MIX_WITHOUT_GAITS = {"random": 0.5, "human": 0.3, "held": 0.2}
FORK = data.CONTEXT + 1     # frames before the episodes of `choices` part
AWAY = 50                   # frames of noise after which a gait's life is another one than without noise


def random_keys(frames, keys, rng):
    """Random keys uint8 (frames, K), each key on its own. rng: a numpy Generator."""
    draws = rng.random((frames, keys))
    held = np.zeros((frames, keys), np.uint8)
    down = np.zeros(keys, bool)
    for t in range(frames):
        down = np.where(down, draws[t] >= LET_GO, draws[t] < PRESS)
        held[t] = down
    return held


def gait_keys(gait, frames, ticks_per_frame, drift=0.0):
    """A gait's keys uint8 (frames, K). gait: a dict with `period` in ticks and `on`, for each key the part of
    the period (from, to; may wrap around) in which it is held. drift: periods added to the phase, a number
    or (frames,)."""
    tick = (np.arange(1, frames + 1) * ticks_per_frame) // GRID * GRID - GRID
    phase = (tick / gait["period"] + drift) % 1
    held = [(tick >= 0) & ((phase - start) % 1 < (end - start) % 1) for start, end in gait["on"]]
    return np.stack(held, 1).astype(np.uint8)


def human_keys(frames, keys, ticks_per_frame, rng):
    """Keys as a person plays them, uint8 (frames, K): beats in which one or two keys alternate with others,
    long holds, pauses. Each lasts 1 to 5 s (of 30 ticks). rng: a numpy Generator."""
    held, t = np.zeros((frames, keys), np.uint8), 0
    while t < frames:
        end = t + max(1, round(rng.uniform(30, 150) / ticks_per_frame))
        order, n = rng.permutation(keys), rng.integers(1, 3)
        groups = order[:n], order[n:2 * n]
        kind = rng.choice(["beat", "hold", "pause"], p=[0.65, 0.2, 0.15])
        if kind == "hold":
            held[t:end, groups[0]] = 1
        beat, part = rng.uniform(6, 30) / ticks_per_frame, rng.uniform(0.6, 1)  # half a period in frames
        while kind == "beat" and t < end:
            length = beat * rng.uniform(0.7, 1.3)
            held[t:min(end, t + max(1, round(length * part))), groups[0]] = 1
            t, groups = t + max(1, round(length)), groups[::-1]
        t = end
    return held


def combinations(keys):
    """The combinations of the keys, of more than 4 keys the 16 with the fewest held: uint8 (C, K). The first
    holds none."""
    numbers = sorted(sorted(range(2 ** min(keys, 15)), key=int.bit_count)[:16])
    return (np.array(numbers)[:, None] >> np.arange(keys) & 1).astype(np.uint8)


def make_pattern(period, on):
    """A pattern with the digits that the file holds: what is played is what is kept."""
    return {"period": round(float(period), 4), "on": np.round(on % 1, 4).tolist()}


def new_pattern(rows, keys, rng):
    """A random pattern, or a kept one (of rows) with small or large changes, sometimes with one key taken
    from another."""
    if len(rows) < 10 or rng.random() < 0.1:
        start = rng.random(keys)
        return make_pattern(rng.uniform(9, 75), np.stack([start, start + rng.uniform(0.1, 0.7, keys)], 1))
    if rng.random() < 0.5:  # one of the best third
        rows = sorted(rows, key=lambda row: -row["score"])[:max(10, len(rows) // 3)]
    pattern, other = (rows[rng.integers(len(rows))] for _ in range(2))
    size = 10 ** rng.uniform(-3, -0.7)
    on = np.array(pattern["on"]) + rng.normal(0, size, (keys, 2))
    if rng.random() < 0.2:
        key = rng.integers(keys)
        on[key] = other["on"][key]
    return make_pattern(np.clip(pattern["period"] * np.exp(rng.normal(0, size / 2)), 6, 120), on)


def load_gaits(path):
    """The patterns that search_gaits.py wrote -> a list of dicts, empty if there is no such file.

    frames: of a life, each of GRID ticks."""
    content = data.read_json(path) or {"gaits": []}
    if "gaits" not in content:
        raise SystemExit(f"{path} holds no gaits of search_gaits.py: move it away")
    return content["gaits"]


@dataclass
class Policy:
    """Which keys an episode plays: policy(episode) -> keys uint8 (L, K), skip. They depend on seed and
    episode alone. `lists` maps the numbers of episodes whose keys are given to (keys, skip). is_test: without
    what every seed plays, which training has seen: keys held all the time, gaits without noise."""
    name: str
    keys: int
    frames: int
    ticks_per_frame: int
    seed: int
    gaits: list
    lists: dict = field(default_factory=dict)
    is_test: bool = False

    def __call__(self, episode):
        if episode in self.lists:
            return self.lists[episode]
        if self.name == "choices":
            return self.choose(episode)
        rng = np.random.default_rng([self.seed, episode])
        if self.name == "rhythms":
            return gait_keys(new_pattern(self.gaits, self.keys, rng), self.frames, self.ticks_per_frame), 0
        if self.name == "held":
            return self.hold(episode + self.is_test * (2 + self.keys), rng), 0
        kind = self.name
        if kind == "mix":
            shares = MIX if self.gaits else MIX_WITHOUT_GAITS
            kind = rng.choice(list(shares), p=list(shares.values()))
        if kind == "random":
            return random_keys(self.frames, self.keys, rng), 0
        if kind == "held":
            return self.hold(int(rng.integers(0, 20)), rng, rest=0.3), 0
        if kind == "human":
            return human_keys(self.frames, self.keys, self.ticks_per_frame, rng), 0
        return self.run(rng, switch=kind == "switch")

    def hold(self, number, rng, rest=0.0):
        """Keys held for long -> keys (T, K). By number, whatever the seed: none, all, each key alone; then
        random keys that end in one combination held. rest: share of those in which that is no key."""
        keys = np.zeros((self.frames, self.keys), np.uint8)
        if number == 1:
            keys[:] = 1
        elif 2 <= number < 2 + self.keys:
            keys[:, number - 2] = 1
        elif number:
            keys[:] = random_keys(self.frames, self.keys, rng)
            choice, start = rng.integers(0, 2, self.keys), rng.integers(0, 1 + self.frames // 2)
            keys[start:] = 0 if rest and rng.random() < rest else choice
        return keys

    def choose(self, episode):
        """The same FORK frames of play in 16 episodes, then in each another combination of keys, held to the
        end -> keys (L, K), skip."""
        choices = combinations(self.keys)
        moment, n = divmod(episode, len(choices))
        rng = np.random.default_rng([self.seed, moment])
        name = "mix" if self.gaits else "random"
        keys, skip = Policy(name, self.keys, 200, self.ticks_per_frame, self.seed, self.gaits)(moment)
        skip += int(rng.integers(0, 150))
        held = np.repeat(choices[n:n + 1], self.frames - FORK + 1, 0)
        return np.vstack([keys[:skip + FORK - 1], held]), skip

    def run(self, rng, switch):
        """A window of a gait's life, from a random frame on with noise -> keys (L, K), skip. switch: it also
        changes to random keys, or none, and back."""
        length = np.array([gait["frames"] for gait in self.gaits]) * GRID // self.ticks_per_frame
        n = rng.choice(len(self.gaits), p=length / length.sum())  # every part of the track is seen
        skip = int(rng.integers(0, max(1, length[n] - self.frames // 4)))
        total = skip + self.frames
        # Where the noise begins: nowhere, at the start of the life, or within the window
        onset = rng.choice([total, 0, skip + int(rng.integers(0, self.frames))], p=[0.25, 0.15, 0.6])
        level = 10 ** rng.uniform(-3, -1)  # from hardly any to a beginner's
        if self.is_test:
            onset, level = max(0, skip - AWAY), max(level, 0.01)
        noisy = np.arange(total) >= onset
        drift = np.cumsum(noisy * rng.normal(level / 4, level / 2, total))  # the tempo wavers
        keys = gait_keys(self.gaits[n], total, self.ticks_per_frame, drift)
        slips = noisy[:, None] & (rng.random(keys.shape) < level)
        slips[0] = False
        for t in np.flatnonzero(slips.any(1)):  # a key is let go or pressed a frame late
            keys[t] = np.where(slips[t], keys[t - 1], keys[t])
        if switch:
            at = onset = min(onset, skip + int(rng.integers(0, self.frames // 2)))
            while at < total:
                length = int(rng.integers(10, 80))
                part = keys[at:at + length]
                part[:] = random_keys(len(part), self.keys, rng) if rng.random() < 0.8 else 0
                at += length + int(rng.integers(10, 80))
        return keys, skip


# ------------------------------------------------------------------------------------------------ key lists

def to_text(keys):
    """Keys uint8 (L, K) -> one or more hexadecimal digits a frame."""
    digits = -(-keys.shape[1] // 4)
    return "".join(f"{bits:0{digits}x}" for bits in (keys.astype(int) << np.arange(keys.shape[1])).sum(1))


def from_text(text, keys):
    """The text of to_text() -> keys uint8 (L, K). Raises ValueError that says what is wrong."""
    digits = -(-keys // 4)
    if not isinstance(text, str) or not re.fullmatch(f"([0-9a-fA-F]{{{digits}}})+", text):
        raise ValueError(f"keys must be {digits} hexadecimal digit(s) a frame")
    bits = np.array([int(text[i:i + digits], 16) for i in range(0, len(text), digits)])
    if bits.max() >= 1 << keys:
        raise ValueError(f"a frame holds more than the game's {keys} keys")
    return (bits[:, None] >> np.arange(keys) & 1).astype(np.uint8)


def save_lists(path, game, ticks_per_frame, lists):
    """Write key lists, each (keys (L, K), skip), one episode a line."""
    head = json.dumps({"game": game.name, "keys": game.keys, "ticks_per_frame": ticks_per_frame})[:-1]
    lines = ",\n".join(f'  {{"skip": {skip}, "keys": "{to_text(keys)}"}}' for keys, skip in lists)
    data.write_text(path, f'{head}, "episodes": [\n{lines}\n]}}\n')


def load_lists(path, game, ticks_per_frame, frames):
    """The episodes of a key list file -> [(keys (L, K), skip)], L = skip + `frames` each. A longer episode
    gives several windows, of which the last ends with it. Ends the program with one line if the file does not
    fit."""
    try:
        key_list = data.parse_json(Path(path).read_text())
        for name, value in (("game", game.name), ("keys", game.keys), ("ticks_per_frame", ticks_per_frame)):
            if key_list[name] != value:
                raise ValueError(f"{name} is {key_list[name]!r}, not {value!r}")
        windows = []
        for n, episode in enumerate(key_list["episodes"]):
            keys, skip = from_text(episode["keys"], len(game.keys)), episode.get("skip", 0)
            if not isinstance(skip, int) or skip < 0:
                raise ValueError(f"skip of episode {n} is {skip}, not a number of frames")
            last = len(keys) - frames
            if last < skip:
                raise ValueError(f"episode {n} has {len(keys) - skip} frames to record, --frames is {frames}")
            windows += [(keys[:start + frames], start) for start in (*range(skip, last, frames), last)]
        if not windows:
            raise ValueError("it has no episodes")
        return windows
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"no {error} in it" if isinstance(error, KeyError) else error
        raise SystemExit(f"{path} is no key list for this recording: {reason}") from None
