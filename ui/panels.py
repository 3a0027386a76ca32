"""What app.py shows beside the play: the truth beside the dream, the 16 numbers, what training left; and its API.

Reads   held_out/<game> and episodes that a visitor uploads; data/<game> of training

Nothing that is uploaded is unpickled or kept, and its size is looked at before it is unpacked.

Shapes: T frames, Z latent features, K keys
"""
import functools
import shutil
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pandas
from PIL import Image, ImageDraw

import data
from data import CONTEXT

HERE = Path(__file__).parent.parent
SHOWN = 150                 # frames of a comparison at most
UPLOAD_MB = 50
MOST_FRAMES = 10_000        # of an uploaded episode: 280 MB
MOST_MEGAPIXELS = 30        # of an uploaded picture
MOST_ROLLOUT = 2_000        # frames of one call of the API
LINES = {"dreamed": "#c2410c", "rebuilt": "#2563eb", "persistence": "#9ca3af"}
PICTURE = "a PNG, JPEG or WebP of the game"


def fail(words):
    """What a visitor reads, or the caller of the API."""
    return gr.Error(words[:1].upper() + words[1:], print_exception=False)


# ---------------------------------------------------------------------------------------- the truth beside the dream

@functools.lru_cache(maxsize=4)
def load_kind(game, kind):
    """frames (E, T, 96, 96, 3), keys (E, T, K) of the held-out episodes of one kind."""
    arrays = data.read_arrays(HERE / "held_out" / game / f"{kind}.npz", ("frames", "keys"))
    return arrays["frames"], arrays["keys"]


def known_clips(model):
    """The names of the held-out clips of a model's game, as far as they are there."""
    folder = HERE / "held_out" / model.meta["game"]
    return [f"{kind} keys" for kind in data.KINDS if (folder / f"{kind}.npz").exists()]


def open_upload(path):
    """An uploaded .npz file of collect.py -> frames (T, 96, 96, 3), keys (T, K). Raises gr.Error."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_FRAMES * 28_000:
            raise ValueError(f"{size / 1e6:.0f} MB when unpacked, at most {MOST_FRAMES} frames "
                             f"({MOST_FRAMES * 0.028:.0f} MB) are taken")
        episode = data.load_episode(path, ("frames", "keys"))
    except zipfile.BadZipFile:
        raise fail("this is no .npz file: upload an episode that collect.py has recorded") from None
    except ValueError as error:
        raise fail(f"this episode cannot be used: {error}") from None
    return episode["frames"], episode["keys"]


def compare(model, frames, keys, start):
    """Dream what an episode shows, from frame `start` on, after CONTEXT true ones -> true and dreamed pictures uint8
    (T, 96, 96, 3), and the mean difference from the truth in levels of 255, {dreamed, rebuilt, persistence}: (T,)."""
    if keys.shape[1] != len(model.meta["keys"]):
        raise fail(f"the episode has {keys.shape[1]} keys, this dream {len(model.meta['keys'])}: choose another dream")
    start = int(min(start or 0, len(frames) - CONTEXT - 2))
    if start < 0:
        raise fail(f"the episode has {len(frames)} frames, at least {CONTEXT + 2} are needed")
    begin = start + CONTEXT
    truth = frames[begin:begin + SHOWN]
    z = model.encode(frames[start:begin + len(truth)])
    dreamed = model.decode(model.rollout(z[None, :CONTEXT], keys[None, start:], len(truth))[0])
    shown = {"dreamed": dreamed, "rebuilt": model.decode(z[CONTEXT:]), "persistence": frames[begin - 1][None]}
    difference = {name: np.abs(pictures.astype(np.int16) - truth).mean((1, 2, 3)) for name, pictures in shown.items()}
    return truth, dreamed, difference


def in_shape(model, frame, width):
    """A frame uint8 (96, 96, 3) as a picture `width` wide, in the shape of the game's canvas."""
    across, down = model.meta.get("shape") or (640, 400)
    return Image.fromarray(frame).resize((width, round(width * down / across)), Image.BILINEAR)


def write_clip(path, model, panels, width=320):
    """A GIF of pictures {title: uint8 (T, 96, 96, 3)} side by side."""
    pictures = []
    for row in zip(*panels.values()):
        row = [in_shape(model, frame, width) for frame in row]
        sheet = Image.new("RGB", (width * len(row), row[0].height + 16))
        words = ImageDraw.Draw(sheet)
        for n, (title, picture) in enumerate(zip(panels, row)):
            words.text((n * width + 4, 2), title, fill="white")
            sheet.paste(picture, (n * width, 16))
        pictures.append(sheet.quantize(128, dither=Image.Dither.NONE))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=round(model.meta["frame_ms"]),
                     loop=0)


