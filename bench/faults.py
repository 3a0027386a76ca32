"""Stop every step of a tiny chain at random moments: does it end with the bytes of one left alone?

    python bench/faults.py                        # 30 faults, about 10 minutes
    python bench/faults.py --faults 200 --minutes 90 --seed 1

Reads   nothing; the chain records the open runner into a temporary folder
Prints  whether two undisturbed chains are equal; for each fault the step, the moment, what it said; a table

Faults: SIGTERM; SIGKILL of the step; SIGKILL of all its processes, as when memory runs out; a full disk (a
small tmpfs, which needs root on Linux). After one the step is run again; at the end of a chain each file is
compared. Times, and the folder's name, are left out of what is compared. Linux only.
"""
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from helpers import left_over  # noqa: E402

import data  # noqa: E402

STEPS = (("collect.py", "--episodes", 21, "--frames", 48, "--policy", "random"),
         ("collect.py", "--held-out", "--lives", 2, "--rhythms", 4),
         ("train_ae.py", "--epochs", 2),
         ("encode.py", "--live", 23),
         ("train_lstm.py", "--hidden", 48, "--widths", 80, 40, "--rollout", 4, "--batch", 2, "--epochs", 2),
         ("export.py",))
KINDS = ("SIGTERM", "SIGKILL", "SIGKILL of all", "full disk")
DISK_MB = 120        # of the tmpfs: a chain takes about a third of it
PATIENCE = 300       # seconds that a step may take
CHANGES = (rb'"seconds": \d+', rb'"model.js": "\w+"')  # of meta.json: how long it took, and the hash of that


class Chain:
    """A data folder on a small disk of its own, and the processes that write to it."""

    def __init__(self, temporary, name):
        self.root, self.temp = temporary / name / "data", temporary / name / "temp"  # meta.json says "data"
        self.root.mkdir(parents=True)
        self.temp.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", self.root]
        self.is_disk = subprocess.run(mount, capture_output=True).returncode == 0

    def start(self, step):
        script, *args = step
        self.mark = uuid.uuid4().hex  # its processes are known by it
        command = [sys.executable, ROOT / script, "--data", self.root, *args]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(self.temp), "MARK": self.mark}
        return subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True, start_new_session=True, env=environment)

    def finish(self, step):
        """Run a step to its end -> seconds. Ends the program if it fails."""
        start = time.monotonic()
        process = self.start(step)
        _, stderr = process.communicate(timeout=PATIENCE)
        if process.returncode:
            raise SystemExit(f"{step[0]} failed: {stderr[-2000:]}")
        return time.monotonic() - start

    def size(self):
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def disturb(self, step, kind, seconds, room):
        """Start a step and let a fault happen -> the last line that it printed, and what is wrong, or "".
        seconds: until it is stopped. room: bytes that a full disk has left."""
        filler = self.root / "filler"
        if kind == "full disk":
            disk = os.statvfs(self.root)
            filler.write_bytes(bytes(max(0, disk.f_bavail * disk.f_bsize - room)))
        process = self.start(step)
        try:
            process.wait(PATIENCE if kind == "full disk" else seconds)
        except subprocess.TimeoutExpired:
            if kind == "SIGKILL of all":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.send_signal(getattr(signal, kind.split()[0]))
        _, stderr = process.communicate(timeout=PATIENCE)
        filler.unlink(missing_ok=True)
        last = re.split(r"[\r\n]+", stderr.strip())[-1]
        problem = "a traceback: " + stderr[-2000:] if "Traceback" in stderr else ""
        ends = 0, 130, -signal.SIGTERM  # the last one while Python itself starts or ends
        if kind == "SIGTERM" and process.returncode not in ends:
            problem = f"exit code {process.returncode}: {last}"
        if kind == "full disk" and process.returncode and "cannot write to" not in last:
            problem = f"a full disk, and it says: {last}"
        if rest := left_over(self.mark):
            problem = f"processes that are left: {rest}"
        return f"exit code {process.returncode}, {last[:90]!r}", problem

    def contents(self):
        """{name: hash} of all files that a chain leaves."""
        return {path.relative_to(self.root).as_posix(): self.hash_of(path)
                for path in sorted(self.root.rglob("*")) if path.is_file()}

    def hash_of(self, path):
        if path.suffix == ".pt":  # of checkpoints all but times, and the command with its folder
            checkpoint = torch.load(path, weights_only=True)
            parts = [checkpoint["config"], checkpoint.get("figures"), checkpoint.get("epoch"),
                     *(weight.numpy().tobytes() for weight in checkpoint["weights"].values())]
            return hashlib.sha256(repr(parts).encode()).hexdigest()
        content = path.read_bytes().replace(str(self.root).encode(), b"")
        if path.name in ("meta.json", "model.js"):
            for pattern in CHANGES:
                content = re.sub(pattern, b"", content)
        return hashlib.sha256(content).hexdigest()

    def close(self):
        if self.is_disk:
            subprocess.run(["umount", self.root], check=True)


