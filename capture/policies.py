"""Which keys are pressed: random ones, gaits that run, a person's, a mix of all, and key lists that are played again.

A recording is a function of its keys alone, so key lists are a lossless store of it:

    {"game": "runner", "keys": ["q", "w", "o", "p"], "ticks_per_frame": 3,
     "episodes": [{"skip": 0, "keys": "005a..."}, ...]}

has a hexadecimal digit a frame (bit 1 is the first key, 2 the second, ...; two digits for more than four keys), the
keys held from that frame to the next. The first `skip` frames are played but not recorded: an episode may be a window
of a longer life.

Shapes: L frames that are played, T that are recorded of them, K keys
"""
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import data

PRESS, LET_GO = 0.10, 0.22  # chance per frame that a key goes down or up: each is down 31% of the time
GRID = 3                    # ticks: a gait's keys change at multiples of this, so that 1 and 3 ticks a frame play alike
POLICIES = ("mix", "random", "gait", "human", "held", "choices")
FORK = data.CONTEXT + 1    # frames of play before the combinations of keys part


def random_keys(frames, keys, chance):
    """Semi-random keys uint8 (frames, K), each key on its own. chance: a numpy Generator."""
    chance = chance.random((frames, keys))
    held = np.zeros((frames, keys), np.uint8)
    down = np.zeros(keys, bool)
    for t in range(frames):
        down = np.where(down, chance[t] >= LET_GO, chance[t] < PRESS)
        held[t] = down
    return held


def gait_keys(gait, frames, ticks_per_frame, drift=0.0):
    """A gait's keys uint8 (frames, K). gait: a dict with `period` in ticks and, for each key, `on`: the part of the
    period (from, to; may wrap around) in which it is held. drift: periods added to the phase, a number or (frames,)."""
    tick = (np.arange(1, frames + 1) * ticks_per_frame) // GRID * GRID - GRID
    phase = (tick / gait["period"] + drift) % 1
    held = [(tick >= 0) & ((phase - start) % 1 < (end - start) % 1) for start, end in gait["on"]]
    return np.stack(held, 1).astype(np.uint8)


def human_keys(frames, keys, ticks_per_frame, chance):
    """Keys as a person tries them, uint8 (frames, K): slow and rhythmic, one or two at a time against others, long
    holds, pauses. Each manner lasts 1 to 5 s of 30 ticks. chance: a numpy Generator."""
    held, t = np.zeros((frames, keys), np.uint8), 0
    while t < frames:
        end = t + max(1, round(chance.uniform(30, 150) / ticks_per_frame))
        order, n = chance.permutation(keys), chance.integers(1, 3)
        groups = order[:n], order[n:2 * n]
        manner = chance.choice(["beat", "hold", "pause"], p=[0.65, 0.2, 0.15])
        if manner == "hold":
            held[t:end, groups[0]] = 1
        beat, part = chance.uniform(6, 30) / ticks_per_frame, chance.uniform(0.6, 1)  # half a period in frames
        while manner == "beat" and t < end:
            length = beat * chance.uniform(0.7, 1.3)
            held[t:min(end, t + max(1, round(length * part))), groups[0]] = 1
            t, groups = t + max(1, round(length)), groups[::-1]
        t = end
    return held


def combinations(keys):
    """All combinations of the keys, or the first 16: uint8 (C, K), none of them held in the first."""
    return (np.arange(min(2 ** keys, 16))[:, None] >> np.arange(keys) & 1).astype(np.uint8)


def load_gaits(path):
    """The gaits that search_gaits.py found: a list of dicts, empty if there is no such file."""
    return (data.read_json(path) or {"gaits": []})["gaits"]


