"""Measure models: how sharp they paint, how well they follow the game and its keys, how long dreams last.

Reads   model folders (export.py); episodes of collect.py --held-out, data/<game>/held_out or held_out/<game>
Writes  data/<game>/report/report.json, table.md, rollout.png, survival.png, control.png, lives.png,
        filmstrip.png (true, dreamed, difference), clip.gif (true and dreamed side by side)

    python evaluate.py --game runner                      # data/runner/model; about 7 minutes on 2 cores
    python evaluate.py --game runner --compare docs/model/runner       # beside another model
    python evaluate.py --game runner --compare docs/report/runner      # beside those of an earlier report

Everything is measured on whole episodes that training never saw, by the kind of keys that played them:
random, gait, human-like, and keys that are held for long. metrics.py defines the figures.
"""
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

import data
import metrics
import plots
from capture import policies
from data import CONTEXT
from dream import Model

# The table: title of a row, where its figures stand in a report (* is each entry in turn), decimals, factor.
ROWS = (
    ("ceiling: PSNR, dB", "kinds/*/ceiling/psnr_db", 1, 1),
    ("ceiling where something moves, dB", "kinds/*/ceiling/psnr_moving_db", 1, 1),
    ("ceiling: SSIM", "kinds/*/ceiling/ssim", 3, 1),
    ("pose that a probe reads from the true z, degrees off", "kinds/*/ceiling/probe_degrees", 1, 1),
    ("one-step skill", "kinds/*/one_step/skill", 2, 1),
    ("one-step skill within a life", "kinds/*/one_step/skill_alive", 2, 1),
    *((f"gain over persistence up to {s} s, dB", f"kinds/*/rollout/gain_db_whole/{s}", 1, 1)
      for s in metrics.SECONDS),
    ("the same where something moves, 0.5 s", "kinds/*/rollout/gain_db_moving/0.5", 1, 1),
    ("the same where something moves, 1.0 s", "kinds/*/rollout/gain_db_moving/1.0", 1, 1),
    ("better than persistence for, s", "kinds/*/rollout/valid_horizon_s_whole", 1, 1),
    ("pose error over persistence's at 0.5 s", "kinds/*/rollout/pose_over_persistence/0.5", 2, 1),
    ("pose error over persistence's at 1.0 s", "kinds/*/rollout/pose_over_persistence/1.0", 2, 1),
    ("control: dB lost under other keys, up to 1 s", "kinds/*/rollout/control_db_whole/1.0", 1, 1),
    ("control: cosine of the first step, all combinations", "choices/step_cosine", 2, 1),
    ("control: cosine of what the keys have done after 0.5 s", "choices/effect_cosine", 2, 1),
    ("long dreams ({stability}): exploded, %", "stability/*/exploded", 1, 100),
    ("long dreams: off-manifold, %", "stability/*/off_manifold", 1, 100),
    ("the same half way between two frames, %", "stability/*/halfway", 1, 100),
    ("long dreams: frozen, %", "stability/*/frozen", 1, 100),
    ("the same of real play under such keys", "stability/*/real_frozen", 1, 100),
    ("long dreams: spread of z, over that of all real play", "stability/*/spread", 2, 1),
    ("the same of real play under such keys", "stability/*/real_spread", 2, 1),
    ("falls in 1,000 frames, real", "falls/*/real/per_1000_frames", 1, 1),
    ("falls in 1,000 frames, dreamed", "falls/*/dreamed/per_1000_frames", 1, 1),
    ("dreamed falls against real, %", "falls/*/difference", 0, 1),
    ("standard error of it, %", "falls/*/error", 0, 1),
    ("frames of a life, real", "falls/*/real/mean_life_frames", 1, 1),
    ("frames of a life, dreamed", "falls/*/dreamed/mean_life_frames", 1, 1),
    ("lengths of lives, dreamed and real: Kolmogorov-Smirnov distance", "falls/*/distance", 2, 1),
    ("ends of lives: mean gap of probability and frequency, %", "kinds/*/over/gap", 2, 100),
    ("rhythms, dreamed and real metres: Spearman", "transfer/spearman", 2, 1),
    ("real metres: median of the ten that got farthest in the dream, and of all", "transfer/metres/*", 1, 1),
    ("could it be real? Accuracy of a classifier, clips of 16 frames, %", "classifier", 0, 100),
    ("milliseconds a frame, p50 and p95", "speed/*", 1, 1),
)
# What a game without poses, choices.npz or rhythms.npz, one with short episodes, a model that does not tell
# when lives end, or a report of an earlier version does not have.
OPTIONAL = {"probe_degrees", "pose_over_persistence", "choices", "step_cosine", "effect_cosine",
            *map(str, metrics.SECONDS), "dreamed", "difference", "error", "distance", "over", "transfer",
            "halfway", "real_frozen", "classifier"}


