"""Episodes and latents on disk: how they are written, checked, opened and split.

    data/<game>/frames/episode_000000.npz   frames (T, 96, 96, 3) uint8, keys (T, K) uint8, restart (T,) bool,
                                            over (T,) bool: the life has ended in this frame; where the game
                                            tells them pose (T, P, 3) and score (T,) float32
    data/<game>/frames/meta.json            how they were made
    held_out/<game>/<kind>.npz              whole episodes that only measure: the same arrays, with E in front
    data/<game>/latents/episode_000000.npz  z (T, Z) float32, keys (T, K), restart (T,), over (T,), score (T,)

Shapes: E episodes, T frames of an episode, Z latent features, K keys, P body parts
"""
import argparse
import errno
import json
import os
import re
import shlex
import signal
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

SIZE = 96                   # a frame is SIZE x SIZE pixels
KINDS = ("random", "gait", "human", "held")  # of held-out episodes' keys, as reports list them
HELD_OUT = 20               # one whole episode in 20 is never trained on: it only measures
CONTEXT = 10                # true frames that a rollout has seen before it begins


def first_line(error):
    """The first line of what an exception says, "" if it says nothing."""
    return next(iter(str(error).splitlines()), "")


def reason(error):
    """The kind of an exception and the first line of what it says, for one line to the user."""
    return f"{type(error).__name__}: {first_line(error)}"


def is_held_out(episode):
    """True for the numbers of episodes that training never sees (an int or an array of them)."""
    return episode % HELD_OUT == HELD_OUT - 1


def write_text(path, text):
    """Write a text file aside, then rename."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def write_json(path, value):
    """Write a JSON file aside, then rename."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def parse_json(text):
    """JSON text -> its value. Raises ValueError, also for what is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def read_json(path):
    """A JSON file's content, or None if it is not there. Ends the program with one line if it is damaged."""
    try:
        return parse_json(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SystemExit(f"{path} is not valid JSON ({error}): fix it or move it away") from None


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Shows the docstring as it is written, and the defaults that say something."""

    def _get_help_string(self, action):
        if action.default in (None, False, [], 0, argparse.SUPPRESS) or "default" in (action.help or ""):
            return action.help
        return super()._get_help_string(action)


def bare_parser(doc):
    """A parser without options, whose --help shows the script's docstring."""
    return argparse.ArgumentParser(description=doc, formatter_class=HelpFormatter)


def make_parser(doc):
    """A parser with the options of every step. doc: of the script."""
    parser = bare_parser(doc)
    parser.add_argument("--game", default="runner",
                        help="runner, qwop, or the path of a description like games/runner.py")
    parser.add_argument("--data", default="data", help="data folder, with a subfolder for each game")
    return parser


def without_folders(argument):
    """An argument as text, an absolute path as its last name, also after `=`: a model that is shared tells no
    user names."""
    option, equals, value = str(argument).rpartition("=")
    return option + equals + (Path(value).name if Path(value).is_absolute() else value)


def command_line():
    """The command that runs this program, as it is written down of what it makes."""
    return shlex.join([Path(sys.argv[0]).name, *map(without_folders, sys.argv[1:])])


def difference(meta, own):
    """The first thing in which a meta.json differs from what is `own` {name: value}, as "keys [...], not
    [...]"; None if nothing does."""
    return next((f"{name} {meta.get(name)!r}, not {value!r}" for name, value in own.items()
                 if meta.get(name) != value), None)


def run(main, stopped):
    """Run a script's main(). Ctrl-C, SIGTERM and SIGHUP end it with the line `stopped` and exit code 130."""
    asked = []

    def stop(number, frame):
        asked.append(number)
        raise KeyboardInterrupt

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) != signal.SIG_IGN:  # as nohup does
            signal.signal(number, stop)
    try:
        main()
    except (KeyboardInterrupt, Exception):
        if not asked:  # torch's export, for one, may turn the KeyboardInterrupt into another error
            raise
        print(f"\nstopped: {stopped}", file=sys.stderr)
        raise SystemExit(130) from None