@dataclass
class Policy:
    """Says which keys an episode plays: policy(episode) -> keys uint8 (L, K), skip. The same seed and episode always
    give the same. `lists` holds the episodes whose keys are given, by number."""
    name: str
    keys: int
    frames: int
    ticks_per_frame: int
    seed: int
    gaits: list
    lists: dict = field(default_factory=dict)

    def __call__(self, episode):
        if episode in self.lists:
            return self.lists[episode]
        if self.name == "choices":
            return self.choose(episode)
        chance = np.random.default_rng([self.seed, episode])
        if self.name == "held":
            return self.hold(episode, chance), 0
        kind = self.name
        if kind == "mix":
            kind = chance.choice(["random", "human", "gait", "switch", "held"], p=[0.25, 0.2, 0.3, 0.15, 0.1])
        if kind == "random":
            return random_keys(self.frames, self.keys, chance), 0
        if kind == "held":
            return self.hold(int(chance.integers(0, 20)), chance, rest=0.3), 0
        if kind == "human":
            return human_keys(self.frames, self.keys, self.ticks_per_frame, chance), 0
        return self.run(chance, switch=kind == "switch")

    def hold(self, episode, chance, rest=0.0):
        """What nobody plays for long, in turn: no key, all keys, each key alone; then any combination, held after a
        while -> keys (T, K). rest: how often it is none."""
        keys = np.zeros((self.frames, self.keys), np.uint8)
        if episode == 1:
            keys[:] = 1
        elif 2 <= episode < 2 + self.keys:
            keys[:, episode - 2] = 1
        elif episode:
            keys[:] = random_keys(self.frames, self.keys, chance)
            choice, start = chance.integers(0, 2, self.keys), chance.integers(0, 1 + self.frames // 2)
            keys[start:] = choice * (rest == 0 or chance.random() >= rest)
        return keys

    def choose(self, episode):
        """The same moment of play, then each combination of keys in turn -> keys (L, K), skip: FORK frames up to the
        moment, the rest of the episode with the combination held."""
        choices = combinations(self.keys)
        moment, n = divmod(episode, len(choices))
        chance = np.random.default_rng([self.seed, moment])
        before = Policy("mix" if self.gaits else "random", self.keys, 200, self.ticks_per_frame, self.seed, self.gaits)
        keys, skip = before(moment)
        skip += int(chance.integers(0, 150))
        return np.vstack([keys[:skip + FORK - 1], np.repeat(choices[n:n + 1], self.frames - FORK + 1, 0)]), skip

    def run(self, chance, switch):
        """A window of a run: clean up to a random place of it, then with noise -> keys (L, K), skip."""
        length = np.array([gait["frames"] for gait in self.gaits]) * GRID // self.ticks_per_frame
        n = chance.choice(len(self.gaits), p=length / length.sum())  # so that every part of the track is seen
        skip = int(chance.integers(0, max(1, length[n] - self.frames // 4)))
        total = skip + self.frames
        # Where the noise begins: nowhere, at the start of the life, or within the window.
        onset = chance.choice([total, 0, skip + int(chance.integers(0, self.frames))], p=[0.25, 0.15, 0.6])
        level = 10 ** chance.uniform(-3, -1)  # from hardly any to about what a beginner does
        noisy = np.arange(total) >= onset
        drift = np.cumsum(noisy * chance.normal(level / 4, level / 2, total))  # the tempo wavers
        keys = gait_keys(self.gaits[n], total, self.ticks_per_frame, drift)
        slips = noisy[:, None] & (chance.random(keys.shape) < level)
        slips[0] = False
        for t in np.flatnonzero(slips.any(1)):  # a key is let go or pressed a frame late
            keys[t] = np.where(slips[t], keys[t - 1], keys[t])
        if switch:  # to random keys, or to none, and back
            at = onset = min(onset, skip + int(chance.integers(0, self.frames // 2)))
            while at < total:
                length = int(chance.integers(10, 80))
                part = keys[at:at + length]
                part[:] = random_keys(len(part), self.keys, chance) if chance.random() < 0.8 else 0
                at += length + int(chance.integers(10, 80))
        return keys, skip


# -------------------------------------------------------------------------------------------------------- key lists

def to_text(keys):
    """Keys uint8 (L, K) -> one or more hexadecimal digits a frame."""
    digits = -(-keys.shape[1] // 4)
    return "".join(f"{bits:0{digits}x}" for bits in (keys.astype(int) << np.arange(keys.shape[1])).sum(1))


def from_text(text, keys):
    """The text of to_text() -> uint8 (L, K). Raises ValueError that says what is wrong with it."""
    digits = -(-keys // 4)
    if not isinstance(text, str) or not re.fullmatch(f"([0-9a-fA-F]{{{digits}}})+", text):
        raise ValueError(f"keys must be {digits} hexadecimal digit(s) a frame")
    bits = np.array([int(text[i:i + digits], 16) for i in range(0, len(text), digits)])
    if bits.max() >= 1 << keys:
        raise ValueError(f"a frame holds more than the game's {keys} keys")
    return (bits[:, None] >> np.arange(keys) & 1).astype(np.uint8)


def save_lists(path, game, ticks_per_frame, lists):
    """Write key lists, (keys (L, K), skip) each, aside, then rename. One episode a line."""
    head = json.dumps({"game": game.name, "keys": game.keys, "ticks_per_frame": ticks_per_frame})[:-1]
    lines = ",\n".join(f'  {{"skip": {skip}, "keys": "{to_text(keys)}"}}' for keys, skip in lists)
    data.write_text(path, f'{head}, "episodes": [\n{lines}\n]}}\n')


def load_lists(path, game, ticks_per_frame, frames):
    """The episodes of a key list file as [(keys (L, K), skip)], each L = skip + `frames`; a longer one gives several
    windows, the last of which ends with it. Ends the program with one line if the file does not fit."""
    try:
        said = json.loads(Path(path).read_text())
        for name, value in (("game", game.name), ("keys", game.keys), ("ticks_per_frame", ticks_per_frame)):
            if said[name] != value:
                raise ValueError(f"{name} is {said[name]}, not {value}")
        windows = []
        for n, episode in enumerate(said["episodes"]):
            keys, skip = from_text(episode["keys"], len(game.keys)), episode.get("skip", 0)
            if not isinstance(skip, int) or skip < 0:
                raise ValueError(f"skip of episode {n} is {skip}, not a number of frames")
            last = len(keys) - frames
            if last < skip:
                raise ValueError(f"episode {n} has {len(keys) - skip} frames to record, --frames wants {frames}")
            windows += [(keys[:start + frames], start) for start in (*range(skip, last, frames), last)]
        if not windows:
            raise ValueError("it has no episodes")
        return windows
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"no {error} in it" if isinstance(error, KeyError) else error
        raise SystemExit(f"{path} is no key list for this recording: {what}") from None
