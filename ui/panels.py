"""app.py beside the play: the tabs "Compare an episode" and "Your training", and the API for scripts.

Reads   held_out/<game>; episodes and images that a visitor uploads; data/<game> of training

Shapes: T frames, Z latent features, K keys
"""
import shutil
import time

import gradio as gr
import numpy as np

import plots
from data import CONTEXT, held_out_folder, read_arrays
from ui.door import MAX_FRAMES, UPLOAD_MB, open_image, open_upload, refusal

CLIP = 150                  # frames of a comparison at most
MAX_ROLLOUT = 2_000         # frames of one call of the API
LINES = {"dreamed": "#c2410c", "reconstructed": "#2563eb", "persistence": "#9ca3af"}
IMAGES = ("*.png", "frames/*.png", "frames/*.gif", "report/*.png", "report/*.gif")  # of data/<game>


# ------------------------------------------------------------------------------ an episode beside its dream

def compare(model, frames, keys, start):
    """Dream an episode's keys from frame `start` on, after CONTEXT true frames -> true and dreamed frames
    uint8 (T, 96, 96, 3), and the mean difference from the truth in levels of 255, {name of LINES: (T,)}."""
    if keys.shape[1] != len(model.meta["keys"]):
        raise refusal(f"the episode has {keys.shape[1]} keys, this dream {len(model.meta['keys'])}: "
                      "choose another dream")
    if len(frames) < CONTEXT + 2:
        raise refusal(f"the episode has {len(frames)} frames, at least {CONTEXT + 2} are needed")
    first = CONTEXT + min(int(start or 0), len(frames) - CONTEXT - 2)
    truth = frames[first:first + CLIP]
    z = model.encode(frames[first - CONTEXT:first + len(truth)])
    played = keys[None, first - CONTEXT:first + len(truth)]
    dreamed = model.decode(model.rollout_after(z[None, :CONTEXT], played)[0])
    lines = {"dreamed": dreamed, "reconstructed": model.decode(z[CONTEXT:]),
             "persistence": frames[None, first - 1]}
    difference = {name: np.abs(x.astype(np.int16) - truth).mean((1, 2, 3)) for name, x in lines.items()}
    return truth, dreamed, difference


def curve_of(difference, frame_s):
    """What gr.LinePlot draws, as it needs no pandas: the differences {line: (T,)} over game seconds."""
    types = {"game seconds": "quantitative", "levels of 255": "quantitative", "frame": "nominal"}
    rows = [[(t + 1) * frame_s, float(level), line]
            for line, levels in difference.items() for t, level in enumerate(levels)]
    return {"columns": list(types), "datatypes": types, "data": rows, "mark": "line"}


def recorded(model, data_folder):
    """A recorded episode of the model's game that was never trained on -> frames, keys; None without one."""
    folder = held_out_folder(data_folder / model.meta["game"])
    for path in (folder / f"{kind}.npz" for kind in ("gait", "random")):
        if path.exists():
            arrays = read_arrays(path, ("frames", "keys"))
            return arrays["frames"][0], arrays["keys"][0]
    return None


def comparison(models, data_folder, scratch):
    """The tab that shows an episode, what the dream makes of its keys, and the difference: a recorded one
    until one is uploaded. scratch: a temporary folder."""

    def run(name, upload, start):
        model = models[name]
        episode = open_upload(upload) if upload else recorded(model, data_folder)
        if not episode:
            gr.Info("Upload an episode first: an .npz file of collect.py")
            return [gr.skip()] * 3
        truth, dreamed, difference = compare(model, *episode, start)
        for old in sorted(scratch.glob("*_dreamed.gif"))[:-8]:
            old.unlink(missing_ok=True)  # Gradio has a copy, which it deletes in an hour
        path = str(scratch / f"{time.time_ns()}_{model.meta['game']}_true_dreamed.gif")
        apart = np.abs(truth.astype(np.int16) - dreamed).astype(np.uint8)
        frames = np.concatenate([truth, dreamed, apart], axis=2)
        plots.draw_clip(path, frames, model.meta["frame_ms"], model.meta.get("shape"), width=320, colours=128)
        return gr.Column(visible=True), path, curve_of(difference, model.frame_s)

    with gr.Tab("Compare an episode") as tab:
        gr.Markdown("A recorded episode, the dream under the same keys, after ten true frames, and their "
                    "difference. Below: how far the dream is from the truth, beside the best that 16 numbers "
                    "can show (*reconstructed*) and a frame that stands still (*persistence*). Upload one of "
                    "yours: `data/<game>/frames/episode_*.npz` of `collect.py`, "
                    f"at most {UPLOAD_MB} MB and {MAX_FRAMES:,} frames.")
        with gr.Row():
            model = gr.Dropdown(list(models), label="Dream", visible=len(models) > 1)
            start = gr.Number(0, label="From frame", precision=0, minimum=0)
            upload = gr.File(label="Episode (.npz)", file_types=[".npz"], height=110)
        button = gr.Button("Dream it", variant="primary")
        with gr.Column(visible=False) as result:
            image = gr.Image(label="True, dreamed, difference", show_label=False, format="gif",
                             interactive=False, buttons=["download", "fullscreen"])
            curve = gr.LinePlot(x="game seconds", y="levels of 255", color="frame", color_map=LINES,
                                colors_in_legend=list(LINES), label="Difference from the truth")
        gr.on([tab.select, button.click], run, [model, upload, start], [result, image, curve],
              api_visibility="private")