@contextmanager
def lock(path):
    """Keep a folder or file for this process. Ends the program with one line if another one writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=0):
            yield
    except Timeout:
        raise SystemExit(f"another process writes to {path}: wait for it, or name another --data") from None


@contextmanager
def disk_errors(folder):
    """End the program with one line when the disk is full or may not be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EFBIG):
            raise
        raise SystemExit(f"cannot write to {folder}: {error.strerror}. Nothing already made is lost: "
                         "make room and run the same command again") from None


# ------------------------------------------------------------------------------------------ recorded episodes

def first_life(over, metres):
    """Metres (..., T) that were run when the first life ends, over bool (..., T) -> (...)"""
    return np.where(over.cumsum(-1) == 0, metres, 0).max(-1)


def episode_path(frames_folder, episode):
    return frames_folder / f"episode_{episode:06d}.npz"


def episode_files(frames_folder):
    """The recorded episodes of a folder as {number: path}, in order. Half-written files have another name."""
    return {int(path.stem[8:]): path for path in sorted(frames_folder.glob("episode_*.npz"))
            if re.fullmatch(r"episode_\d{6,}", path.stem)}


def save_episode(path, arrays):
    """Write one episode as .npz aside, then rename. The same arrays always give the same bytes."""
    part = path.with_suffix(".part")
    try:
        with open(part, "wb") as file:
            np.savez_compressed(file, **arrays)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_episode(path, names=("frames", "keys", "restart")):
    """Read the named arrays of one episode -> dict. Raises ValueError that says what is wrong with it."""
    episode = read_arrays(path, names)
    check_episode(episode, names)
    return episode


