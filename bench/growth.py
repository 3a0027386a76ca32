"""Time and memory of every step that reads or writes data, at 1, 4 and 16 times as many episodes.

Reads   games/<game>.py
Writes  growth.png and growth.json in --out; the data lie in a temporary folder

    python bench/growth.py                  # a quarter of an hour on 2 cores

Memory is that of the largest of a step's own processes, without browsers.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import data  # noqa: E402
import plots  # noqa: E402

STEPS = {"collect.py": (), "train_ae.py": ("--epochs", 1), "encode.py": (), "train_lstm.py": ("--epochs", 1)}


def run(script, *arguments):
    """Run a step -> seconds, peak memory in MB of its largest process. Ends the program if it fails."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, ROOT / script, *map(str, arguments)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{script} {' '.join(map(str, arguments))} failed: run it by hand to see why")
    return time.monotonic() - start, usage.ru_maxrss / 1000


def draw(path, figures, frames):
    """Seconds and memory over frames, a line a step. figures: {script: [(seconds, MB) of each size]}"""
    figure, axes = plots.subplots(1, 2, figsize=(9, 3.6))
    for axis, column, title in zip(axes, (0, 1), ("seconds", "memory of the largest process, MB")):
        for script, sizes in figures.items():
            axis.plot(frames, [size[column] for size in sizes], "o-", label=script)
        axis.set(xscale="log", yscale="log", xlabel="frames", title=title)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.savefig(path)


def main():
    parser = data.bare_parser(__doc__)
    parser.add_argument("--game", default="runner", help="name or path of the game's description")
    parser.add_argument("--episodes", type=int, default=40, help="at the smallest size; 20 or more")
    parser.add_argument("--frames", type=int, default=256, help="of an episode")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--out", type=Path, default=Path("data/growth"))
    args = parser.parse_args()
    figures = {script: [] for script in STEPS}
    for times in args.times:
        with tempfile.TemporaryDirectory() as folder:
            for script, options in STEPS.items():
                if script == "collect.py":
                    options = "--episodes", times * args.episodes, "--frames", args.frames
                seconds, memory = run(script, "--data", folder, "--game", args.game, *options)
                figures[script].append((seconds, memory))
                print(f"{times:3} x {script:14} {seconds:8.1f} s {memory:8.0f} MB", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    frames = [times * args.episodes * args.frames for times in args.times]
    (args.out / "growth.json").write_text(json.dumps({"frames": frames, "steps": figures}, indent=1) + "\n")
    draw(args.out / "growth.png", figures, frames)
    print(f"look at {args.out / 'growth.png'}")


if __name__ == "__main__":
    main()
