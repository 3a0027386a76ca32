"""Every speed in one run on one machine: of this project, of the original's way to do the same work, and what
the machine allows at most, with its arithmetic.

Reads   docs/. The original's page needs npm and the network
Writes  nothing: it prints a table

    python bench/all.py --qwop copy/Athletics.html      # 12 minutes; without --qwop, QWOP is left out
    python bench/all.py --seconds 2 --rounds 1 --json
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import data  # noqa: E402
import models  # noqa: E402
from bench import training  # noqa: E402


def figures_of(script, *arguments):
    """What a script of this folder prints with --json, or {}, after one line, if it ends with an error."""
    print(f"bench/{script} ...", file=sys.stderr)
    result = subprocess.run([sys.executable, ROOT / "bench" / script, *map(str, arguments), "--json"],
                            capture_output=True, text=True)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"bench/{script} ended with {result.returncode}: {last}", file=sys.stderr)
        return {}
    return json.loads(result.stdout.splitlines()[-1])


def one_core():
    """Of one thread: operations a second of a product of float32 matrices, bytes a second that it moves."""
    threads, cpu = torch.get_num_threads(), torch.device("cpu")
    torch.set_num_threads(1)
    rate = training.matmul_rate(cpu, torch.float32, 1024)
    source = torch.zeros(2 ** 26)  # 256 MB, beyond the caches
    target = torch.empty_like(source)
    bandwidth = 2 * source.nbytes / training.seconds_of(lambda: target.copy_(source), cpu, 1)
    torch.set_num_threads(threads)
    return rate, bandwidth


def a_dreamed_frame():
    """Of the default networks: operations, and bytes of weights as float32."""
    decoder, dynamics = models.Decoder(models.AutoencoderConfig()).eval(), models.Dynamics()
    count = training.operations(lambda: decoder(torch.zeros(1, 16)))
    count += 2 * sum(w.numel() for w in dynamics.parameters() if w.ndim > 1)
    return count, 4 * models.count_parameters(decoder, dynamics)


def measure(args):
    """-> rows {title: (unit, here, original's or None, limit or None, its arithmetic)}, all figures."""
    rate, bandwidth = one_core()
    rows, found = {}, {"one core": {"operations_s": rate, "bytes_s": bandwidth}}
    games = {"runner": (96, ())}
    if args.qwop:
        games["qwop"] = 192, ("--url", args.qwop, "--original")
    for game, (side, options) in games.items():
        f = found[f"recording {game}"] = figures_of("recording.py", "--game", game, "--seconds", args.seconds,
                                                    *options)
        if f:
            limit = os.cpu_count() * bandwidth / (8 * side ** 2)
            rows[f"recording {game}"] = ("frames/s", f["frames_s"], f.get("original_frames_s"), limit,
                                         f"{8 * side ** 2:,} bytes of pixels, written and read, over "
                                         f"{os.cpu_count()} x {bandwidth / 1e9:.1f} GB/s")
    f = found["training"] = figures_of("training.py", "--seconds", args.seconds, "--original")
    for name, figures in f.get("here", {}).items():
        if name not in ("matmul", "recipes"):
            original = f["original"].get(name, {}).get("frames_s")
            arithmetic = (f"{figures['operations'] / 1e6:.1f} MFLOP over "
                          f"{f['here']['matmul'] / 1e9:,.0f} GFLOP/s")
            rows[name] = "frames/s", figures["frames_s"], original, figures["limit"], arithmetic
    count, weights = a_dreamed_frame()
    limit = 1000 * max(count / rate, weights / bandwidth)
    arithmetic = (f"the longer of {count / 1e6:.1f} MFLOP over {rate / 1e9:.0f} GFLOP/s and "
                  f"{weights / 1e6:.1f} MB over {bandwidth / 1e9:.1f} GB/s, one core")
    f = found["page"] = figures_of("page.py", "--rounds", args.rounds)
    for place in ("python", "page") if f else ():
        here, original = (f[place][name]["p50"] for name in ("here", "original's"))
        rows[f"a dreamed frame, {place}"] = "ms", here, original, limit, arithmetic
    f = found["app"] = figures_of("app.py")
    if f:
        rows["app, one visitor"] = "images/s", f["1 at once"][0][0], None, 30, "what it asks for"
    return rows, found


def main():
    parser = data.bare_parser(__doc__)
    parser.add_argument("--qwop", metavar="FILE", help="the .html file of a local copy of QWOP")
    parser.add_argument("--seconds", type=float, default=30, help="how long to measure each")
    parser.add_argument("--rounds", type=int, default=10, help="of bench/page.py")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows, found = measure(args)
    if args.json:
        print(json.dumps({"rows": rows, "figures": found}))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':24}{'here':>10}{'original':>10} {'':9}{'ratio':>6}{'limit':>12}  share")
    for title, (unit, here, original, limit, arithmetic) in rows.items():
        is_time = unit == "ms"
        ratio = f"{original / here if is_time else here / original:.2f}" if original else "-"
        print(f"{title:24}{here:10,.1f}{original and f'{original:,.1f}' or '-':>10} {unit:9}{ratio:>6}"
              f"{limit:12,.1f}{limit / here if is_time else here / limit:7.1%}  {arithmetic}")


if __name__ == "__main__":
    main()
