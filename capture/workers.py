"""Recording in several processes, and the options of what records: collect.py and `encode.py --live`."""
import contextlib
import hashlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import sync_playwright

import data
from capture import policies
from capture.browser import TIMEOUT, GameError, Lost, Recorder
from data import SIZE

VERSION = "0.1.0"           # of this project, for meta.json
FRAMES, TICKS_PER_FRAME = 256, 3
START = 10                  # seconds in which a worker and its browser start
ATTEMPTS = 3                # at an episode, if the browser dies


def default_workers():
    """One browser per core, as long as each has 2 GB of memory."""
    return max(1, min(os.cpu_count(), data.memory_bytes() // (2 * 10 ** 9)))


def add_worker_arguments(parser):
    """The options of a program that plays a game."""
    parser.add_argument("--url", help="another address of the game's page, or the .html file of a local copy")
    parser.add_argument("--workers", type=int, default=default_workers(), help="browsers side by side")
    parser.add_argument("--timeout", type=float, default=TIMEOUT,
                        help="seconds that a page may take to load, or a browser to play 500 frames")


def add_arguments(parser):
    """The options of a program that records. Some default to None: see fill_arguments()."""
    add_worker_arguments(parser)
    parser.add_argument("--frames", type=int, help=f"frames of an episode ({FRAMES}, or as recorded before)")
    parser.add_argument("--ticks-per-frame", type=int,
                        help=f"game updates between two frames ({TICKS_PER_FRAME}, or as recorded before)")
    parser.add_argument("--policy", choices=policies.POLICIES,
                        help="which keys: random, gaits that run, human-like, held for long, every "
                             "combination at the same moments, or a mix (the default if there are gaits)")
    parser.add_argument("--supersample", type=int, default=2,
                        help="WebGL games: drawn at 96 times this, then averaged (1 to 4)")
    parser.add_argument("--seed", type=int, default=0)


def fill_arguments(args, recording):
    """Fill in the options that were left out: from the recording (its meta.json, or None), else the
    defaults."""
    recording = recording or {"frames": FRAMES, "ticks_per_frame": TICKS_PER_FRAME}
    if args.frames is None:
        args.frames = recording["frames"]
    if args.ticks_per_frame is None:
        args.ticks_per_frame = recording["ticks_per_frame"]


def arguments_of(recording, args):
    """Set args as in a recording (its meta.json), to record more of the same."""
    args.frames, args.ticks_per_frame = recording["frames"], recording["ticks_per_frame"]
    args.policy, args.seed = recording["policy"]["name"], recording["seed"]
    args.supersample = recording["viewport"][0] // SIZE


def check_arguments(args, episodes):
    """End the program if an option of add_arguments(), or the number of episodes, is out of range."""
    if min(episodes, args.ticks_per_frame, args.workers) < 1 or args.frames < 2 or args.seed < 0:
        raise SystemExit("episodes, --ticks-per-frame and --workers must be at least 1, --frames 2, --seed 0")
    if args.supersample not in (1, 2, 3, 4) or args.timeout <= 0:
        raise SystemExit("--supersample must be 1, 2, 3 or 4, --timeout more than 0")


def make_policy(game, args):
    """The policy that these options ask for. args: those of add_arguments()."""
    gaits = policies.load_gaits(game.gaits)
    name = args.policy or ("mix" if gaits else "random")
    if name in ("mix", "gait") and not gaits:
        raise SystemExit(f"{game.name} has no gaits in {game.gaits}: run  python -m capture.search_gaits "
                         f"--game {args.game}  first, or use --policy random")
    return policies.Policy(name, len(game.keys), args.frames, args.ticks_per_frame, args.seed, gaits)


def describe(game, args):
    """How episodes are recorded, for the meta.json beside them -> dict. args: those of add_arguments()."""
    policy = make_policy(game, args)
    keys = {"name": policy.name}
    if policy.name in ("random", "mix"):
        keys |= {"press": policies.PRESS, "let_go": policies.LET_GO}
    if policy.name in ("gait", "mix"):
        keys["gaits"] = hashlib.sha256(game.gaits.read_bytes()).hexdigest()[:12]
    side = SIZE * args.supersample if game.webgl else SIZE
    return {"game": game.name, "url": game.home, "keys": game.keys, "tick_ms": game.tick_ms,
            "ticks_per_frame": args.ticks_per_frame, "frames": args.frames, "seed": args.seed, "policy": keys,
            "viewport": [side, side], "version": VERSION}


def check_meta(path, meta, ignored=("version",)):
    """End the program if the episodes beside this meta.json were recorded in another way."""
    old = data.read_json(path) or meta
    for name, value in meta.items():
        if old.get(name) != value and name not in ignored:
            raise SystemExit(f"{path.parent} was recorded with {name} {old.get(name)}, not {value}: name "
                             "another --data, or move that folder away")


# ---------------------------------------------------------------------------------------------- processes

def play(recorder, make_recorder, policy, episode, events):
    """Play one episode, again in a new browser if this one dies -> the recorder (maybe a new one), arrays."""
    keys, skip = policy(episode)
    for attempt in range(ATTEMPTS):
        try:
            if recorder is None:
                recorder = make_recorder()
                events.put(("browser", recorder.facts))
            return recorder, recorder.play(keys, policy.ticks_per_frame, skip)
        except Lost as error:
            if attempt == ATTEMPTS - 1:
                raise
            events.put(("lost", f"{error}: episode {episode} is recorded again in a new browser"))
            if recorder is not None:
                recorder.close()
            recorder = None
    return None


def end_with_parent():
    """End this process as soon as its parent has ended."""
    multiprocessing.parent_process().join()
    os._exit(1)


def work(game, policy, options, episodes, events, sink):
    """A worker process: play the numbered episodes, give each to `sink`, report to the queue `events`."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker at once, and its browser with it
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            def make_recorder():
                return Recorder(playwright, game, options["supersample"], options["timeout"])

            recorder = None
            for episode in episodes:
                recorder, arrays = play(recorder, make_recorder, policy, episode, events)
                events.put(("episode", (episode, sink(episode, arrays))))
            if recorder:
                recorder.close()
    except (GameError, SystemExit, BrowserError) as error:
        events.put(("error", str(error)))
    except queue.Empty:
        events.put(("error", f"{game.name}: no episode came back within {options['timeout']:g} s"))
    except OSError as error:
        events.put(("disk", (error.errno, error.strerror, error.filename)))


@contextlib.contextmanager
def no_interrupt():
    """Processes that are started inside ignore Ctrl-C, which would print a traceback while they import."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def record(game, policy, episodes, args, sink):
    """Record the numbered episodes in args.workers processes. Yields ("browser", Recorder.facts) for each
    browser that has started, ("episode", (number, what sink(number, arrays) returned)) for each episode that
    is done, and ("lost", message) for each browser that died.

    args: those of add_arguments(). sink: picklable, called in the worker. Ends the program with one line if
    the game cannot be played; raises OSError if the sink cannot write."""
    spawn = multiprocessing.get_context("spawn")
    events, options = spawn.Queue(), {"supersample": args.supersample, "timeout": args.timeout}
    processes = [spawn.Process(target=work, daemon=True,
                               args=(game, policy, options, episodes[n::args.workers], events, sink))
                 for n in range(min(args.workers, len(episodes)))]
    with no_interrupt():
        for process in processes:
            process.start()
    # A page whose script never ends does not answer: it hangs if there is no event for so many seconds
    patience = START + args.timeout * (1 + policy.frames / 500)
    missing, last_event = len(episodes), time.monotonic()
    try:
        while missing:
            try:
                kind, value = events.get(timeout=1)
            except queue.Empty:
                if not any(process.is_alive() for process in processes):
                    raise SystemExit(f"{game.name}: every recording process has died; what was recorded is "
                                     "kept, run the same command again") from None
                if time.monotonic() - last_event > patience:
                    raise SystemExit(f"{game.name}: nothing came back for {patience:g} s: the game hangs, or "
                                     "needs a longer --timeout. What was recorded is kept") from None
                continue
            last_event = time.monotonic()
            if kind == "error":
                time.sleep(0.5)  # Ctrl-C ends the browsers, too: then it interrupts this sleep
                raise SystemExit(value)
            if kind == "disk":
                raise OSError(*value)
            if kind == "episode":
                missing -= 1
            yield kind, value
    finally:
        if missing or sys.exc_info()[0]:
            for process in processes:  # one that has failed ends by itself: let it close its browser
                process.join(timeout=1)
                process.terminate()
        for process in processes:
            process.join(timeout=10)


def record_with_bar(game, policy, episodes, args, sink, bar, on_browser=lambda facts: None):
    """record() with a tqdm bar of frames -> yields (number, what sink(number, arrays) returned) of each episode.
    on_browser: is told the facts of each browser that has started."""
    for event, value in record(game, policy, episodes, args, sink):
        if event == "episode":
            yield value
            bar.update(policy.frames)
        elif event == "lost":
            bar.write(value)
        else:
            on_browser(value)
