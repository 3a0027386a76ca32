"""How smoothly app.py plays, with the shipped models, in headless Chromium on this machine.

    python bench/app.py               # about 2 minutes
    python bench/app.py --minutes 60  # and then 16 who play side by side, some minutes each, then others

Prints   seconds until it can be played, images/s and dreamed frames/s for one visitor and for four at once,
         milliseconds from a key to the first image that it has changed; each minute of --minutes: memory, all
         dreamed frames/s, milliseconds of a step, errors
"""
import argparse
import json
import os
import random
import sys
import threading
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))
from helpers import Server, running  # noqa: E402

from capture.browser import launch  # noqa: E402

MANY = 16  # who play side by side; one address has half of the app's places
COUNT = """() => {
    const canvas = document.querySelector("canvas");
    window.images = window.frames_ = 0;
    let last = null;
    new MutationObserver(() => {
        window.images++;
        if (canvas.dataset.step !== last) { last = canvas.dataset.step; window.frames_++; }
    }).observe(canvas, { attributeFilter: ["data-image", "data-step"] });
}"""
WATCH = """() => {
    const canvas = document.querySelector("canvas");
    addEventListener("keydown", () => { window.pressed = performance.now(); }, true);
    window.latencyOf = key => {
        window.seen = new Promise(done => {
            const watch = new MutationObserver(() => {
                if (canvas.dataset.keys[key] !== "1") return;
                watch.disconnect();
                done(performance.now() - window.pressed);
            });
            watch.observe(canvas, { attributeFilter: ["data-keys"] });
        });
    };
}"""


def open_page(browser, url):
    page = browser.new_page()
    page.goto(url)
    page.wait_for_selector("canvas[data-step]")
    page.evaluate(COUNT)
    return page


def rates(pages, seconds):
    """-> [(images/s, frames/s)] of pages that play at the same time."""
    counts = "[window.images, window.frames_, performance.now()]"
    before = [page.evaluate(counts) for page in pages]
    time.sleep(seconds)
    after = [page.evaluate(counts) for page in pages]
    return [tuple(1000 * (b[n] - a[n]) / (b[2] - a[2]) for n in (0, 1)) for a, b in zip(before, after)]


def latencies(page, presses, watch=WATCH):
    """Milliseconds from a key to the first image that it has changed, at random moments of a frame.

    watch: defines latencyOf(key) in the page, which promises them as window.seen."""
    page.evaluate(watch)
    measured = []
    for n in range(presses):
        key = n % 4
        page.wait_for_timeout(300 + random.random() * 100)
        page.evaluate(f"latencyOf({key})")
        page.keyboard.down("qwop"[key])
        measured.append(page.evaluate("window.seen"))
        page.keyboard.up("qwop"[key])
    return np.array(measured)


def memory_mb(process):
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def visit(server, end, steps):
    """In a thread, until the time `end`: people who play one after another, up to three minutes each. Adds to
    steps the seconds of each step, or an error's text."""
    while time.monotonic() < end:
        leaves, due = min(end, time.monotonic() + random.uniform(20, 180)), time.monotonic()
        name = server.start(model=random.choice(("qwop", "runner")))["visitor"]
        while due < leaves:  # a frame, and two images before it, as the page asks
            start = time.monotonic()
            keys = [random.randint(0, 1) for _ in range(4)]
            answer = server.call("step", {"visitor": name, "keys": keys, "images": 3})
            steps.append(answer.get("error") or time.monotonic() - start)
            due = max(due + 0.1, time.monotonic())
            time.sleep(max(due - time.monotonic(), 0))
        time.sleep(random.uniform(5, 30))  # the app keeps the place for 4 s


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=0, help="that 16 play on")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of lines")
    args = parser.parse_args()
    with running("--visitors", 2 * MANY) as (process, url, seconds), sync_playwright() as playwright:
        figures = {"ready_s": seconds}
        browser = launch(playwright)
        first = open_page(browser, url)
        first.wait_for_timeout(2000)
        for count in (1, 4):
            pages = [first, *(open_page(browser, url) for _ in range(count - 1))]
            figures[f"{count} at once"] = rates(pages, 10)
            for page in pages[1:]:
                page.close()
        time.sleep(6)
        ms = latencies(first, 100)
        figures["key_ms"] = dict(zip(("p50", "p95", "max"), np.quantile(ms, (0.5, 0.95, 1)).tolist()))
        browser.close()
        if args.json:
            print(json.dumps(figures))
        else:
            print(f"ready after {seconds:.1f} s")
            for count in (1, 4):
                print(f"{count} at once, images/s and frames/s each: "
                      + ", ".join(f"{a:.1f} and {b:.1f}" for a, b in figures[f"{count} at once"]))
            print("key to changed image, ms: "
                  + ", ".join(f"{name} {x:.0f}" for name, x in figures["key_ms"].items()), flush=True)
        if not args.minutes:
            return
        time.sleep(5)  # the places of the pages above are kept for 4 s
        steps, end = [], time.monotonic() + 60 * args.minutes
        people = [threading.Thread(target=visit, args=(Server(url), end, steps)) for _ in range(MANY)]
        for one in people:
            one.start()
        for minute in range(1, args.minutes + 1):
            time.sleep(60)
            now, steps[:] = steps[:], []
            times = [one for one in now if not isinstance(one, str)]
            p50, p95 = 1000 * np.quantile(times or [np.nan], (0.5, 0.95))
            print(f"minute {minute}: {memory_mb(process):.0f} MB, {len(times) / 60:.0f} frames/s, a step "
                  f"{p50:.0f} ms (95%: {p95:.0f} ms), {len(now) - len(times)} errors", flush=True)


if __name__ == "__main__":
    main()
