"""The tabs of app.py beside the play, an episode beside its dream and the logs of training, and the API for scripts.

Reads   episodes and images that a visitor uploads; data/<game> of training

Uploads are never unpickled or kept, and their size is checked before they are unpacked.

Shapes: T frames, Z latent features, K keys
"""
import shutil
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image, ImageDraw

import data
from data import CONTEXT

CLIP = 150                  # frames of a comparison at most
UPLOAD_MB = 50
MAX_FRAMES = 10_000         # of an uploaded episode
FRAME_MB = 0.028            # of an unpacked episode
MAX_MEGAPIXELS = 30         # of an uploaded image
MAX_ROLLOUT = 2_000         # frames of one call of the API
LINES = {"dreamed": "#c2410c", "reconstructed": "#2563eb", "persistence": "#9ca3af"}
TRAINING = {"frames/contact_sheet.png": "recorded", "frames/clip.gif": "recorded, moving",
            "ae_curves.png": "autoencoder: loss", "ae_frames.png": "autoencoder: true and reconstructed",
            "lstm_curves.png": "dynamics: loss", "lstm_dream.png": "dynamics: true and dreamed",
            "report/rollout.png": "report: rollout", "report/survival.png": "report: survival",
            "report/control.png": "report: control", "report/lives.png": "report: lives",
            "report/filmstrip.png": "report: filmstrip", "report/clip.gif": "report: true, dreamed"}
LOGS = ("ae_log.jsonl", "lstm_log.jsonl")


def refusal(words):
    """The error that a visitor, or the caller of the API, reads."""
    return gr.Error(words[:1].upper() + words[1:], print_exception=False)


# ------------------------------------------------------------------------------ an episode beside its dream

def open_upload(path):
    """An uploaded .npz file of collect.py -> frames (T, 96, 96, 3), keys (T, K). Raises gr.Error."""
    try:
        with zipfile.ZipFile(path) as archive:
            megabytes = sum(entry.file_size for entry in archive.infolist()) / 1e6
    except zipfile.BadZipFile:
        raise refusal("this is no .npz file: upload an episode that collect.py has recorded") from None
    if megabytes > MAX_FRAMES * FRAME_MB:
        raise refusal(f"the episode has {megabytes:.0f} MB when unpacked: at most {MAX_FRAMES * FRAME_MB:.0f} MB "
                      f"({MAX_FRAMES} frames) are accepted")
    try:
        episode = data.load_episode(path, ("frames", "keys"))
    except ValueError as error:
        raise refusal(f"this episode cannot be used: {error}") from None
    return episode["frames"], episode["keys"]


def compare(model, frames, keys, start):
    """Dream an episode's keys from frame `start` on, after CONTEXT true frames -> true and dreamed frames uint8
    (T, 96, 96, 3), and the mean difference from the truth in levels of 255, {name of LINES: (T,)}."""
    if keys.shape[1] != len(model.meta["keys"]):
        raise refusal(f"the episode has {keys.shape[1]} keys, this dream {len(model.meta['keys'])}: "
                      "choose another dream")
    if len(frames) < CONTEXT + 2:
        raise refusal(f"the episode has {len(frames)} frames, at least {CONTEXT + 2} are needed")
    first = CONTEXT + min(int(start or 0), len(frames) - CONTEXT - 2)
    truth = frames[first:first + CLIP]
    z = model.encode(frames[first - CONTEXT:first + len(truth)])
    state = model.context(z[None, :CONTEXT], keys[None, first - CONTEXT:])
    dreamed = model.decode(model.rollout(state, keys[None, first - 1:first - 1 + len(truth)])[0])
    shown = {"dreamed": dreamed, "reconstructed": model.decode(z[CONTEXT:]), "persistence": frames[None, first - 1]}
    difference = {name: np.abs(x.astype(np.int16) - truth).mean((1, 2, 3)) for name, x in shown.items()}
    return truth, dreamed, difference


def write_clip(path, model, columns, width=320):
    """A GIF of frames {title: uint8 (T, 96, 96, 3)} side by side, in the shape of the game's canvas."""
    across, down = model.meta.get("shape") or (640, 400)
    size, images = (width * len(columns), round(width * down / across)), []
    for row in np.concatenate(list(columns.values()), axis=2):
        sheet = Image.new("RGB", (size[0], size[1] + 16))
        sheet.paste(Image.fromarray(row).resize(size, Image.BILINEAR), (0, 16))
        for n, title in enumerate(columns):
            ImageDraw.Draw(sheet).text((n * width + 4, 2), title, fill="white")
        images.append(sheet.quantize(128, dither=Image.Dither.NONE))
    images[0].save(path, save_all=True, append_images=images[1:], duration=round(model.meta["frame_ms"]), loop=0)