def compare(contents, wanted):
    """What differs between two chains -> a list of words."""
    names = sorted(contents.keys() | wanted.keys())
    return [name for name in names if contents.get(name) != wanted.get(name)]


def undisturbed(temporary):
    """Two chains left alone -> what differs, contents, seconds and bytes of
    each step of one."""
    chains, seconds, sizes = [], [], []
    for name in ("first", "second"):
        chain = Chain(temporary, name)
        seconds, sizes = [], [0]
        for step in STEPS:
            seconds.append(chain.finish(step))
            sizes.append(chain.size())
        chains.append(chain.contents())
        chain.close()
    different = compare(*chains)
    print(f"two undisturbed chains, {len(chains[0])} files, {sum(seconds):.0f} s: "
          + (f"DIFFERENT: {', '.join(different)}" if different else "equal bytes"), flush=True)
    return different, chains[0], seconds, [b - a for a, b in zip(sizes, sizes[1:])]


def main():
    parser = data.bare_parser(__doc__)
    parser.add_argument("--faults", type=int, default=30, help="how many, over all steps in turn")
    parser.add_argument("--each", type=int, default=5, help="of them in one step before it may end")
    parser.add_argument("--minutes", type=float, default=60, help="no chain starts later")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rng, end = random.Random(args.seed), time.monotonic() + 60 * args.minutes
    counts, left, chains = Counter(), args.faults, 0
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        problems, wanted, seconds, sizes = undisturbed(Path(temporary))
        while left > 0 and time.monotonic() < end:
            chain, chains = Chain(Path(temporary), f"chain{chains}"), chains + 1
            for step, usual, size in zip(STEPS, seconds, sizes):
                for _ in range(min(args.each, left)):
                    kind = rng.choice(KINDS if chain.is_disk else KINDS[:-1])
                    moment, room = rng.uniform(0, usual), rng.randrange(max(size, 1))
                    words, problem = chain.disturb(step, kind, moment, room)
                    counts[step[0], kind] += 1
                    left -= 1
                    when = f"{room / 1e6:.1f} MB" if kind == "full disk" else f"{moment:.1f} s"
                    print(f"{step[0]:14} {kind:14} after {when:7} | {words}", flush=True)
                    if problem:
                        problems.append(f"{step[0]}, {kind}: {problem}")
                        print(f"FAULT: {problems[-1]}", flush=True)
                chain.finish(step)
            if different := compare(chain.contents(), wanted):
                problems.append(f"other files than undisturbed: {', '.join(different)}")
                print(f"FAULT: {problems[-1]}", flush=True)
            if rest := [path.name for path in chain.temp.iterdir() if path.is_dir()]:
                print(f"left in the temporary folder: {', '.join(rest)}")
            chain.close()
    print(f"{sum(counts.values())} faults in {chains} chains, {len(problems)} problems: "
          + ", ".join(f"{step} {kind} {count}" for (step, kind), count in sorted(counts.items())))
    raise SystemExit(1 if problems else 0)


if __name__ == "__main__":
    main()
