"""Episodes and latents on disk: how they are written, checked, opened and split.

    data/<game>/frames/episode_000000.npz   frames (T, 96, 96, 3) uint8, keys (T, K) uint8, restart (T,) bool,
                                            over (T,) bool: the life has ended in this frame; where the game tells
                                            them pose (T, 12, 3) and score (T,) float32
    data/<game>/frames/meta.json            how they were made
    held_out/<game>/<kind>.npz              whole episodes that only measure, all arrays with E in front; as in frames/
    data/<game>/latents/*.npy               z (E, T, Z) float32 or float16, keys (E, T, K) uint8, restart (E, T) bool,
                                            done (E,) bool

Shapes: E episodes, T frames of an episode, Z latent features, K keys
"""
import errno
import json
import lzma
import mmap
import os
import re
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np

SIZE = 96                   # a frame is SIZE x SIZE pixels
KINDS = ("random", "gait", "human", "held")  # of keys that play held-out episodes, in the order they are told of
HELD_OUT = 20               # one whole episode in 20 is never trained on: its frames only measure
CONTEXT = 10                # true frames that a dream has seen before it begins, where it is compared with the truth


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


def read_json(path):
    """A JSON file's content, or None if it is not there. Ends the program with one line if it is damaged."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SystemExit(f"{path} is not valid JSON ({error}): mend it or move it away") from None


@contextmanager
def disk_errors(folder):
    """End the program with one line when the disk is full or may not be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EFBIG):
            raise
        raise SystemExit(f"cannot write to {folder}: {error.strerror}. Nothing already made is lost: make room "
                         "and run the same command again") from None


# ---------------------------------------------------------------------------------------------- recorded episodes

def episode_path(frames_folder, episode):
    return frames_folder / f"episode_{episode:06d}.npz"


def episode_files(frames_folder):
    """The recorded episodes of a folder as {number: path}, in order. Half-written files have another name."""
    found = {}
    for path in sorted(frames_folder.glob("episode_*.npz")):
        if match := re.fullmatch(r"episode_(\d{6,})\.npz", path.name):
            found[int(match[1])] = path
    return found