def truth(models):
    """The tab that shows real episodes, what the dream makes of their keys, and the difference."""
    first, made = next(iter(models)), tempfile.TemporaryDirectory(prefix="clips")

    def clips_of(name):
        clips = known_clips(models[name])
        return gr.Dropdown(choices=clips, value=clips[0] if clips else None)

    def run(name, clip, number, upload, start):
        model = models[name]
        if upload:
            frames, keys = open_upload(upload)
        elif clip in known_clips(model):
            episodes = load_kind(model.meta["game"], clip.removesuffix(" keys"))
            frames, keys = (array[int(number or 1) % len(array) - 1] for array in episodes)
        else:
            raise fail("there is no clip of this game here: upload an episode that collect.py has recorded")
        real, dreamed, difference = compare(model, frames, keys, start)
        apart = np.abs(real.astype(np.int16) - dreamed).astype(np.uint8)
        path = Path(made.name) / f"{model.meta['game']}_true_dreamed_{time.time_ns()}.gif"
        for old in sorted(path.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-8]:
            old.unlink(missing_ok=True)  # Gradio has a copy, which it deletes in an hour
        write_clip(path, model, {"true": real, "dreamed": dreamed, "difference": apart})
        seconds = np.arange(1, len(real) + 1) * model.frame_s
        curve = pandas.concat([pandas.DataFrame({"game seconds": seconds, "levels of 255": row, "picture": word})
                               for word, row in difference.items()])
        return str(path), curve, gr.DownloadButton(value=str(path), interactive=True)

    with gr.Tab("Compare with the truth"):
        gr.Markdown("A real episode and the dream under the same keys, after ten true frames. Below, how far the dream "
                    "is from the truth, beside what the 16 numbers can show at best (*rebuilt*) and a picture that "
                    f"stands still (*persistence*). An upload may have {UPLOAD_MB} MB and {MOST_FRAMES:,} frames.")
        with gr.Row():
            model = gr.Dropdown(list(models), value=first, label="Dream", visible=len(models) > 1)
            clips = known_clips(models[first])
            clip = gr.Dropdown(clips, value=clips[0] if clips else None, label="Recorded clip, played with")
            number = gr.Number(1, label="Number", precision=0, minimum=1, maximum=8)
            start = gr.Number(0, label="From frame", precision=0, minimum=0)
            upload = gr.File(label="or your episode (.npz of collect.py)", file_types=[".npz"], height=110)
        button = gr.Button("Dream it", variant="primary")
        picture = gr.Image(label="True, dreamed, difference", show_label=False, format="gif", interactive=False,
                           buttons=["fullscreen"])
        curve = gr.LinePlot(x="game seconds", y="levels of 255", color="picture", color_map=LINES,
                            colors_in_legend=list(LINES), label="Difference from the truth")
        keep = gr.DownloadButton("Save as GIF", interactive=False)
        button.click(run, [model, clip, number, upload, start], [picture, curve, keep], api_visibility="private")
        model.change(clips_of, model, clip, api_visibility="private")


# ------------------------------------------------------------------------------------------------- the 16 numbers

