"""Recording in several processes, and the options of what records: collect.py and `encode.py --live`."""
import contextlib
import hashlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import sync_playwright

import data
from capture import policies
from capture.browser import TIMEOUT, GameError, Lost, Recorder
from capture.player import LivePlayer
from data import SIZE

VERSION = "0.1.0"           # of this project, for meta.json
DEFAULTS = {"frames": 256, "ticks_per_frame": 3, "policy": None, "supersample": 2, "seed": 0}
START = 10                  # seconds in which a worker and its browser start
ATTEMPTS = 3                # at an episode, if the browser dies


def add_worker_arguments(parser):
    """The options of a program that plays a game."""
    parser.add_argument("--url", help="another address of the game's page, or the .html file of a local copy")
    most = data.memory_bytes() // (2 * 10 ** 9)  # each browser needs 2 GB
    parser.add_argument("--workers", type=int, default=max(1, min(os.cpu_count(), most)),
                        help="browsers side by side")
    parser.add_argument("--timeout", type=float, default=TIMEOUT,
                        help="seconds that a page may take to load, or a browser to play 500 frames")


def add_part(parser):
    """The option of a program whose episodes several machines may share."""
    parser.add_argument("--part", type=part, default=slice(None), metavar="K/N",
                        help="play every Nth episode from the Kth on: N machines share a recording, then "
                             "their folders are merged (default: 1/1)")


def part(text):
    """3/8 -> a slice: every eighth from the third on. Raises ValueError, which argparse reports."""
    k, n = map(int, text.split("/"))
    if not 1 <= k <= n:
        raise ValueError
    return slice(k - 1, None, n)


def add_arguments(parser):
    """The options of a program that records. Those without a default: see fill_arguments()."""
    add_worker_arguments(parser)
    add_part(parser)
    group = parser.add_argument_group(
        "recording", "what is left out is as the folder was recorded before, or as in brackets")
    group.add_argument("--frames", type=int, help=f"frames of an episode ({DEFAULTS['frames']})")
    group.add_argument("--ticks-per-frame", type=int,
                       help=f"game updates between two frames ({DEFAULTS['ticks_per_frame']})")
    group.add_argument("--policy", choices=policies.POLICIES,
                       help="which keys: random, gaits that run, human-like, held for long, every "
                            "combination at the same moments, new rhythms, or a mix (the default)")
    group.add_argument("--supersample", type=int,
                       help="WebGL games: drawn at 96 times this, 1 to 4, then averaged "
                            f"({DEFAULTS['supersample']})")
    group.add_argument("--seed", type=int, help=f"of the keys ({DEFAULTS['seed']})")


def fill_arguments(args, recording):
    """Fill in the options that were left out: from the recording (its meta.json, or None), else DEFAULTS."""
    known = DEFAULTS
    if recording:
        policy = recording["policy"] and recording["policy"]["name"]  # neither policy nor seed: a replay
        known = {"frames": recording["frames"], "ticks_per_frame": recording["ticks_per_frame"],
                 "policy": policy, "supersample": recording["viewport"][0] // SIZE,
                 "seed": recording["seed"] or 0}
    for name, value in known.items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)


def check_arguments(args, episodes):
    """End the program if an option of add_arguments(), or the number of episodes, is out of range."""
    if min(episodes, args.ticks_per_frame, args.workers) < 1 or args.frames < 2 or args.seed < 0:
        raise SystemExit("episodes, --ticks-per-frame and --workers must be at least 1, "
                         "--frames at least 2, --seed at least 0")
    if args.supersample not in (1, 2, 3, 4) or args.timeout <= 0:
        raise SystemExit("--supersample must be 1, 2, 3 or 4, --timeout more than 0")


def make_policy(game, args):
    """The policy that these options ask for. args: those of add_arguments()."""
    gaits, has_player = policies.load_gaits(game.gaits), bool(getattr(args, "player", None))
    if args.policy == "player" and not has_player:
        raise SystemExit("these episodes were chosen by a player: name it with --player in collect.py, "
                         "or another --data")
    name = "player" if has_player else args.policy or "mix"
    if name == "gait" and not gaits:
        raise SystemExit(f"{game.name} has no gaits in {game.gaits}: run  python -m capture.search_gaits "
                         f"--game {args.game}  first, or use --policy mix")
    return policies.Policy(name, len(game.keys), args.frames, args.ticks_per_frame, args.seed, gaits)


def describe(game, args, policy):
    """How a policy's episodes are recorded, for the meta.json beside them -> dict. args: those of
    add_arguments()."""
    keys = {"name": policy.name} if policy.name else None
    if policy.name in ("random", "mix"):
        keys |= {"press": policies.PRESS, "let_go": policies.LET_GO}
    if policy.name == "player":
        keys |= {"player": hashlib.sha256(args.player.read_bytes()).hexdigest()[:12]}
        keys |= {"wander": args.wander} if args.wander else {}
    if policy.name in ("gait", "mix") and policy.gaits:
        keys["gaits"] = hashlib.sha256(game.gaits.read_bytes()).hexdigest()[:12]
    side = SIZE * args.supersample if game.webgl else SIZE
    return {"game": game.name, "url": game.home, "keys": game.keys, "tick_ms": game.tick_ms,
            "ticks_per_frame": args.ticks_per_frame, "frames": args.frames, "seed": args.seed, "policy": keys,
            "viewport": [side, side], "description": game.digest, "version": VERSION}


