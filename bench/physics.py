"""How close the runner's physics is to the real game's: replay real keys in docs/runner and compare.

Reads   tests/truth.npz, docs/runner/runner.js, docs/vendor/planck/planck.min.js
Writes  nothing: it prints one table

    python tests/physics.py                 # 6 seconds on 2 busy cores

truth.npz holds 139 lives of the real game, the first 133 under random keys (`sequence` < 20): keys (S, 768)
with bits 1=Q 2=W 4=O 8=P; of each life the sequence, the tick it starts at, the keys held while it was reset,
its length, its fall in ticks (-1 if the recording ended first), the part that hit first, and the poses at
five ticks (NaN past its end). Extracted from a recording of the real game on a virtual clock.

Shapes: L lives, S sequences
"""
import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from capture import browser as recorder  # noqa: E402

SCRIPTS = [ROOT / "docs/vendor/planck/planck.min.js", ROOT / "docs/runner/runner.js"]
STOCK = {5: 0.017, 10: 0.09, 20: 0.28, 30: 0.51}  # u: stock Box2D, same constants, 40 first lives
CLOSE = 0.15                                      # a life is as long as the real one within this share
RANDOM = 20                                       # sequences under random keys; the others are scripted

# A reset runs one tick at once, with the keys still held. Plays on to the fall and the last pose asked for.
REPLAY = """({ lives, ticks }) => lives.map(({ held, keys }) => {
  const runner = new Runner(), poses = [];
  const tick = (bits) => {
    runner.keys = { q: Boolean(bits & 1), w: Boolean(bits & 2), o: Boolean(bits & 4), p: Boolean(bits & 8) };
    runner.tick();
  };
  tick(held);
  let t = 0, fall = -1;
  while (t < keys.length && (fall < 0 || t < ticks.at(-1))) {
    tick(keys[t++]);
    if (runner.fallen && fall < 0) fall = t;
    if (ticks.includes(t)) poses.push(runner.pose());
  }
  while (poses.length < ticks.length) poses.push(Array(36).fill(null));
  return { fall, part: runner.firstToHit || "", poses };
})"""


def open_runner(browser):
    """A page that knows the class Runner, without the game's own page and loop -> Page."""
    page = browser.new_page()
    for script in SCRIPTS:
        page.add_script_tag(path=script)
    return page


def measure(browser, path):
    """Replay the lives of a truth.npz -> dict of figures, those called real_* from the real game."""
    with np.load(path) as archive:
        truth = dict(archive)
    page = open_runner(browser)
    assert page.evaluate("PARTS") == truth["parts"].tolist(), "truth.npz and runner.js differ in the bodies"
    keys = [truth["keys"][s, start:].tolist() for s, start in zip(truth["sequence"], truth["start"])]
    lives = [{"held": int(held), "keys": k} for held, k in zip(truth["held"], keys)]
    played = page.evaluate(REPLAY, {"lives": lives, "ticks": truth["ticks"].tolist()})
    page.close()

    chance, first = truth["sequence"] < RANDOM, truth["start"] == 0
    ours = np.array([life["poses"] for life in played], float).reshape(truth["poses"].shape)
    error = np.linalg.norm((ours - truth["poses"])[..., :2], axis=-1).mean(-1)  # (L, ticks), no angles
    left = np.array([len(k) for k in keys])
    fall = np.array([life["fall"] for life in played])
    real_fell = chance & (truth["fall"] > 0)
    # A life that outlasts the recording counts up to its end, in both games: the same tick.
    real_length = np.where(truth["fall"] > 0, truth["fall"], left)
    length = np.where(fall > 0, fall, left)
    return {
        "ticks": truth["ticks"].tolist(),
        "first": np.nanmedian(error[chance & first], axis=0), "first_lives": (chance & first).sum(),
        "all": np.nanmedian(error[chance], axis=0), "all_lives": chance.sum(),
        "real_length": real_length[chance], "length": length[chance],
        "close": np.mean(np.abs(length / real_length - 1)[real_fell] <= CLOSE), "falls": real_fell.sum(),
        "real_parts": Counter(truth["first_to_hit"][real_fell].tolist()),
        "parts": Counter(life["part"] for life, c in zip(played, chance) if c and life["fall"] > 0),
    }


def table(m):
    """What measure() returns, as one aligned table."""
    def row(name, *cells):
        return f"{name:34}" + "".join(f"{c:>10}" for c in cells)

    def errors(name, values):
        return row(name, *(f"{v:.4f}" for v in values))

    median, mean = np.median, np.mean
    lines = [
        row("median body error, u, at tick", *m["ticks"]),
        errors(f"  ours, {m['first_lives']} first lives", m["first"]),
        errors(f"  ours, all {m['all_lives']} lives", m["all"]),
        row("  stock Box2D", *(f"{STOCK[t]:.4f}" if t in STOCK else "-" for t in m["ticks"])),
        row("length of a life, ticks", "real", "ours"),
        row("  median", *(f"{median(n):.0f}" for n in (m["real_length"], m["length"]))),
        row("  mean", *(f"{mean(n):.1f}" for n in (m["real_length"], m["length"]))),
        row("  median difference", "", f"{median(np.abs(m['length'] - m['real_length'])):.0f}"),
        row(f"  within {CLOSE:.0%} of the real fall", m["falls"], f"{m['close']:.0%}"),
        row("first to hit the ground", "real", "ours"),
    ]
    for part in sorted(m["real_parts"] | m["parts"], key=lambda part: -m["real_parts"][part]):
        lines.append(row(f"  {part}", m["real_parts"][part], m["parts"][part]))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", default=ROOT / "tests" / "truth.npz", help="lives of the real game")
    args = parser.parse_args()
    with sync_playwright() as playwright:
        browser = recorder.launch(playwright)
        print(table(measure(browser, args.truth)))
        browser.close()


if __name__ == "__main__":
    main()