def open_picture(path):
    """An uploaded picture of any shape -> frame uint8 (96, 96, 3). Raises gr.Error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF", "BMP"))
            megapixels = picture.width * picture.height / 1e6
            if megapixels <= MOST_MEGAPIXELS:
                picture.draft("RGB", (192, 192))  # a JPEG need not be unpacked in full
                return np.asarray(picture.convert("RGB").resize((96, 96), Image.BOX))
    except Image.DecompressionBombError:
        raise fail(f"the picture is far too large: at most {MOST_MEGAPIXELS} megapixels are taken") from None
    except (OSError, ValueError, SyntaxError, EOFError):
        raise fail(f"this is not a picture that can be read: upload {PICTURE}") from None
    raise fail(f"the picture has {megapixels:.0f} megapixels: at most {MOST_MEGAPIXELS} are taken")


def numbers_of(model, values):
    """16 numbers of a visitor or a script -> z (1, Z). Raises gr.Error."""
    try:
        return model.state(values)[0]
    except (ValueError, TypeError):
        raise fail(f"z must be {model.features} finite numbers") from None


def inside(models):
    """The tab with a slider for each number: from a picture, to a picture, and on the way between two."""
    first = next(iter(models))
    features = models[first].features

    def range_of(model, n):
        low, high = model.meta["z_low"][n], model.meta["z_high"][n]
        return round(low - 0.25 * (high - low), 1), round(high + 0.25 * (high - low), 1)

    def moved(z):
        return [round(float(x), 4) for x in np.ravel(z)]

    def show(name, z):
        return in_shape(models[name], models[name].decode(z)[0], 480)

    def paint(name, *z):
        return show(name, numbers_of(models[name], z))

    def choose(name, start):
        model = models[name]
        state = model.starts[min(int(start), len(model.starts)) - 1][0]
        return [gr.Number(maximum=len(model.starts)), *(
            gr.Slider(minimum=low, maximum=high, value=x)
            for x, (low, high) in zip(moved(state), (range_of(model, n) for n in range(features)))),
            show(name, state)]

    def see(name, path):
        z = models[name].encode(open_picture(path)[None])
        return [*moved(z), show(name, z)]

    def walk(name, a, b, share):
        if a is None or b is None:
            raise fail('first say which frames: "This is A", then another one, "This is B"')
        z = np.array(a) + share * (np.array(b) - np.array(a))
        return [*moved(z), show(name, numbers_of(models[name], z))]

    def strip(name, a, b):
        if a is None or b is None:
            return None
        z = np.linspace(a, b, 9, dtype=np.float32)
        frames = [np.asarray(in_shape(models[name], frame, 160)) for frame in models[name].decode(z)]
        return np.vstack([np.hstack(frames[n:n + 3]) for n in (0, 3, 6)])

    with gr.Tab("Look inside"):
        gr.Markdown(f"A picture of the game is {features} numbers to the network. Move them, or show it a picture "
                    f"of yours (PNG, JPEG, WebP; at most {MOST_MEGAPIXELS} megapixels).")
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                model = gr.Dropdown(list(models), value=first, label="Dream", visible=len(models) > 1)
                picture = gr.Image(show(first, models[first].starts[0][0]), show_label=False, format="png",
                                   interactive=False, buttons=["download", "fullscreen"])
                play = gr.Button("Play on from here", variant="primary")
                with gr.Row():
                    start = gr.Number(1, label="Start state", minimum=1, maximum=len(models[first].starts), precision=0)
                    upload = gr.UploadButton("Encode a picture", file_types=["image"])
                with gr.Row():
                    is_a, is_b = gr.Button("This is A"), gr.Button("This is B")
                share = gr.Slider(0, 1, 0, label="Walk from A to B", step=0.01)
                between = gr.Image(show_label=False, format="png", interactive=False, buttons=[])
            with gr.Column(scale=3, min_width=320):
                sliders = []
                for row in range(0, features, 2):
                    with gr.Row():
                        sliders += [gr.Slider(*range_of(models[first], n), step=0.01, label=f"z {n + 1}", min_width=140,
                                              value=moved(models[first].starts[0][0])[n])
                                    for n in range(row, min(row + 2, features))]
        a, b = gr.State(), gr.State()
        quick = {"show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}
        gr.on([slider.input for slider in sliders], paint, [model, *sliders], picture, queue=False, **quick)
        gr.on([model.change, start.submit, start.blur], choose, [model, start], [start, *sliders, picture], **quick)
        upload.upload(see, [model, upload], [*sliders, picture], api_visibility="private")
        for button, kept in ((is_a, a), (is_b, b)):
            button.click(lambda *z: list(z), sliders, kept, **quick).then(strip, [model, a, b], between, **quick)
        share.input(walk, [model, a, b, share], [*sliders, picture], queue=False, **quick)
        play.click(None, [model, *sliders], js="(name, ...z) => { window.playFrom(name, z); }")


# ------------------------------------------------------------------------------------------------ what training left

def training(folder):
    """The tab with logs, contact sheets and reports of data/<game>, if there is any."""
    shown = tempfile.TemporaryDirectory(prefix="training")
    pictures = {"frames/contact_sheet.png": "recorded", "frames/clip.gif": "recorded, moving",
                "ae_curves.png": "autoencoder: loss", "ae_frames.png": "autoencoder: true and rebuilt",
                "lstm_curves.png": "dynamics: loss", "lstm_dream.png": "dynamics: true and dreamed",
                **{f"report/{name}.png": f"report: {name}" for name in
                   ("rollout", "survival", "control", "lives", "filmstrip")},
                "report/clip.gif": "report: true, dreamed"}

    def games():
        names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        return [name for name in names if any((folder / name / path).exists() for path in pictures)]

    def show(game):
        if game not in games():  # a caller could name any folder
            return "Nothing is recorded here yet: `make pipeline` makes a dream from nothing.", [], ""
        place = folder / game
        there = []
        for path, words in pictures.items():
            if (place / path).exists():  # Gradio shows no file from just anywhere
                there.append((shutil.copy(place / path, Path(shown.name) / f"{game}_{path.replace('/', '_')}"), words))
        logs = []
        for name in ("ae_log.jsonl", "lstm_log.jsonl"):
            if (place / name).exists():
                logs += [f"**{name}**, its last lines", "```",
                         *(place / name).read_text().splitlines()[-5:], "```"]
        table = place / "report" / "table.md"
        return "\n".join(logs), there, table.read_text() if table.exists() else ""

    with gr.Tab("Your training") as tab:
        gr.Markdown(f"What the scripts have left in `{folder}`: look at it while they run.")
        with gr.Row():
            game = gr.Dropdown(games(), label="Game", scale=3)
            again = gr.Button("Look again")
        gallery = gr.Gallery(label="Pictures", columns=3, object_fit="contain", format="png")
        logs, table = gr.Markdown(), gr.Markdown()
        outputs = [logs, gallery, table]
        tab.select(lambda game: gr.Dropdown(choices=games(), value=game or next(iter(games()), None)), game, game,
                   api_visibility="private").then(show, game, outputs, api_visibility="private")
        gr.on([game.input, again.click], show, game, outputs, api_visibility="private")


# --------------------------------------------------------------------------------------------------- for scripts

def api(models):
    """step, rollout, encode and decode for Gradio's client."""
    first = next(iter(models))

    def opened(name, state):
        """-> the model, and z, h, c of a state {z, h, c} of a former answer; the first start state if it is empty."""
        if name not in models:
            raise fail(f"model must be one of: {', '.join(models)}")
        model = models[name]
        if not state:
            return model, model.starts[0]
        try:
            return model, model.state(**{letter: state.get(letter) for letter in "zhc"})
        except (ValueError, TypeError, AttributeError):
            raise fail("state must be what another call has answered: {z, h, c}, or empty") from None

    def pressed(model, keys):
        """Keys of some frames as an array (T, K)."""
        try:
            keys = np.array(keys)
            if keys.shape[1:] == (len(model.meta["keys"]),) and np.isin(keys, (0, 1)).all():
                return keys
        except (ValueError, TypeError):
            pass
        raise fail(f"keys must be {len(model.meta['keys'])} numbers a frame, each 0 or 1: {model.meta['keys']}")

    def listed(state):
        return {letter: array[..., 0, :].tolist() for letter, array in zip("zhc", state)}

    def step(keys: list, state: dict | None = None, model: str = first) -> dict:
        """One frame under held keys: from a state {z, h, c} to the next one."""
        dream, state = opened(model, state)
        return listed(dream.step(state[0], pressed(dream, [keys]), *state[1:]))

    def rollout(keys: list, state: dict | None = None, model: str = first) -> dict:
        """A dream under a list of keys -> {z: of every frame, state: after the last}."""
        dream, state = opened(model, state)
        keys, dreamed = pressed(dream, keys), []
        if len(keys) > MOST_ROLLOUT:
            raise fail(f"{len(keys)} frames are too many for one call: at most {MOST_ROLLOUT}")
        for row in keys:
            state = dream.step(state[0], row[None], *state[1:])
            dreamed.append(state[0][0].tolist())
        return {"z": dreamed, "state": listed(state)}

    def encode(picture, model):
        return opened(model, None)[0].encode(open_picture(picture)[None])[0].tolist()

    def decode(z, model):
        dream, _ = opened(model, None)
        return dream.decode(numbers_of(dream, z))[0]

    gr.api(step)
    gr.api(rollout)
    with gr.Row(visible=False):
        file, numbers, name = gr.File(label="picture"), gr.JSON(label="z"), gr.Textbox(first, label="model")
        picture, button = gr.Image(label="picture", format="png"), gr.Button()
    button.click(encode, [file, name], numbers, api_name="encode", api_description="The z of a picture of the game.")
    button.click(decode, [numbers, name], picture, api_name="decode", api_description="The picture of a z, 96 x 96.")
