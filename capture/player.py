"""The player: a small controller that chooses the keys from z, its last step, and a clock.

Reads   player.json of a model folder (train_player.py): {game, encoder: start of its sha256, numbers: what
        was learned, metres: run in the dream, and how}

A key is held where its weights times the features are more than 0. Features are 1, the sine and cosine of the
clock, z, and its last step. The clock starts with each life.

Shapes: N dreams or games side by side, K keys, Z latent features, F = 3 + 2 Z features
"""
import numpy as np

import data
from dream import Model

PERIOD = 8.0  # frames of the clock before anything is learned
STARTS = 32   # in the real game: the n-th holds no key in its first n frames


class Player:
    """Chooses the keys of N dreams or games, each by its own numbers.

    numbers (N, 1 + K F): log of the clock's period over PERIOD, then the weights. dz_std: of meta.json."""

    def __init__(self, numbers, dz_std):
        self.numbers, self.dz_std = np.asarray(numbers, np.float32), np.float32(dz_std)
        features = 3 + 2 * len(self.dz_std)
        self.weights = self.numbers[:, 1:].reshape(len(self.numbers), -1, features)        # (N, K, F)

    @staticmethod
    def size(keys, features):
        """How many numbers there are to learn, for K keys and Z features."""
        return 1 + keys * (3 + 2 * features)

    def choose(self, z, step, frame):
        """z (N, Z), its last step (N, Z), frames since the life began -> keys uint8 (N, K)"""
        phase = frame * 2 * np.pi / (PERIOD * np.exp(self.numbers[:, 0]))
        clock = np.stack([np.ones(len(z)), np.sin(phase), np.cos(phase)], axis=1)
        features = np.concatenate([clock, z, step / self.dz_std], axis=1)
        return (np.einsum("nkf,nf->nk", self.weights, features) > 0).astype(np.uint8)

    def only(self, rows):
        """The same for some of the N."""
        return Player(self.numbers[rows], self.dz_std)


class LivePlayer:
    """Plays one real game: from frame to frame, as the Recorder's play_live() asks."""

    def __init__(self, path, wander=0.0, seed=0):
        """path: of player.json, beside its encoder. wander: std of the changes of its numbers in a life, by
        chance also a third or a tenth of it, or 0; seed: of these. Ends the program with one line if player
        and encoder do not fit."""
        self.model = Model(path.parent, threads=1)  # each worker has one core
        self.learned = load(path, self.model)
        self.sizes, self.seed = wander * np.array([0, 0.1, 0.3, 1]), seed

    def start(self, number):
        """Before an episode: no key is held in its first frames, as many as its number says."""
        self.rest, self.t = number % STARTS, 0
        self.rng = np.random.default_rng([self.seed, number])

    def __call__(self, frame, restart):
        """A frame uint8 (96, 96, 3), whether a life begins in it -> keys uint8 (K)"""
        z = self.model.encode(frame[None])
        if restart:
            self.life, self.z, numbers = 0, z, self.learned.numbers
            numbers = numbers + self.rng.choice(self.sizes) * self.rng.normal(size=numbers.shape)
            self.player = Player(numbers, self.learned.dz_std)
        keys = self.player.choose(z, z - self.z, self.life)[0]
        self.z, self.life, self.t = z, self.life + 1, self.t + 1
        return keys if self.t > self.rest else 0 * keys


def mark_of(model, graph="encoder.onnx"):
    """What a player remembers of a graph that it learned with: the beginning of its sha256."""
    return model.meta["sha256"][graph][:16]


def find_player(model):
    """The Player in a model's folder, if it learned with its encoder, or None."""
    path = model.folder / "player.json"
    is_its = (data.read_json(path) or {}).get("encoder") == mark_of(model)
    return load(path, model) if is_its else None


def load(path, model):
    """The Player of one game in a player.json. Ends the program with one line if it is none of this model."""
    try:
        player = data.parse_json(path.read_text())
        if player["encoder"] != mark_of(model):
            raise ValueError("it learned with another encoder")
        numbers = np.array(player["numbers"], np.float32)
        if numbers.shape != (Player.size(len(model.meta["keys"]), model.features),):
            raise ValueError(f"it has {numbers.size} numbers, which does not fit the model's keys and z")
        if not np.isfinite(numbers).all():
            raise ValueError("it has numbers that are not finite")
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise SystemExit(f"{path} does not fit this model ({data.reason(error)}): "
                         "run train_player.py") from None
    return Player(numbers[None], model.meta["dz_std"])