def comparison(models):
    """The tab that shows an uploaded episode, what the dream makes of its keys, and the difference."""
    clips = tempfile.TemporaryDirectory(prefix="clips")

    def run(name, upload, start):
        if not upload:
            raise refusal("upload an episode first: an .npz file of collect.py")
        model = models[name]
        truth, dreamed, difference = compare(model, *open_upload(upload), start)
        apart = np.abs(truth.astype(np.int16) - dreamed).astype(np.uint8)
        path = Path(clips.name) / f"{model.meta['game']}_true_dreamed_{time.time_ns()}.gif"
        for old in sorted(path.parent.iterdir())[:-8]:
            old.unlink(missing_ok=True)  # Gradio has a copy, which it deletes in an hour
        write_clip(path, model, {"true": truth, "dreamed": dreamed, "difference": apart})
        rows = [[(t + 1) * model.frame_s, float(level), line] for line, levels in difference.items()
                for t, level in enumerate(levels)]
        types = {"game seconds": "quantitative", "levels of 255": "quantitative", "frame": "nominal"}
        curve = {"columns": list(types), "datatypes": types, "data": rows, "mark": "line"}
        return str(path), curve, gr.DownloadButton(value=str(path), interactive=True)

    with gr.Tab("Compare an episode"):
        gr.Markdown("Upload an episode that `collect.py` has recorded, `data/<game>/frames/episode_*.npz`: it is "
                    "shown beside the dream under the same keys, after ten true frames. The curve is the difference "
                    "from the truth, beside that of the best that 16 numbers can show (*reconstructed*) and of a "
                    f"frame that stands still (*persistence*). At most {UPLOAD_MB} MB and {MAX_FRAMES:,} frames.")
        with gr.Row():
            model = gr.Dropdown(list(models), label="Dream", visible=len(models) > 1)
            start = gr.Number(0, label="From frame", precision=0, minimum=0)
            upload = gr.File(label="Episode (.npz)", file_types=[".npz"], height=110)
        button = gr.Button("Dream it", variant="primary")
        image = gr.Image(label="True, dreamed, difference", show_label=False, format="gif", interactive=False,
                         buttons=["fullscreen"])
        curve = gr.LinePlot(x="game seconds", y="levels of 255", color="frame", color_map=LINES,
                            colors_in_legend=list(LINES), label="Difference from the truth")
        save = gr.DownloadButton("Save as GIF", interactive=False)
        button.click(run, [model, upload, start], [image, curve, save], api_visibility="private")


# ---------------------------------------------------------------------------------------------- your training

def training(folder):
    """The tab with logs, contact sheets and reports of data/<game>."""
    copies = tempfile.TemporaryDirectory(prefix="training")

    def games():
        names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        return [name for name in names if any((folder / name / path).exists() for path in (*TRAINING, *LOGS))]

    def choices(game):
        names = games()
        return gr.Dropdown(choices=names, value=game or next(iter(names), None))

    def show(game):
        if game not in games():  # a caller could name any folder
            return "Nothing is recorded here yet: `make pipeline` makes a dream from nothing.", [], ""
        images, logs, table = [], [], folder / game / "report" / "table.md"
        for path, title in TRAINING.items():
            if (folder / game / path).exists():  # a copy: Gradio serves no file from outside its folders
                copy = Path(copies.name) / f"{game}_{path.replace('/', '_')}"
                images.append((shutil.copy(folder / game / path, copy), title))
        for name in LOGS:
            if (folder / game / name).exists():
                logs += [f"**{name}**, its last lines", "```"]
                logs += [*(folder / game / name).read_text().splitlines()[-5:], "```"]
        return "\n".join(logs), images, table.read_text() if table.exists() else ""

    with gr.Tab("Your training") as tab:
        gr.Markdown(f"What the scripts have written to `{folder}`. It can be viewed while they run.")
        with gr.Row():
            game = gr.Dropdown(games(), label="Game", scale=3)
            again = gr.Button("Look again")
        gallery = gr.Gallery(label="Images", columns=3, object_fit="contain", format="png")
        outputs = [gr.Markdown(), gallery, gr.Markdown()]
        tab.select(choices, game, game, api_visibility="private").then(show, game, outputs, api_visibility="private")
        gr.on([game.input, again.click], show, game, outputs, api_visibility="private")


# ------------------------------------------------------------------------------------------------ for scripts

def open_image(path):
    """An uploaded image of any shape -> frame uint8 (96, 96, 3). Raises gr.Error."""
    limit = f"at most {MAX_MEGAPIXELS} megapixels are accepted"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF", "BMP"))
            megapixels = image.width * image.height / 1e6
            if megapixels <= MAX_MEGAPIXELS:
                image.draft("RGB", (192, 192))  # a JPEG need not be unpacked in full
                return np.asarray(image.convert("RGB").resize((96, 96), Image.BOX))
    except Image.DecompressionBombError:
        raise refusal(f"the image is far too large: {limit}") from None
    except (OSError, ValueError, SyntaxError):  # what PIL raises for a damaged file
        raise refusal("this image cannot be read: upload a PNG, JPEG or WebP of the game") from None
    raise refusal(f"the image has {megapixels:.0f} megapixels: {limit}")


def api(models):
    """step, rollout, encode and decode for Gradio's client."""
    default = next(iter(models))

    def find(name):
        if name not in models:
            raise refusal(f"model must be one of: {', '.join(models)}")
        return models[name]

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

    def step(keys: list, state: dict | None = None, model: str = default) -> dict:
        """One frame under held keys: from a state {z, h, c} to the next one."""
        dream = find(model)
        z, h, c = read_state(dream, state)
        return listed(*dream.step(z, read_keys(dream, [keys])[:, 0], h, c))

    def rollout(keys: list, state: dict | None = None, model: str = default) -> dict:
        """A dream under a list of keys -> {z: of every frame, state: after the last}."""
        if len(keys) > MAX_ROLLOUT:
            raise refusal(f"{len(keys)} frames are too many for one call: at most {MAX_ROLLOUT}")
        dream = find(model)
        state, keys, z = read_state(dream, state), read_keys(dream, keys), []
        for t in range(keys.shape[1]):
            state = dream.step(state[0], keys[:, t], *state[1:])
            z.append(state[0][0].tolist())
        return {"z": z, "state": listed(*state)}

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
        file, numbers, name = gr.File(label="image"), gr.JSON(label="z"), gr.Textbox(default, label="model")
        image, button = gr.Image(label="image", format="png"), gr.Button()
    button.click(encode, [file, name], numbers, api_name="encode", api_description="The z of an image of the game.")
    button.click(decode, [numbers, name], image, api_name="decode", api_description="The image of a z, 96 x 96.")
