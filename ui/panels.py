"""app.py beside the play: the tabs "Compare an episode" and "Your training", and the API for scripts.

Reads   episodes and images that a visitor uploads; data/<game> of training

Uploads are never unpickled or kept, and their size is checked before they are unpacked.

Shapes: T frames, Z latent features, K keys
"""
import shutil
import time
import zipfile

import gradio as gr
import numpy as np
from PIL import Image

import plots
from data import CONTEXT, load_episode

CLIP = 150                  # frames of a comparison at most
UPLOAD_MB = 50
MAX_FRAMES = 10_000         # of an uploaded episode
MAX_EPISODE_MB = 280        # when unpacked: so many frames
MAX_MEGAPIXELS = 30         # of an uploaded image
MAX_ROLLOUT = 2_000         # frames of one call of the API
LINES = {"dreamed": "#c2410c", "reconstructed": "#2563eb", "persistence": "#9ca3af"}
IMAGES = ("*.png", "frames/*.png", "frames/*.gif", "report/*.png", "report/*.gif")  # of data/<game>
Image.MAX_IMAGE_PIXELS = MAX_MEGAPIXELS * 10**6 // 2  # PIL warns above it, and refuses what is twice as large


def refusal(words):
    """The error that a visitor, or the caller of the API, reads."""
    return gr.Error(words[:1].upper() + words[1:], print_exception=False)


# ------------------------------------------------------------------------------ an episode beside its dream

def open_upload(path):
    """An uploaded .npz file of collect.py -> frames (T, 96, 96, 3), keys (T, K). Raises gr.Error."""
    try:
        with zipfile.ZipFile(path) as archive:
            megabytes = sum(entry.file_size for entry in archive.infolist()) / 1e6
        if megabytes > MAX_EPISODE_MB:
            raise ValueError(f"{megabytes:.0f} MB when unpacked, at most {MAX_EPISODE_MB} MB are accepted")
        episode = load_episode(path, ("frames", "keys"))
    except (zipfile.BadZipFile, ValueError) as error:
        raise refusal(f"this episode cannot be used ({error}): upload an .npz file of collect.py") from None
    return episode["frames"], episode["keys"]


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
    rows = []
    for line, levels in difference.items():
        rows += [[(t + 1) * frame_s, float(level), line] for t, level in enumerate(levels)]
    return {"columns": list(types), "datatypes": types, "data": rows, "mark": "line"}


def comparison(models, scratch):
    """The tab that shows an uploaded episode, what the dream makes of its keys, and the difference.
    scratch: a temporary folder."""
    clips = scratch / "clips"
    clips.mkdir()

    def run(name, upload, start):
        if not upload:
            raise refusal("upload an episode first: an .npz file of collect.py")
        model = models[name]
        truth, dreamed, difference = compare(model, *open_upload(upload), start)
        for old in sorted(clips.iterdir())[:-8]:
            old.unlink(missing_ok=True)  # Gradio has a copy, which it deletes in an hour
        path = str(clips / f"{time.time_ns()}_{model.meta['game']}_true_dreamed.gif")
        apart = np.abs(truth.astype(np.int16) - dreamed).astype(np.uint8)
        frames = np.concatenate([truth, dreamed, apart], axis=2)
        plots.draw_clip(path, frames, model.meta["frame_ms"], model.meta.get("shape"), width=320, colours=128)
        return path, curve_of(difference, model.frame_s), gr.DownloadButton(value=path, interactive=True)

    with gr.Tab("Compare an episode"):
        gr.Markdown("An episode of yours (`data/<game>/frames/episode_*.npz` of `collect.py`), the dream "
                    "under the same keys, after ten true frames, and their difference. Below: how far the "
                    "dream is from the truth, beside the best that 16 numbers can show (*reconstructed*) and "
                    "a frame that stands still (*persistence*). "
                    f"At most {UPLOAD_MB} MB and {MAX_FRAMES:,} frames.")
        with gr.Row():
            model = gr.Dropdown(list(models), label="Dream", visible=len(models) > 1)
            start = gr.Number(0, label="From frame", precision=0, minimum=0)
            upload = gr.File(label="Episode (.npz)", file_types=[".npz"], height=110)
        button = gr.Button("Dream it", variant="primary")
        image = gr.Image(label="True, dreamed, difference", show_label=False, format="gif",
                         interactive=False, buttons=["fullscreen"])
        curve = gr.LinePlot(x="game seconds", y="levels of 255", color="frame", color_map=LINES,
                            colors_in_legend=list(LINES), label="Difference from the truth")
        save = gr.DownloadButton("Save as GIF", interactive=False)
        button.click(run, [model, upload, start], [image, curve, save], api_visibility="private")


# ---------------------------------------------------------------------------------------------- your training

def training(folder, scratch):
    """The tab with logs, contact sheets and reports of data/<game>. scratch: a temporary folder."""

    def games():
        return [path.name for path in sorted(folder.glob("*")) if path.is_dir()]

    def choices(game):
        return gr.Dropdown(choices=games(), value=game or next(iter(games()), None))

    def show(game):
        if game not in games():  # a caller could name any folder
            return "Nothing is recorded here yet: `make pipeline` makes a dream from nothing.", [], ""
        images, logs, table = [], [], folder / game / "report" / "table.md"
        for pattern in IMAGES:
            for path in sorted((folder / game).glob(pattern)):
                copy = scratch / f"{game}_{path.parent.name}_{path.name}"
                shutil.copy(path, copy)  # Gradio serves no file from outside its own folders
                images.append((str(copy), path.relative_to(folder / game).as_posix()))
        for path in sorted((folder / game).glob("*_log.jsonl")):
            logs += [f"**{path.name}**, its last lines", "```", *path.read_text().splitlines()[-5:], "```"]
        return "\n".join(logs), images, table.read_text() if table.exists() else ""

    with gr.Tab("Your training") as tab:
        gr.Markdown(f"What the scripts have written to `{folder}`, while they run or later.")
        with gr.Row():
            game = gr.Dropdown(games(), label="Game", scale=3)
            again = gr.Button("Look again")
        gallery = gr.Gallery(label="Images", columns=3, object_fit="contain", format="png")
        outputs = [gr.Markdown(), gallery, gr.Markdown()]
        gr.on([tab.select, again.click], choices, game, game, api_visibility="private").then(
            show, game, outputs, api_visibility="private")
        game.input(show, game, outputs, api_visibility="private")


# ------------------------------------------------------------------------------------------------ for scripts

def open_image(path):
    """An uploaded image of any shape -> frame uint8 (96, 96, 3). Raises gr.Error."""
    try:
        image = Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF", "BMP"))
        image.draft("RGB", (192, 192))  # a JPEG need not be unpacked in full
        image = image.convert("RGB")
    except Image.DecompressionBombError:
        raise refusal(f"the image is too large: at most {MAX_MEGAPIXELS} megapixels are accepted") from None
    except (OSError, ValueError, SyntaxError):  # what PIL raises for a damaged file
        raise refusal("this image cannot be read: upload a PNG, JPEG or WebP of the game") from None
    return np.asarray(image.resize((96, 96), Image.BOX))


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


def listed(z, h, c):
    return {"z": z[0].tolist(), "h": h[:, 0].tolist(), "c": c[:, 0].tolist()}


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
        z, _, state = dream.play(read_state(dream, state), read_keys(dream, keys))
        return {"z": z[0].tolist(), "state": listed(*state)}

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
