"""What export.py adds to a model folder for the people who play it: clips of the real game, gaits, a meter of drift,
and what the memory of the dream says of metres and falls. All of it is optional: a player asks whether it is there.

Shapes: E episodes, T frames, Z latent features, K keys, L LSTM layers, H hidden width, F = L H + Z features of a memory
"""
import base64
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import data
from capture import policies
from data import CONTEXT

HERE = Path(__file__).parent
GAITS = 3            # of the best that are known
CLIP = 150           # frames of a clip
COLUMNS = 15         # of its pictures side by side
RIDGE = 100.0


def gaits(game):
    """The best known gaits of a game, named or by the path of its description -> [{period, on, score}]"""
    found = policies.load_gaits(HERE / "games" / f"{Path(game).stem}_gaits.json")
    found = found or policies.load_gaits(Path(game).with_name(f"{Path(game).stem}_gaits.json"))
    best = sorted(found, key=lambda gait: -gait["score"])[:GAITS]
    return [{name: gait[name] for name in ("period", "on", "score")} for gait in best]


def drift_limit(autoencoder, z, std):
    """What a drift meter calls 1: twice the distance between z and encode(decode(z)), in std, that 99% of real z (N, Z)
    keep, as in evaluate.py."""
    z = torch.from_numpy(z.astype(np.float32))
    again = torch.cat([autoencoder.encoder(autoencoder.decoder.paint(part)[..., :3]) for part in z.split(128)])
    return 2 * float(np.quantile(np.linalg.norm((again - z).numpy() / std, axis=1), 0.99))


def readout(frames_folder, latents, dynamics, most=150):
    """What the LSTM's memory and z say of the step that made them, by ridge regression on recorded episodes ->
    {layers, metres, over: [bias, F weights], metres_r2}, or None where nothing was recorded with a score.

    metres: run in this step; over: 1 in the frames in which a life has ended."""
    known = [n for n in data.episode_files(frames_folder) if n < len(latents.done) and latents.done[n]][:most]
    if not known:
        return None
    episodes = dict(data.load_episodes(frames_folder, ("restart", "over", "score"), set(known).__contains__))
    if not all({"score", "over"} <= set(episode) for episode in episodes.values()):
        return None
    z, keys = (torch.from_numpy(np.asarray(a[list(episodes)]).astype(np.float32)) for a in (latents.z, latents.keys))
    score, over, restart = (np.stack([e[name] for e in episodes.values()]) for name in ("score", "over", "restart"))
    state, memory = None, []
    for t in range(z.shape[1] - 1):
        _, state = dynamics(z[:, t:t + 1], keys[:, t:t + 1], state)
        memory.append(torch.cat([*state[0], z[:, t + 1]], dim=-1))                      # (E, F) after step t
    x = torch.stack(memory, 1).double().numpy()                                         # (E, T - 1, F)
    alive = ~restart[:, 1:]
    x, y = x[alive], np.stack([np.diff(score, axis=1)[alive], over[:, 1:][alive]], 1)   # (N, F), (N, 2)
    mean, middle = x.mean(0), y.mean(0)
    weights = np.linalg.solve((x - mean).T @ (x - mean) + RIDGE * np.eye(x.shape[1]), (x - mean).T @ (y - middle))
    bias = middle - mean @ weights
    left = y[:, 0] - bias[0] - x @ weights[:, 0]
    metres, ended = ([float(f"{w:.4g}") for w in (bias[n], *weights[:, n])] for n in (0, 1))
    return {"layers": dynamics.config.layers, "metres": metres, "over": ended,
            "metres_r2": round(float(1 - left.var() / y[:, 0].var()), 3)}


def clips(folders, autoencoder, dynamics):
    """A clip of every kind of keys from the first folder that holds held-out episodes -> [{kind, keys: hexadecimal
    digits, start: {z, h, c}, frames, picture: a data URL of all pictures, COLUMNS in a row}]"""
    folder = next((folder for folder in folders if folder.is_dir()), None)
    made = []
    for kind, arrays in data.load_held_out(folder).items() if folder else ():
        frames, keys = arrays["frames"][0], arrays["keys"][0]
        if kind == "choices" or len(frames) < CONTEXT + 2:
            continue
        z = autoencoder.encoder(torch.from_numpy(frames[:CONTEXT + 1]))
        _, (h, c) = dynamics(z[None, :-1], torch.from_numpy(keys[None, :CONTEXT].astype(np.float32)))
        shown = frames[CONTEXT:CONTEXT + CLIP]
        sheet = np.zeros((-(-len(shown) // COLUMNS) * COLUMNS, *shown.shape[1:]), np.uint8)
        sheet[:len(shown)] = shown
        size = shown.shape[1]
        sheet = sheet.reshape(-1, COLUMNS, size, size, 3).swapaxes(1, 2).reshape(-1, COLUMNS * size, 3)
        file = io.BytesIO()
        Image.fromarray(sheet).save(file, "WEBP", quality=85, method=6)
        start = {"z": z[-1], "h": h[:, 0], "c": c[:, 0]}
        made.append({"kind": kind, "frames": len(shown), "keys": policies.to_text(keys[CONTEXT:CONTEXT + CLIP]),
                     "start": {name: x.double().numpy().round(6).tolist() for name, x in start.items()},
                     "picture": "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()})
    return made