def measure(model, kinds, rhythms, dream_frames, seed):
    """All figures of one model -> report (a dict for JSON), what the plots show (a dict of arrays)."""
    z = {kind: model.encode(kinds[kind]["frames"]) for kind in tqdm(kinds, desc=f"encode {model.folder}")}
    whole = [kind for kind in data.KINDS if kind in kinds]
    probes = metrics.fit_probes(kinds, z)
    figures, shown = {"kinds": {}}, {"curves": {}, "strip": [], "clip": []}
    for kind in tqdm(whole, desc="rollouts", unit="kind"):
        arrays, rng = kinds[kind], np.random.default_rng(seed)
        median = np.median(arrays["frames"][:, ::7], axis=(0, 1))
        rollouts, curves, strip, clip = metrics.measure_rollouts(model, arrays, z[kind], probes, median, rng)
        figures["kinds"][kind] = {"frames": arrays["restart"].size,
                                  "ceiling": metrics.measure_ceiling(model, arrays, z[kind], probes, median),
                                  "one_step": metrics.measure_one_step(model, arrays, z[kind]),
                                  "rollout": rollouts}
        if model.noise_size:
            figures["kinds"][kind]["over"] = metrics.measure_over(model, arrays, z[kind])
        shown["curves"][kind] = curves
        shown["strip"] += strip
        shown["clip"].append(clip)
    if "choices" in kinds:
        figures["choices"], shown["control"] = metrics.measure_choices(
            model, kinds["choices"], z["choices"], probes)
    figures["stability"], shown["survival"] = metrics.measure_stability(
        model, {kind: z[kind] for kind in (*whole, "constant") if kind in z}, dream_frames,
        np.random.default_rng(seed))
    figures["falls"], shown["lives"] = metrics.measure_falls(model, kinds, z)
    if transfer := metrics.measure_transfer(model, rhythms):
        figures["transfer"] = transfer
    figures["classifier"] = metrics.measure_classifier(model, kinds, z)
    figures["speed"] = metrics.measure_speed(model)
    return figures, shown


def find(report, path):
    """The figures at a path of a report -> a list, empty where one of OPTIONAL is missing."""
    nodes = [report]
    for name in path.split("/"):
        if name == "*":
            nodes = [value for node in nodes for value in node.values()]
        elif name in OPTIONAL and not all(name in node for node in nodes):
            return []
        else:
            nodes = [node[name] for node in nodes]
    return nodes