def check_meta(path, meta, ignored=("version",)):
    """End the program if the episodes beside this meta.json were recorded in another way."""
    old = {"description": meta["description"], **(data.read_json(path) or meta)}  # earlier versions had none
    if wrong := data.difference(old, {n: value for n, value in meta.items() if n not in ignored}):
        raise SystemExit(f"{path.parent} was recorded with {wrong}: name another --data, or move that folder "
                         "away")


# ---------------------------------------------------------------------------------------------- processes

@dataclass
class Job:
    """What a worker process does. sink: picklable, called with the number and the arrays of an episode."""
    game: object
    args: object
    policy: policies.Policy = None
    sink: object = None

    # Of a worker process, which has one browser at a time
    recorder = None
    playwright = None
    player = None

    def get_recorder(self):
        """The worker's Recorder, opened at the first call. Raises GameError if the game cannot be played."""
        if self.recorder is None:
            try:
                self.playwright = self.playwright or sync_playwright().start()
                self.recorder = Recorder(self.playwright, self.game, self.args.supersample, self.args.timeout)
            except SystemExit as error:  # no browser: it would end this process alone
                raise GameError(str(error)) from None
        return self.recorder


job = None                  # of a worker process


def end_with_parent():
    """End this process as soon as its parent has ended."""
    multiprocessing.parent_process().join()
    os._exit(1)


def start_worker(its_job):
    global job
    job = its_job
    threading.Thread(target=end_with_parent, daemon=True).start()


@contextlib.contextmanager
def temporary_folder():
    """A temporary folder for browsers, in place of the system's. Those of killed runs are deleted."""
    system = Path(tempfile.gettempdir())
    for old in system.glob("dream-browsers-*"):
        with contextlib.suppress(OSError, Timeout):
            if time.time() - old.stat().st_mtime > 10:  # a younger one may not be locked yet
                with FileLock(old / ".lock", timeout=0):
                    shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="dream-browsers-"))
    os.environ["TMPDIR"] = str(folder)
    try:
        with FileLock(folder / ".lock"):
            yield
    finally:
        os.environ["TMPDIR"] = str(system)
        end = time.monotonic() + 5  # the browsers may still be ending
        while folder.exists() and time.monotonic() < end:
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(0.02)


@contextlib.contextmanager
def open_pool(count, its_job):
    """A pool of `count` processes with a Job; ends the program with one line if a GameError is raised there,
    or nothing comes back in time."""
    with temporary_folder():
        # Ctrl-C is for this process alone; SIGTERM waits until there is a whole pool, which can be ended
        asked, others = [], signal.signal(signal.SIGINT, signal.SIG_IGN)
        before = signal.signal(signal.SIGTERM, lambda *call: asked.append(call))
        pool = multiprocessing.get_context("spawn").Pool(count, start_worker, [its_job])
        with pool:
            signal.signal(signal.SIGINT, others)
            signal.signal(signal.SIGTERM, before)
            if asked:
                signal.raise_signal(signal.SIGTERM)
            try:
                yield pool
            except GameError as error:
                raise SystemExit(str(error)) from None
            except multiprocessing.TimeoutError:
                raise SystemExit(f"{its_job.game.name}: nothing came back in time: the game hangs, needs a "
                                 "longer --timeout, or memory has run out. Finished files are kept") from None


def play(episode):
    """In a worker: play one episode, again in a new browser if this one dies -> its number, what the sink
    returned, frames, Recorder.facts, lines about browsers that died and about errors of the page."""
    lost = []
    while True:
        try:
            recorder = job.get_recorder()
            frames, ticks = job.policy.frames, job.policy.ticks_per_frame
            if job.policy.name == "player":
                job.player = job.player or LivePlayer(job.args.player, job.args.wander, job.args.seed)
                job.player.start(episode)
                arrays = recorder.play_live(job.player, frames, ticks)
            else:
                keys, skip = job.policy(episode)
                arrays = recorder.play(keys, ticks, skip)
            lost += recorder.new_errors()
            return episode, job.sink(episode, arrays), len(arrays["keys"]), recorder.facts, lost
        except (Lost, BrowserError) as error:
            if job.recorder:
                job.recorder.close()
                job.recorder = None
            line = str(error) if isinstance(error, Lost) else f"{job.game.name}: {data.first_line(error)}"
            lost.append(f"{line}: episode {episode} is recorded again in a new browser")
            if len(lost) == ATTEMPTS:
                raise GameError(line) from None
        except SystemExit as error:  # of the sink: it would end this process alone
            raise GameError(str(error)) from None


def record(game, policy, episodes, args, sink, bar, folder=None, meta=None):
    """Record the numbered episodes in args.workers processes -> yields (number, what sink(number, arrays)
    returned) of each.

    args: those of add_arguments(). bar: tqdm of frames. folder: where meta, with the facts of the browser, is
    written as meta.json. Ends the program with one line if the game cannot be played; raises OSError if
    something cannot be written."""
    # A page whose script never ends does not answer, nor does a process that was killed
    patience = START + args.timeout * (1 + policy.frames / 500)
    known = None
    with open_pool(min(args.workers, len(episodes)) or 1, Job(game, args, policy, sink)) as pool:
        results = pool.imap_unordered(play, episodes)
        for _ in episodes:
            number, result, frames, facts, lost = results.next(patience)
            for line in lost:
                bar.write(line)
            if folder and facts != known:
                known = facts
                bar.write(f"in {facts['browser']}")
                data.write_json(folder / "meta.json", meta | facts)
            yield number, result
            bar.update(frames)
