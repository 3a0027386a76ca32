"""What several tests share: running the project's scripts, and what a run leaves behind."""
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRESS = re.compile(r"%\||(frames|patterns) \[")  # how a progress bar's line is known
PATIENCE = 10  # seconds that what a stopped run leaves behind may take to end


def run(script, *args, **options):
    """Run one of the project's scripts -> its result, with stdout and stderr as text."""
    return subprocess.run([sys.executable, ROOT / script, *map(str, args)], capture_output=True, text=True, **options)


def collect(folder, *args, workers=2, **options):
    """Run collect.py on a data folder -> its result, with stdout and stderr as text."""
    return run("collect.py", "--data", folder, "--workers", workers, *args, timeout=120, **options)


def episodes(folder, game="runner"):
    """The bytes of every recorded episode by file name."""
    return {path.name: path.read_bytes() for path in sorted((folder / game / "frames").glob("*.npz"))}


def complaint(result):
    """The one line with which a run ended; fails if there are more. Progress bars do not count."""
    lines = [line for line in re.split(r"[\r\n]+", result.stderr) if line.strip() and not PROGRESS.search(line)]
    assert result.returncode != 0 and len(lines) == 1, result.stderr
    return lines[0]


def family(mark):
    """Command lines of the running processes that inherited this mark, by process number (Linux: /proc)."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ, open(f"/proc/{pid}/cmdline", "rb") as line:
                if mark.encode() in environ.read():
                    found[int(pid)] = line.read().replace(b"\0", b" ").decode()
        except OSError:  # it has just ended
            continue
    return found


def left_over(mark):
    """What still runs of a family after PATIENCE seconds."""
    end = time.monotonic() + PATIENCE
    while (found := family(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    return found