def table(reports):
    """The reports {name: figures} of models of one game as a Markdown table, a column each. Several numbers
    in a cell are for the kinds of keys in the order of the heading."""
    first = next(iter(reports.values()))
    heading = [" / ".join(first["kinds"]), *reports]
    lines = [f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    for title, path, decimals, factor in ROWS:
        cells = []
        for report in reports.values():
            numbers = ["-" if v is None else f"{factor * v:.{decimals}f}" for v in find(report, path)]
            cells.append(" / ".join(numbers))
        if any(cells):
            title = title.format(stability=" / ".join(first["stability"]))
            lines.append(f"| {title} | {' | '.join(cell or '-' for cell in cells)} |")
    return "\n".join(lines) + "\n"


def draw(out, model, reports, shown):
    """Write all plots. shown: {name of a model: what measure() shows}, the main one first. The rollouts of
    models that stand in `reports` alone are drawn from their figures."""
    first = next(iter(shown.values()))
    frame_s, panels = model.frame_s, {}
    for kind, curves in first["curves"].items():
        x = (np.arange(len(curves["whole, dream"])) + 1) * frame_s
        panels[f"{kind} keys"] = lines = {"persistence": (x, 0 * x), "ceiling": (x, curves["whole, ceiling"])}
        for name, figures in reports.items():
            if name in shown:
                lines[name] = x, shown[name]["curves"][kind]["whole, dream"]
            else:
                gains = figures["kinds"][kind]["rollout"]["gain_db_whole"]
                lines[name] = [float(s) for s in gains], list(gains.values())
    plots.draw_panels(out / "rollout.png", panels, "game seconds", "gain over persistence, dB")
    panels = {f"{kind} keys": {name: one["survival"][kind] for name, one in shown.items()}
              for kind in first["survival"]}
    plots.draw_panels(out / "survival.png", panels, "game seconds", "share of dreams on the manifold",
                      y_range=(0, 1.05))
    bins = {kind: {"real": real * frame_s, "dreamed": dreamed * frame_s}
            for kind, (real, dreamed) in first["lives"].items()}
    if bins:
        plots.draw_histograms(out / "lives.png", bins, "length of a life, game seconds")
    if "control" in first:
        letters = np.array([key.replace("Arrow", "")[:1] for key in model.meta["keys"]])
        names = ["".join(letters[row > 0]) or "-" for row in policies.combinations(len(letters))]
        plots.draw_matrix(out / "control.png", first["control"], names, "real keys", "dreamed keys")
    plots.draw_strip(out / "filmstrip.png", first["strip"], scale=2)
    plots.draw_clip(out / "clip.gif", np.concatenate(first["clip"]), model.meta["frame_ms"],
                    model.meta.get("shape"))


def read_report(folder, kinds):
    """The models of an earlier report, without measuring them again -> {name: figures}, without their speed,
    which may be that of another machine.

    Ends the program unless the report's episodes have as many falls as those of `kinds`, or None."""
    reports = data.read_json(folder / "report.json")
    falls = {kind: metrics.count_falls(metrics.with_more(kinds[kind], "over")[:, CONTEXT:])
             for kind in data.KINDS if kind in kinds}
    for name, figures in reports.items():
        if not isinstance(figures, dict) or not {"kinds", "falls", "speed"} <= set(figures):
            raise SystemExit(f"{folder}/report.json is not a report of evaluate.py: name a model folder")
        measured = {kind: falls.get(kind) if x["falls"] is None else x["falls"]
                    for kind, x in figures["falls"].items()}
        if measured != falls:
            raise SystemExit(f"{folder}: {name} was measured on other episodes: name its model folder")
    return {name: figures | {"speed": dict.fromkeys(figures["speed"])} for name, figures in reports.items()}


def main():
    parser = data.make_parser(__doc__)
    parser.add_argument("--model", type=Path, help="model folder (default: data/<game>/model)")
    parser.add_argument("--compare", type=Path, nargs="+", default=[], metavar="FOLDER",
                        help="other models of the same game for the same table and plots: model folders, or "
                             "folders of earlier reports, whose models are not measured again")
    parser.add_argument("--held-out", type=Path, help="folder of held-out episodes (default: "
                                                      "data/<game>/held_out, or this repository's own)")
    parser.add_argument("--out", type=Path, help="folder of the report (default: data/<game>/report)")
    parser.add_argument("--dream-frames", type=int, default=10_000, help="length of the long dreams")
    parser.add_argument("--seed", type=int, default=12345, help="of the random keys")
    args = parser.parse_args()

    # Models to measure, models of earlier reports, episodes to measure on.
    if args.dream_frames < 2:
        raise SystemExit("--dream-frames must be at least 2")
    folder = data.game_folder(args.data, args.game)
    earlier = [path for path in args.compare if (path / "report.json").exists()]
    models = [Model(path) for path in (args.model or folder / "model", *args.compare) if path not in earlier]
    for model in models:
        if model.meta["keys"] != models[0].meta["keys"] or model.frame_s != models[0].frame_s:
            raise SystemExit(f"{model.folder} has other keys or another pace than {models[0].folder}: "
                             "compare models of one game")
    held_out = args.held_out or data.held_out_folder(folder)
    own = {name: models[0].meta.get(name) for name in ("game", "keys", "ticks_per_frame")}
    if wrong := data.difference(data.read_json(held_out / "meta.json") or own, own):
        raise SystemExit(f"{held_out} was recorded with {wrong} as {models[0].folder}: name another --game, "
                         "--model or --held-out, or run collect.py --held-out")
    kinds, rhythms = data.load_held_out(held_out)
    old = {}
    for path in earlier:
        old |= read_report(path, kinds)

    # Measure, write, draw.
    out, reports, shown = args.out or folder / "report", {}, {}
    for model in models:
        name = str(model.folder)
        reports[name], shown[name] = measure(model, kinds, rhythms, args.dream_frames, args.seed)
    reports |= {name: figures for name, figures in old.items() if name not in reports}
    reports = json.loads(json.dumps(reports), parse_float=lambda text: round(float(text), 4))
    with data.disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        data.write_json(out / "report.json", reports)
        data.write_text(out / "table.md", table(reports))
        draw(out, models[0], reports, shown)
    print(table(reports))
    print(f"look at rollout.png, survival.png, control.png, lives.png, filmstrip.png and clip.gif in {out}")


if __name__ == "__main__":
    data.run(main, "no report is written, run the same command again")