def read_arrays(path, names):
    """Those of the named arrays that an .npz file has -> dict. Raises ValueError if it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names if name in archive}
    except PermissionError:  # the file may be whole
        raise
    except Exception as error:  # numpy has no kind of its own for this
        raise ValueError(f"damaged or not an .npz file ({reason(error)})") from None


def check_episode(episode, names=("frames", "keys", "restart")):
    """Raise ValueError that says what is wrong with an episode's arrays. names: those it should have."""
    optional = {"pose", "score"} if "z" in names else {"over", "pose", "score"}
    for name in names:
        if name not in episode and name not in optional:
            raise ValueError(f"no array '{name}' in it: not such an episode")
    first = next(iter(episode.values()))
    length = len(first) if first.ndim else 0
    if length < 2:
        raise ValueError(f"an episode of {length} frames, at least 2 are needed")
    wanted = {"frames": (np.uint8, (length, 96, 96, 3)), "keys": (np.uint8, (length, None)),
              "restart": (np.bool_, (length,)), "over": (np.bool_, (length,)),
              "z": (np.floating, (length, None)), "pose": (np.float32, (length, None, 3)),
              "score": (np.float32, (length,))}
    for name, array in episode.items():
        dtype, shape = wanted[name]
        fits = len(shape) == array.ndim and all(n in (None, m) for n, m in zip(shape, array.shape))
        if not np.issubdtype(array.dtype, dtype) or not fits:
            raise ValueError(f"'{name}' is {array.dtype} {array.shape}, not {dtype.__name__} {shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"'{name}' has numbers that are not finite")
    if "keys" in episode and episode["keys"].max(initial=0) > 1:
        raise ValueError("'keys' has other numbers than 0 and 1")


def held_out_folder(folder):
    """Where the held-out episodes of a game's folder lie: in it, or else in this repository's own."""
    own, shipped = folder / "held_out", Path(__file__).parent / "held_out" / folder.name
    return shipped if shipped.is_dir() and not any(own.glob("*.npz")) else own


def load_held_out(folder):
    """The held-out episodes by the kind of keys they were played with: {kind: dict of arrays (E, T, ...)}.
    Of M more there are the first frames, all keys and falls: more_frames, more_keys, more_over (M, ...).
    -> these, and rhythms, of which there are keys (N, T, K), over (N, T), score (N, T), or an empty dict.

    Ends the program with one line if there are none, or a file is damaged."""
    kinds = {}
    for path in sorted(folder.glob("*.npz")):
        needed = ("keys", "over", "score") if path.stem == "rhythms" else ("frames", "keys", "restart")
        try:
            arrays = read_arrays(path, ("frames", "keys", "restart", "over", "pose", "score"))
            if not set(needed) <= set(arrays) or min(a.ndim for a in arrays.values()) < 2:
                raise ValueError("not a file of collect.py --held-out")
            for episode in zip(*arrays.values(), strict=True):
                check_episode(dict(zip(arrays, episode)), needed)
            kinds[path.stem] = arrays | read_arrays(path, ("more_frames", "more_keys", "more_over"))
        except ValueError as error:
            raise SystemExit(f"{path}: {error}: move it away, and run collect.py --held-out again") from None
    rhythms = kinds.pop("rhythms", {})
    if not kinds:
        raise SystemExit(f"no held-out episodes in {folder}: run collect.py --held-out first")
    return kinds, rhythms


def load_episodes(folder, names=("frames", "keys", "restart"), numbers=None, maker="collect.py"):
    """Yield (number, arrays) of every readable episode, or of those of the numbers.

    A damaged file is named and left out. Ends the program with one line if there is no episode. maker: the
    script that writes them."""
    files = episode_files(folder)
    if not files:
        raise SystemExit(f"no episodes in {folder}: run {maker} first")
    for number, path in files.items():
        if numbers is not None and number not in numbers:
            continue
        try:
            yield number, load_episode(path, names)
        except ValueError as error:
            print(f"left out: {path}: {error}; move it away, then {maker} makes it again")


def set_damaged_aside(folder, names):
    """Rename episodes without the named arrays to *.damaged, so that they are made again."""
    for path in episode_files(folder).values():
        try:
            load_episode(path, names)
        except ValueError as error:
            print(f"set aside as {path.with_suffix('.damaged').name}: {path}: {error}")
            path.replace(path.with_suffix(".damaged"))


def load_frames(frames_folder, memory):
    """The frames of all episodes -> uint8 (E, T, 96, 96, 3), numbers (E,).

    memory: bytes that they may take; more lie in a memory-mapped file, gone when the program ends."""
    count, frames, numbers = len(episode_files(frames_folder)), None, []
    for number, episode in load_episodes(frames_folder, ("frames",)):
        if frames is None:
            shape = (count, *episode["frames"].shape)
            if np.prod(shape) < memory:
                frames = np.empty(shape, np.uint8)
            else:
                file = tempfile.TemporaryFile(dir=frames_folder)  # noqa: SIM115 (open while the array lives)
                frames = np.memmap(file, np.uint8, "w+", shape=shape)
        if episode["frames"].shape != frames.shape[1:]:
            raise SystemExit(f"{episode_path(frames_folder, number)} has {len(episode['frames'])} frames, "
                             f"the first episode {frames.shape[1]}: "
                             "record them in different folders (--data)")
        frames[len(numbers)] = episode["frames"]
        numbers.append(number)
    if not numbers:
        raise SystemExit(f"no readable episodes in {frames_folder}: record more with collect.py")
    return frames[:len(numbers)], np.array(numbers)


def memory_bytes():
    """Memory of this machine in bytes, or 8 GB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 10 ** 9


@dataclass
class Latents:
    """The latents of all encoded episodes, and meta.json beside them."""
    numbers: np.ndarray     # (E,) in order
    z: np.ndarray           # (E, T, Z)
    keys: np.ndarray        # (E, T, K)
    restart: np.ndarray     # (E, T)
    over: np.ndarray        # (E, T)
    meta: dict
    score: np.ndarray = None  # (E, T) where the game tells it

    def split(self):
        """Which episodes to train on, which are held out: two int arrays that index the others."""
        held_out = is_held_out(self.numbers)
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def load_latents(folder):
    """All of data/<game>/latents. Ends the program with one line if there are none that fit together."""
    names = ("z", "keys", "restart", "over")
    episodes = dict(load_episodes(folder, (*names, "score"), maker="encode.py"))
    if all("score" in episode for episode in episodes.values()):
        names += ("score",)
    try:
        arrays = {name: np.stack([episode[name] for episode in episodes.values()]) for name in names}
    except ValueError:  # none, or of different shapes
        raise SystemExit(f"the {len(episodes)} readable episodes in {folder} do not fit together: "
                         "move them away and run encode.py again") from None
    return Latents(np.array(list(episodes)), meta=read_json(folder / "meta.json") or {}, **arrays)


def game_folder(data, game):
    """Where everything of one game lies: data/<game>. `game` may be the path of a game's description."""
    return Path(data) / Path(game).stem
