"""Play a browser game with semi-random keys in headless Chromium and record it, on a virtual clock.

Reads   games/<game>.py, and the page it names
Writes  data/<game>/frames/episode_*.npz, meta.json, contact_sheet.png, clip.gif

    python collect.py --game runner --episodes 190        # 48,640 frames

The same seed gives the same bytes, whatever the machine's speed. Stop it at any time: the same command goes on.
"""
import argparse

import numpy as np
from tqdm import tqdm

import data
import recorder
import report


class Save:
    """What a worker does with an episode: writes it. Picklable."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, episode, arrays):
        data.save_episode(data.episode_path(self.folder, episode), arrays)


def draw_pictures(folder, frame_ms):
    """Write a contact sheet (8 episodes, 12 frames each) and a GIF of the first episode beside the data."""
    shown = list(data.episode_files(folder))[:8]
    rows = []
    for _, episode in data.load_episodes(folder, ("frames",), wanted=shown.__contains__):
        frames = episode["frames"]
        rows.append(frames[np.linspace(0, len(frames) - 1, 12).astype(int)])
        if len(rows) == 1:
            report.draw_clip(folder / "clip.gif", frames[:128], frame_ms)
    if not rows:
        raise SystemExit("none of the first episodes can be read: run the same command again to record them anew")
    report.draw_strip(folder / "contact_sheet.png", rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="runner", help="runner, or the path of a description like games/runner.py")
    parser.add_argument("--episodes", type=int, default=190, help="how many there should be in the end")
    parser.add_argument("--data", default="data", help="folder of all recordings")
    recorder.add_arguments(parser)
    args = parser.parse_args()
    recorder.check_arguments(args, args.episodes)

    game = recorder.load_game(args.game)
    folder = data.game_folder(args.data, args.game) / "frames"
    with data.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        meta = recorder.describe(game, args)
        recorder.check_meta(folder / "meta.json", meta)
        there = data.episode_files(folder)
        todo = [n for n in range(args.episodes) if n not in there]
        print(f"{game.name}: {len(there)} episodes in {folder}, {len(todo)} to record with {args.workers} workers")
        with tqdm(total=len(todo) * args.frames, unit=" frames", unit_scale=True, smoothing=0.05) as bar:
            for kind, value in recorder.record(game, todo, args.seed, args.frames, args.ticks_per_frame, args.workers,
                                               Save(folder)):
                if kind == "browser":
                    data.write_json(folder / "meta.json", {**meta, "browser": value})
                else:
                    bar.update(args.frames)
        draw_pictures(folder, args.ticks_per_frame * game.tick_ms)
    print(f"look at {folder / 'contact_sheet.png'} and {folder / 'clip.gif'}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("\nstopped: what was recorded is kept, the same command goes on") from None
