"""What comes to the app from outside is checked here: who calls, how much they send, what they upload.

A web site may give itself a name that points to this machine (DNS rebinding), or post to it from a visitor's
browser: so Host must be a name of this machine where the app listens on it alone, and Origin the app itself.
Uploads are never unpickled or kept, and their size is checked before they are unpacked.

Shapes: T frames, K keys
"""
import zipfile
from urllib.parse import urlsplit

import gradio as gr
import numpy as np
from PIL import Image, ImageOps
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from data import load_episode

MAX_CALL = 4 * 2**20        # bytes of a request that uploads no file
UPLOAD_MB = 50
MAX_FRAMES = 10_000         # of an uploaded episode
MAX_EPISODE_MB = 280        # when unpacked: so many frames
MAX_MEGAPIXELS = 30         # of an uploaded image
Image.MAX_IMAGE_PIXELS = MAX_MEGAPIXELS * 10**6 // 2  # PIL warns above it, and refuses what is twice as large
LOOPBACK = "127.0.0.1", "localhost", "::1"
# Gradio's page needs inline scripts and eval; nothing comes from elsewhere, and Hugging Face may frame it.
HEADERS = {
    "content-security-policy":
        "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co",
    "x-content-type-options": "nosniff", "referrer-policy": "same-origin"}


class Door:
    """ASGI middleware. host: where the app listens. root: its address behind a proxy, or ""."""

    def __init__(self, app, host, root):
        self.app, self.is_local, self.root = app, host in LOOPBACK, root

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        prefix = scope.get("root_path", "")
        if not scope["path"].startswith(prefix):  # a proxy took it away, but mounted folders need it
            scope = scope | {"path": prefix + scope["path"]}
        headers = Headers(scope=scope)
        left = (UPLOAD_MB + 1) * 2**20 if scope["path"].endswith("/upload") else MAX_CALL
        size = headers.get("content-length", "0")

        async def receive_bounded():
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:  # it came in parts, without its size
                raise HTTPException(413)
            return message

        async def send_safely(message):
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = message | {"headers": [*message["headers"], *more]}
            await send(message)

        answer = self.app
        if self.is_local and urlsplit(f"//{headers.get('host', '')}").hostname not in LOOPBACK:
            answer = PlainTextResponse("a foreign name for this machine", 400)
        elif "origin" in headers and urlsplit(headers["origin"]).netloc not in self.own(headers):
            answer = PlainTextResponse("a call from a foreign site", 403)
        elif not size.isdecimal() or len(size) > 12 or int(size) > left:
            answer = PlainTextResponse("too large", 413)
        await answer(scope, receive_bounded, send_safely)

    def own(self, headers):
        """The places that are the app itself: as it was called, and as a proxy was."""
        forwarded = headers.get("x-forwarded-host", "").split(",")[0].strip()
        return {headers.get("host"), forwarded, urlsplit(self.root).netloc} - {""}


def refusal(words):
    """The error that a visitor, or the caller of the API, reads."""
    return gr.Error(words[:1].upper() + words[1:], print_exception=False)


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


def open_image(path):
    """An uploaded image of any shape -> frame uint8 (96, 96, 3). Raises gr.Error."""
    try:
        image = Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF", "BMP"))
        image.draft("RGB", (192, 192))  # a JPEG need not be unpacked in full
        image = ImageOps.exif_transpose(image)  # as its camera was held
        if image.mode.startswith("I"):  # grey of 16 bits
            image = Image.fromarray((np.asarray(image) / 257).astype(np.uint8))
        image = image.convert("RGB")
    except Image.DecompressionBombError:
        raise refusal(f"the image is too large: at most {MAX_MEGAPIXELS} megapixels are accepted") from None
    except (OSError, ValueError, SyntaxError):  # what PIL raises for a damaged file
        raise refusal("this image cannot be read: upload a PNG, JPEG or WebP of the game") from None
    return np.asarray(image.resize((96, 96), Image.BOX))
