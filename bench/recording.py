"""How fast a game is recorded, and what it costs: the whole process tree, measured in /proc.

Reads   games/<game>.py, the page it names
Writes  episodes, as collect.py does, into a temporary folder that is removed

    python bench/recording.py --seconds 20                      # Linux only
    python bench/recording.py --game qwop --original            # also as the original recorded it
"""
import asyncio
import base64
import io
import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.async_api import async_playwright
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))
import collect  # noqa: E402
import data  # noqa: E402
from capture import policies  # noqa: E402
from capture import workers as recording  # noqa: E402
from capture.browser import AUTOPLAY, BACKENDS, Server, find_browser  # noqa: E402
from capture.games import load_game  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0
SAMPLE = 2  # seconds between two samples of the memory: one costs a few milliseconds of each process


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


ORIGINAL = """() => { // 96 x 96 pixels, four times as fast as by the clock
    const canvas = document.querySelector("canvas#window1"), gl = canvas.getContext("webgl");
    const viewport = gl.viewport.bind(gl);
    gl.viewport = () => viewport(0, 0, 96, 96);
    canvas.width = canvas.height = 96;
    gl.viewport();
    qwop.app.frame_time /= 4;
    qwop.highScore = 0;
}"""
KEEP = """const getContext = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, options) {
    return getContext.call(this, kind, { ...options, preserveDrawingBuffer: true });
};"""


async def play_originally(page, address, game, seconds):
    """One page in real time: keys, 25 ms of sleep, a PNG as a data URL -> numbers of frames and of different
    ones."""
    await page.add_init_script(script=KEEP)
    await page.add_init_script(script=game.before)
    await page.goto(address)
    await page.wait_for_function(game.ready)
    await page.evaluate(f"() => {{ {game.start} }}")
    await page.evaluate(ORIGINAL)
    rng, down, frames, last, different = np.random.default_rng(0), set(), 0, None, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key in game.keys:
            if (key in down) == (rng.random() < (policies.LET_GO if key in down else policies.PRESS)):
                down ^= {key}
                await (page.keyboard.down if key in down else page.keyboard.up)(key)
        await asyncio.sleep(0.025)
        png = (await page.evaluate("() => document.querySelector('canvas#window1').toDataURL()"))[22:]
        frame = np.array(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))
        assert frame.shape == (96, 96, 3)
        different += last is None or (frame != last).any()
        frames, last = frames + 1, frame
        if await page.evaluate("() => qwop.gameEnded"):
            await page.keyboard.press("r")
    return frames, different


async def record_originally(game, seconds):
    """As the original did: two pages of one browser side by side -> frames/s, share of frames that differ
    from the one before."""
    server = Server(game.serve)
    async with async_playwright() as playwright:
        path = find_browser(playwright)
        flags = [AUTOPLAY, *BACKENDS["swiftshader"]]
        browser = await playwright.chromium.launch(executable_path=path, args=flags)
        pages = [await (await browser.new_context()).new_page() for _ in range(2)]
        address = game.url if "://" in game.url else f"{server.address}/{game.url}"
        counts = await asyncio.gather(*(play_originally(page, address, game, seconds) for page in pages))
        await browser.close()
    frames, different = np.sum(counts, axis=0)
    return frames / seconds, different / frames


def measure(game, args):
    """Record for args.seconds after the warm-up -> figures: frames_s, cpu_ms a frame, memory_mb (PSS and RSS
    of each worker with its browser, at most), seconds, browser."""
    policy = recording.make_policy(game, args)
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name)
    episodes = recording.record(game, policy, range(10 ** 4), args, partial(collect.save, path),
                                tqdm(disable=True), path, {})
    peaks, warm_up, frames, looked = {}, 2 * args.workers, 0, 0
    for _ in episodes:
        now = time.monotonic()
        if warm_up:  # two episodes a worker: then every browser runs and its code is compiled
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
    browser = data.read_json(path / "meta.json")["browser"]
    folder.cleanup()
    return {"frames_s": frames / seconds, "seconds": seconds, "cpu_ms": 1000 * cpu / frames,
            "memory_mb": [[pss, rss] for rss, pss in peaks.values()], "browser": browser}


def main():
    parser = data.bare_parser(__doc__)
    parser.add_argument("--game", default="runner", help="runner, qwop, or the path of a description")
    parser.add_argument("--seconds", type=float, default=20, help="how long to measure after the warm-up")
    parser.add_argument("--original", action="store_true",
                        help="qwop: also as the original recorded it, in real time")
    parser.add_argument("--json", action="store_true")
    recording.add_arguments(parser)
    args = parser.parse_args()
    recording.fill_arguments(args, None)
    if not Path("/proc/self/smaps_rollup").exists():
        raise SystemExit("bench/recording.py reads /proc: it needs Linux")

    game = load_game(args.game, args.url)
    figures = measure(game, args)
    if args.original:
        original, different = asyncio.run(record_originally(game, args.seconds))
        figures |= {"original_frames_s": float(original), "different": float(different)}
    if args.json:
        print(json.dumps(figures))
        return
    policy = recording.make_policy(game, args).name
    print(f"{game.name}, {policy} keys, {args.ticks_per_frame} ticks a frame, {args.workers} workers on "
          f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {figures['browser']}")
    print(f"frames/s        {figures['frames_s']:8.1f}   over {figures['seconds']:.1f} s after the warm-up")
    print(f"CPU ms/frame    {figures['cpu_ms']:8.2f}   of all processes")
    for n, (pss, rss) in enumerate(figures["memory_mb"]):
        print(f"memory MB       {pss:8.0f}   at most, PSS of worker {n} and its browser; RSS sum {rss:.0f}")
    if args.original:
        print(f"original        {original:8.1f}   frames/s, {100 * different:.0f}% of them unlike the one "
              f"before; this is {figures['frames_s'] / original:.1f} times as fast")


if __name__ == "__main__":
    main()
