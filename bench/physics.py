"""How close the runner's physics is to the real game's: replay real keys in docs/runner and compare.

Reads   tests/truth.npz, docs/runner/runner.js, docs/vendor/planck/planck.min.js
Writes  nothing: it prints one table, or the same figures as JSON

    python bench/physics.py                 # 6 seconds on 2 busy cores
    python bench/physics.py --json

truth.npz holds 139 lives of the real game, the first 133 under random keys (`sequence` < 20): keys (S, 768)
with bits 1=Q 2=W 4=O 8=P; of each life the sequence, the tick it starts at, the keys held while it was reset,
its length, its fall in ticks (-1 if the recording ended first), the part that hit the ground first, and the
poses at five ticks (NaN past its end). Extracted from a recording of the real game on a virtual clock.

Shapes: L lives, S sequences
"""
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import data  # noqa: E402
from capture.browser import launch  # noqa: E402

SCRIPTS = [ROOT / "docs/vendor/planck/planck.min.js", ROOT / "docs/runner/runner.js"]
STOCK = {5: 0.017, 10: 0.09, 20: 0.28, 30: 0.51}  # u by tick: stock Box2D, same constants, 40 first lives
CLOSE = 0.15                                      # a life is as long as the real one within this share
RANDOM = 20                                       # sequences under random keys; the others are scripted

# A reset runs one tick at once, with the keys still held. Plays on to the fall and to the last of `ticks`.
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


def replay(truth):
    """The lives of truth.npz played by the runner -> a list of {fall, part, poses}"""
    keys = [truth["keys"][s, start:].tolist() for s, start in zip(truth["sequence"], truth["start"])]
    lives = [{"held": int(held), "keys": k} for held, k in zip(truth["held"], keys)]
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()  # it knows the class Runner, without the game's own page and loop
        for script in SCRIPTS:
            page.add_script_tag(path=script)
        if page.evaluate("PARTS") != truth["parts"].tolist():
            raise SystemExit("truth.npz and runner.js differ in the names of the body parts")
        played = page.evaluate(REPLAY, {"lives": lives, "ticks": truth["ticks"].tolist()})
        browser.close()
    return played


def compare(truth, played):
    """The played lives against the real ones -> figures, a dict for JSON; real_* are the real game's."""
    random, first = truth["sequence"] < RANDOM, truth["start"] == 0
    poses = np.array([life["poses"] for life in played], float).reshape(truth["poses"].shape)
    error = np.linalg.norm((poses - truth["poses"])[..., :2], axis=-1).mean(-1)  # (L, ticks)
    # A life that outlasts the recording counts up to its end, in both games: the same tick.
    end = truth["keys"].shape[1] - truth["start"]
    fall = np.array([life["fall"] for life in played])
    length = np.where(fall > 0, fall, end)[random]
    real_length = np.where(truth["fall"] > 0, truth["fall"], end)[random]
    fell, real_fell = (fall > 0) & random, (truth["fall"] > 0) & random
    parts = np.array([life["part"] for life in played])
    return {"ticks": truth["ticks"].tolist(), "stock": STOCK,
            "first": np.nanmedian(error[random & first], axis=0).tolist(),
            "first_lives": int((random & first).sum()),
            "all": np.nanmedian(error[random], axis=0).tolist(), "all_lives": int(random.sum()),
            "real_length": real_length.tolist(), "length": length.tolist(),
            "close": float(np.mean(np.abs(length / real_length - 1)[real_fell[random]] <= CLOSE)),
            "falls": int(real_fell.sum()),
            "real_parts": Counter(truth["first_to_hit"][real_fell].tolist()),
            "parts": Counter(parts[fell].tolist())}


def table(figures):
    """What compare() returns, as one aligned table."""
    def row(title, *cells):
        return f"{title:34}" + "".join(f"{cell:>10}" for cell in cells)

    def errors(title, values):
        return row(title, *(f"{value:.4f}" for value in values))

    real, runner = np.array(figures["real_length"]), np.array(figures["length"])
    stock = [f"{STOCK[t]:.4f}" if t in STOCK else "-" for t in figures["ticks"]]
    lines = [row("median body error, u, at tick", *figures["ticks"]),
             errors(f"  runner, {figures['first_lives']} first lives", figures["first"]),
             errors(f"  runner, all {figures['all_lives']} lives", figures["all"]),
             row("  stock Box2D", *stock),
             row("length of a life, ticks", "real", "runner"),
             row("  median", f"{np.median(real):.0f}", f"{np.median(runner):.0f}"),
             row("  mean", f"{real.mean():.1f}", f"{runner.mean():.1f}"),
             row("  median difference", "", f"{np.median(np.abs(runner - real)):.0f}"),
             row(f"  within {CLOSE:.0%} of the real fall", figures["falls"], f"{figures['close']:.0%}"),
             row("first to hit the ground", "real", "runner")]
    real_parts, parts = figures["real_parts"], figures["parts"]
    for part in sorted(real_parts | parts, key=lambda part: -real_parts[part]):
        lines.append(row(f"  {part}", real_parts[part], parts[part]))
    return "\n".join(lines)


def main():
    parser = data.bare_parser(__doc__)
    parser.add_argument("--truth", type=Path, default=ROOT / "tests" / "truth.npz",
                        help="lives of the real game")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    args = parser.parse_args()
    if not args.truth.is_file():
        raise SystemExit(f"no file {args.truth}: name a recording of the real game with --truth")
    with np.load(args.truth) as archive:
        truth = dict(archive)
    figures = compare(truth, replay(truth))
    print(json.dumps(figures) if args.json else table(figures))


if __name__ == "__main__":
    main()
