"""How fast the runner is recorded, and what it costs: the whole process tree, measured in /proc.

Reads   games/runner.py, docs/runner
Writes  episodes, as collect.py does, into a temporary folder that is removed

    python tests/benchmark.py --seconds 20          # Linux only
"""
import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import collect  # noqa: E402
import recorder  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0
SAMPLE = 2  # seconds between two looks at the memory: a look costs a few milliseconds of each process


def processes():
    """{pid: (parent, seconds of CPU time with that of its ended children, command)} of every process."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            command = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:  # it has just ended
            continue
        found[int(pid)] = int(fields[1]), sum(map(int, fields[11:15])) / TICK, command
    return found


def tree(pid, table):
    """The process and all below it."""
    return [pid, *(p for child, (parent, _, _) in table.items() if parent == pid for p in tree(child, table))]


def memory(pid):
    """Resident and proportional memory of one process in MB: the second counts what is shared once."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
    except OSError:  # it has just ended
        return 0, 0
    return [int(rollup[rollup.index(name) + 1]) / 1000 for name in ("Rss:", "Pss:")]


def spent():
    """Seconds of CPU time of this process and all below it, up to now."""
    table = processes()
    return sum(table[pid][1] for pid in tree(os.getpid(), table))


def workers(table):
    """The processes that record, each with a browser below it."""
    return [p for p, (parent, _, line) in table.items() if parent == os.getpid() and "spawn_main" in line]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="how long to measure after the warm-up")
    recorder.add_arguments(parser)
    args = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        raise SystemExit("benchmark.py reads /proc: it needs Linux")

    folder = tempfile.TemporaryDirectory()
    episodes = recorder.record(recorder.load_game("runner"), range(10 ** 4), args.seed, args.frames,
                               args.ticks_per_frame, args.workers, collect.Save(Path(folder.name)))
    peaks, warm_up, frames, looked = {}, 2 * args.workers, 0, 0
    for kind, _ in episodes:
        if kind != "episode":
            continue
        now = time.monotonic()
        if warm_up:  # two episodes a worker: then every browser is there and its code is compiled
            warm_up -= 1
            start, cpu = now, spent()
            continue
        frames += args.frames
        if now - looked > SAMPLE:
            looked, table = now, processes()
            for worker in workers(table):
                sizes = [memory(pid) for pid in tree(worker, table)]
                peaks[worker] = [max(a, sum(b)) for a, b in zip(peaks.get(worker, (0, 0)), zip(*sizes))]
        if now - start > args.seconds:
            break
    seconds, cpu = now - start, spent() - cpu
    episodes.close()
    folder.cleanup()
    print(f"{args.workers} workers on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"{args.ticks_per_frame} ticks a frame")
    print(f"frames/s        {frames / seconds:8.1f}   over {seconds:.1f} s after the warm-up")
    print(f"CPU ms/frame    {1000 * cpu / frames:8.2f}   of all processes")
    for n, (rss, pss) in enumerate(peaks.values()):
        print(f"memory MB       {pss:8.0f}   at most, PSS of worker {n} and its browser; RSS sum {rss:.0f}")


if __name__ == "__main__":
    main()
