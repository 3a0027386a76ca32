"""What training and measuring write for people: a log, curves, pictures, GIFs.

Shapes: N frames of a row, T frames of a clip
"""
import contextlib
import json
import time
from datetime import timedelta

import numpy as np
from PIL import Image

import data


def log(path, entry):
    """Write one line of JSON behind those of earlier epochs. Later lines go: a run that was killed, or an
    earlier training, has left them."""
    entry = {name: round(value, 6) if isinstance(value, float) else value for name, value in entry.items()}
    kept = [old for old in read_log(path) if old["epoch"] < entry["epoch"]]
    data.write_text(path, "".join(f"{json.dumps(one)}\n" for one in (*kept, entry)))


def read_log(path):
    """The entries of a log -> a list of dicts, without lines that are damaged."""
    entries = []
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            entry = data.parse_json(line)
            entries += [entry] if entry["epoch"] > 0 else []
    return entries


def subplots(*args, **options):
    """An empty figure -> figure, its axes. matplotlib is imported here: who only plays does not have it."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=options.pop("figsize"), layout="constrained", dpi=110)
    return figure, figure.subplots(*args, **options)


def draw_curves(log_path, picture_path, names):
    """Draw the named figures of a JSON-lines log over its epochs as PNG; an empty log gives empty axes."""
    entries = read_log(log_path)
    figure, axes = subplots(figsize=(8, 4.5))
    for name in names:
        rows = [(entry["epoch"], entry[name]) for entry in entries if name in entry]
        axes.plot([epoch for epoch, _ in rows], [value for _, value in rows], marker=".", label=name)
    axes.set(xlabel="epoch", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture_path)


def draw_panels(path, panels, x_label, y_label, y_range=None):
    """Panels {title: {name: (x, y)}} of lines side by side as PNG; a name has the same colour in each.
    y_range: least and most that is shown."""
    figure, (row,) = subplots(1, len(panels), figsize=(4 * len(panels), 3.8), sharey=True, squeeze=False)
    for axes, (title, lines) in zip(row, panels.items()):
        for name, (x, y) in lines.items():
            axes.plot(x, y, label=name)
        axes.set(title=title, xlabel=x_label)
        axes.grid(alpha=0.3)
    row[0].set(ylabel=y_label, ylim=y_range)
    row[-1].legend(fontsize="small")
    figure.savefig(path)


def draw_histograms(path, panels, x_label):
    """Panels {title: {name: numbers}} of histograms over each other as PNG, each of area 1."""
    figure, (row,) = subplots(1, len(panels), figsize=(4 * len(panels), 3.8), squeeze=False)
    for axes, (title, values) in zip(row, panels.items()):
        bins = np.linspace(0, max([1.0, *(v.max() for v in values.values() if len(v))]), 25)
        for name, v in values.items():
            axes.hist(v, bins, density=len(v) > 0, alpha=0.5, label=f"{name} ({len(v)})")
        axes.set(title=title, xlabel=x_label)
        axes.legend()
    figure.savefig(path)


def draw_matrix(path, matrix, names, x_label, y_label):
    """A matrix (N, N) of numbers in -1..1 as PNG; names: N words for rows and columns."""
    figure, axes = subplots(figsize=(5.5, 4.8))
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    figure.colorbar(image, label="cosine")
    figure.savefig(path)


def draw_strip(path, rows, scale=1):
    """Rows of uint8 frames, each (N, 96, 96, 3), as one PNG, a row under the other."""
    sheet = Image.fromarray(np.vstack([np.hstack(list(row)) for row in rows]))
    sheet.resize((sheet.width * scale, sheet.height * scale), Image.NEAREST).save(path)


def draw_clip(path, frames, frame_ms, shape=None, width=240, colours=64):
    """A GIF of uint8 frames (T, 96, n * 96, 3), n side by side. shape: [width, height] of the game's canvas,
    640 x 400 where it is not known; each is shown `width` wide."""
    across, down = shape or (640, 400)
    size = width * frames.shape[2] // 96, round(width * down / across)
    pictures = [Image.fromarray(frame).resize(size, Image.BILINEAR) for frame in frames]
    some = np.vstack([np.asarray(picture) for picture in pictures[::max(1, len(pictures) // 16)]])
    palette = Image.fromarray(some).quantize(colours)  # one for all: one for each takes 9 times as long
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=round(frame_ms), loop=0)


def pace(start, done, left, frames):
    """Rate and time left, for report lines -> '812 frames/s | 0:12:30 left'. done, left: epochs of so many
    frames since `start` (perf_counter()), and to go."""
    seconds = (time.perf_counter() - start) / done
    return f"{frames / seconds:7.0f} frames/s | {timedelta(seconds=int(seconds * left))} left"