# ---------------------------------------------------------------------------------------------- your training

def training(page, folder, scratch):
    """The tab with logs, sheets and reports of data/<game>, if there are any. scratch: for copies."""

    def games():
        return sorted({path.parent.name for path in folder.glob("*/*")})

    def show(game):
        if game not in games():  # a caller could name any folder
            game = next(iter(games()), None)
        images, logs, table = [], [], folder / str(game) / "report" / "table.md"
        for path in (path for pattern in IMAGES for path in sorted(folder.glob(f"{game}/{pattern}"))):
            copy = scratch / f"{game}_{path.parent.name}_{path.name}"
            shutil.copy(path, copy)  # Gradio serves no file from outside its own folders
            images.append((str(copy), path.relative_to(folder / game).as_posix()))
        for path in sorted(folder.glob(f"{game}/*_log.jsonl")):
            logs += [f"**{path.name}**, its last lines", "```", *path.read_text().splitlines()[-5:], "```"]
        return (gr.Dropdown(games(), value=game), "\n".join(logs), gr.Gallery(images, visible=bool(images)),
                table.read_text() if table.exists() else "")

    with gr.Tab("Your training", visible=False) as tab:
        gr.Markdown(f"What the scripts have written to `{folder}`, while they run or later.")
        with gr.Row():
            game = gr.Dropdown([], label="Game", scale=3)
            again = gr.Button("Look again")
        gallery = gr.Gallery(label="Images", columns=3, object_fit="contain", format="png")
        outputs = [game, gr.Markdown(), gallery, gr.Markdown()]
        gr.on([tab.select, again.click, game.input], show, game, outputs, api_visibility="private")
    page.load(lambda: gr.Tab(visible=bool(games())), None, tab, api_visibility="private")


# ------------------------------------------------------------------------------------------------ for scripts

def read_state(model, state):
    """The state {z, h, c} of an earlier answer -> [z, h, c]; the first start state if there is none."""
    if not state:
        return model.starts[0]
    try:
        return model.state(state["z"], state["h"], state["c"])
    except (KeyError, TypeError, ValueError):
        raise refusal("state must be what another call has answered, {z, h, c}, or empty") from None


def read_keys(model, keys):
    """Keys of some frames -> array (1, T, K)."""
    names = model.meta["keys"]
    for row in keys:
        if not isinstance(row, list) or len(row) != len(names) or any(key not in (0, 1) for key in row):
            raise refusal(f"keys must be {len(names)} numbers a frame, each 0 or 1: {names}")
    return np.array(keys, np.float32).reshape(1, -1, len(names))


def api(models):
    """step, rollout, encode and decode for Gradio's client."""
    default = next(iter(models))

    def find(name):
        if name not in models:
            raise refusal(f"model must be one of: {', '.join(models)}")
        return models[name]

    def step(keys: list, state: dict | None = None, model: str = default) -> dict:
        """One frame under held keys: from a state {z, h, c} to the next one."""
        return rollout([keys], state, model)["state"]

    def rollout(keys: list, state: dict | None = None, model: str = default) -> dict:
        """A dream under a list of keys -> {z: of every frame, state: after the last}."""
        if len(keys) > MAX_ROLLOUT:
            raise refusal(f"{len(keys)} frames are too many for one call: at most {MAX_ROLLOUT}")
        dream = find(model)
        path, _, (z, h, c) = dream.play(read_state(dream, state), read_keys(dream, keys))
        state = {"z": z[0].tolist(), "h": h[:, 0].tolist(), "c": c[:, 0].tolist()}
        return {"z": path[0].tolist(), "state": state}

    def encode(path, model):
        return find(model).encode(open_image(path)[None])[0].tolist()

    def decode(z, model):
        dream = find(model)
        try:
            state = dream.state(z)
        except (ValueError, TypeError):
            raise refusal(f"z must be {dream.features} finite numbers") from None
        return dream.decode(state[0])[0]

    gr.api(step)
    gr.api(rollout)
    with gr.Row(visible=False):
        file, z, name = gr.File(label="image"), gr.JSON(label="z"), gr.Textbox(default, label="model")
        image, button = gr.Image(label="image", format="png"), gr.Button()
    button.click(encode, [file, name], z, api_name="encode", api_description="The z of an image of the game.")
    button.click(decode, [z, name], image, api_name="decode", api_description="The image of a z, 96 x 96.")
