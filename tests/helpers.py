"""What several tests share: running the project's scripts, and what a run leaves behind."""
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

ROOT = Path(__file__).parent.parent
PROGRESS = re.compile(r"%\||(frames|patterns) \[")  # how a progress bar's line is known
PATIENCE = 10  # seconds that what a stopped run leaves behind may take to end


def run(script, *args, **options):
    """Run a script (train_ae.py) or module (capture.search_gaits) -> its result, all output as text."""
    program = [ROOT / script] if script.endswith(".py") else ["-m", script]
    command = [sys.executable, *program, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def collect(folder, *args, workers=2, **options):
    """Run collect.py on a data folder -> its result, with stdout and stderr as text."""
    return run("collect.py", "--data", folder, "--workers", workers, *args, timeout=120, **options)


def episodes(folder, game="runner"):
    """The bytes of every recorded episode by file name."""
    return {path.name: path.read_bytes() for path in sorted((folder / game / "frames").glob("*.npz"))}


def complaint(result):
    """The one line with which a run ended; fails if there are more. Progress bars do not count."""
    lines = [line for line in re.split(r"[\r\n]+", result.stderr)
             if line.strip() and not PROGRESS.search(line)]
    assert result.returncode != 0 and len(lines) == 1, result.stderr
    return lines[0]


def sharing(browser):
    """As much of Playwright as capture/browser.py needs, whose browsers are all this one."""
    kind = SimpleNamespace(executable_path=browser.browser_type.executable_path, launch=lambda **_: browser)
    return SimpleNamespace(chromium=kind)


def refusal(main, *args):
    """The one line with which a script's main() refuses its arguments, run in this process."""
    with mock.patch("sys.argv", ["script", *map(str, args)]), pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, str) and "\n" not in caught.value.code
    return caught.value.code


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


def processes_of(pid):
    """Command lines of the process and all below it, by process number (Linux: /proc)."""
    parents, commands = {}, {}
    for other in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            parents[other] = int(Path(f"/proc/{other}/stat").read_text().rpartition(")")[2].split()[1])
            commands[other] = Path(f"/proc/{other}/cmdline").read_text().replace("\0", " ")
        except OSError:  # it has just ended
            continue
    family = {pid}
    while more := {other for other, parent in parents.items() if parent in family} - family:
        family |= more
    return {other: commands[other] for other in family & set(commands)}


def look(page, name):
    """Keep what a page looks like in data/screenshots, light and dark, for people."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=ROOT / "data" / "screenshots" / f"{name}, {scheme}.png")
    page.emulate_media(color_scheme=None)


class Server:
    """The running app: its address, and how its server functions are called without a page."""

    def __init__(self, url):
        self.url = url
        with urllib.request.urlopen(f"{url}config") as answer:
            self.component = next(c["id"] for c in json.load(answer)["components"] if c["type"] == "html")

    def call(self, function, data):
        body = {"data": data, "component_id": self.component, "fn_name": function, "session_hash": "test"}
        request = urllib.request.Request(f"{self.url}gradio_api/component_server/", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def start(self, start=0, model="runner"):
        return self.call("start", {"start": start, "model": model})


@contextmanager
def running(*args):
    """The app in a process of its own, on a free port -> (process, address, seconds until it was ready)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        args = *args, "--port", free.getsockname()[1]
    start_time = time.monotonic()
    process = subprocess.Popen([sys.executable, ROOT / "app.py", "--no-browser", *map(str, args)],
                               stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert "playing" in line, line
        yield process, re.search(r"http://\S+", line)[0], time.monotonic() - start_time
    finally:
        process.kill()
        process.wait()


# In the page: notes of every step which keys went in and which z came out, from the start state on.
WATCH = """() => {
  window.seen = [];
  const step = dream.step.bind(dream), restart = dream.restart.bind(dream);
  dream.step = async keys => {
    await step(keys);
    seen.push({ frame: dream.frame, keys: keys.join(''), z: [...dream.z] });
  };
  dream.restart = number => { seen.length = 0; restart(number); };
}"""


def dreamed(page, frames=8):
    """Restart the dream -> what WATCH notes of the first frames."""
    page.evaluate("seen.length = 0")
    page.keyboard.press("r")
    page.wait_for_function(f"seen.length >= {frames} && seen[0].frame === 1")
    return page.evaluate(f"seen.slice(0, {frames})")