def save_episode(path, arrays, small=False):
    """Write one episode as .npz aside, then rename. The same arrays always give the same bytes.

    small: a third less, and some thirty times slower."""
    part = path.with_suffix(".part")
    try:
        with zipfile.ZipFile(part, "w", compresslevel=1) as archive:
            for name, array in arrays.items():
                entry = zipfile.ZipInfo(f"{name}.npy")  # carries a fixed date
                entry.compress_type = zipfile.ZIP_LZMA if small else zipfile.ZIP_DEFLATED
                with archive.open(entry, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def load_episode(path, names=("frames", "keys", "restart")):
    """Read the named arrays of one episode -> dict. Raises ValueError that says what is wrong with the file."""
    episode = read_arrays(path, names)
    check_episode(episode, names)
    return episode


def read_arrays(path, names):
    """The named arrays of an .npz file, as far as it has them -> dict. Raises ValueError if it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names if name in archive}
    except (OSError, ValueError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError
            ) as error:
        raise ValueError(f"damaged or not an .npz file ({type(error).__name__}: {error})") from None


def check_episode(episode, names=("frames", "keys", "restart")):
    """Raise ValueError that says what is wrong with the arrays of one episode. names: those it should have."""
    for name in ("frames", "keys", "restart"):
        if name in names and name not in episode:
            raise ValueError(f"no array '{name}' in it: not an episode of collect.py")
    first = next(iter(episode.values()))
    length = len(first) if first.ndim else 0
    if length < 2:
        raise ValueError(f"an episode of {length} frames, at least 2 are needed")
    wanted = {"frames": (np.uint8, (length, 96, 96, 3)), "keys": (np.uint8, (length, None)),
              "restart": (bool, (length,)), "over": (bool, (length,)),
              "pose": (np.float32, (length, None, 3)), "score": (np.float32, (length,))}
    for name, array in episode.items():
        dtype, shape = wanted[name]
        fits = len(shape) == array.ndim and all(n in (None, m) for n, m in zip(shape, array.shape))
        if array.dtype != dtype or not fits:
            raise ValueError(f"'{name}' is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}")


def load_held_out(folder):
    """The episodes that only measure, by the kind of keys that play them: {kind: dict of arrays (E, T, ...)}. Of more
    of them there are only the first frames, all keys and falls: more_frames, more_keys, more_over (M, ...).

    Ends the program with one line if there are none, or a file is damaged."""
    kinds = {}
    for path in sorted(folder.glob("*.npz")):
        try:
            arrays = read_arrays(path, ("frames", "keys", "restart", "over", "pose", "score"))
            if not arrays or min(a.ndim for a in arrays.values()) < 2:
                raise ValueError("not a file of collect.py --held-out")
            for rows in zip(*arrays.values(), strict=True):
                check_episode(dict(zip(arrays, rows)))
            arrays |= read_arrays(path, ("more_frames", "more_keys", "more_over"))
        except ValueError as error:
            raise SystemExit(f"{path}: {error}: move it away, and run  python collect.py --held-out  again") from None
        kinds[path.stem] = arrays
    if not kinds:
        raise SystemExit(f"no held-out episodes in {folder}: run  python collect.py --held-out  first")
    return kinds


def load_episodes(frames_folder, names=("frames", "keys", "restart"), wanted=None):
    """Yield (number, arrays) of every readable episode, or of those whose number `wanted` accepts.

    A damaged file is named, renamed to *.damaged so that collect.py records it again, and not yielded.
    Ends the program with one line if nothing is there.
    """
    files = episode_files(frames_folder)
    if not files:
        game = frames_folder.parent.name
        raise SystemExit(f"no episodes in {frames_folder}: run  python collect.py --game {game}  first")
    for number, path in files.items():
        if wanted and not wanted(number):
            continue
        try:
            yield number, load_episode(path, names)
        except ValueError as error:
            aside = path.with_suffix(".damaged")
            path.replace(aside)
            print(f"set aside as {aside.name}: {path}: {error}")


def load_frames(frames_folder, wanted=None):
    """The frames of all episodes, or of those whose number `wanted` accepts.

    -> uint8 (E, T, 96, 96, 3), numbers (E,). In memory when they take less than half of it, else in a memory-mapped
    file beside the episodes."""
    count = sum(1 for n in episode_files(frames_folder) if not wanted or wanted(n))
    frames, numbers = None, []
    for number, episode in load_episodes(frames_folder, ("frames",), wanted):
        if frames is None:
            shape = (count, *episode["frames"].shape)
            if np.prod(shape) < memory_bytes() / 2:
                frames = np.empty(shape, np.uint8)
            else:
                frames = np.lib.format.open_memmap(frames_folder / "frames.npy", "w+", np.uint8, shape)
        if episode["frames"].shape != frames.shape[1:]:
            raise SystemExit(f"{episode_path(frames_folder, number)} has {len(episode['frames'])} frames, the first "
                             f"episode {frames.shape[1]}: record them in different folders (--data)")
        frames[len(numbers)] = episode["frames"]
        numbers.append(number)
    if not numbers:
        raise SystemExit(f"no readable episodes in {frames_folder}: record more with collect.py")
    return frames[:len(numbers)], np.array(numbers)


def load_poses(frames_folder, numbers):
    """The recorded poses of the numbered episodes -> float32 (E, T, P, 3). Ends the program if the game tells none."""
    wanted = set(numbers.tolist())
    episodes = [e for _, e in load_episodes(frames_folder, ("restart", "pose"), wanted=wanted.__contains__)]
    if not all("pose" in episode for episode in episodes):
        raise SystemExit(f"{frames_folder} holds no poses: this game does not tell them, leave out --pose")
    return np.stack([episode["pose"] for episode in episodes])


def memory_bytes():
    """Memory of this machine in bytes, or 8 GB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 10 ** 9


# ---------------------------------------------------------------------------------------------------------- latents

class Latents:
    """The latents of many episodes as memory-mapped arrays: z (E, T, Z), keys (E, T, K), restart (E, T), done (E,).

    An episode counts once `done` says so, which is written last: a stopped run leaves no half episode.
    """
    NAMES = ("z", "keys", "restart", "done")

    def __init__(self, folder, mode="r"):
        self.folder, self.put_since = folder, 0
        try:
            for name in self.NAMES:
                setattr(self, name, np.load(folder / f"{name}.npy", mmap_mode=mode))
        except (OSError, ValueError) as error:
            game = folder.parent.name
            raise SystemExit(f"no usable latents in {folder} ({error}): run  python encode.py --game {game}  "
                             "(move a damaged folder away first)") from None
        self.meta = read_json(folder / "meta.json") or {}

    @classmethod
    def create(cls, folder, episodes, frames, features, keys, meta, dtype=np.float32):
        """Open the store for writing with room for `episodes`; one that is there and made the same way is kept.

        dtype: of z; float16 takes half the disk, and is exact to 0.05%."""
        folder.mkdir(parents=True, exist_ok=True)
        shapes = {"z": (dtype, (episodes, frames, features)), "keys": (np.uint8, (episodes, frames, keys)),
                  "restart": (bool, (episodes, frames)), "done": (bool, (episodes,))}
        old = cls(folder) if read_json(folder / "meta.json") == meta and (folder / "done.npy").exists() else None
        if old is not None and old.z.dtype != dtype:
            raise SystemExit(f"{folder} holds {old.z.dtype}, not {np.dtype(dtype)}: name that one, or move it away")
        if old is not None and len(old.done) >= episodes and old.z.shape[1:] == (frames, features):
            return cls(folder, "r+")
        for name in reversed(cls.NAMES):  # `done` goes first, so that a half-made store never counts
            dtype, shape = shapes[name]
            path = folder / f"{name}.part.npy"
            array = np.lib.format.open_memmap(path, "w+", dtype, shape)
            if hasattr(os, "posix_fallocate"):  # a disk that gets full later would kill the process without a word
                with open(path, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            if old is not None and getattr(old, name).shape[1:] == shape[1:]:
                array[:len(old.done)] = getattr(old, name)
            array.flush()
        for name in cls.NAMES:
            os.replace(folder / f"{name}.part.npy", folder / f"{name}.npy")
        write_json(folder / "meta.json", meta)
        return cls(folder, "r+")

    def put(self, episode, z, keys, restart):
        """Store one episode: z (T, Z), keys (T, K), restart (T,)."""
        self.z[episode], self.keys[episode], self.restart[episode] = z, keys, restart
        self.done[episode] = True
        self.put_since += 1
        if self.put_since == 1000:  # give the pages that are written back, so that memory stays flat
            self.put_since = 0
            for name in self.NAMES:
                array = getattr(self, name)
                array.flush()
                if hasattr(mmap, "MADV_DONTNEED"):
                    array._mmap.madvise(mmap.MADV_DONTNEED)

    def split(self):
        """Numbers of the episodes there are -> (training, held out), two int arrays."""
        there = np.flatnonzero(self.done)
        held_out = is_held_out(there)
        return there[~held_out], there[held_out]


def game_folder(data, game):
    """Where everything of one game lies: data/<game>. `game` may be the path of a game's description."""
    return Path(data) / Path(game).stem
