"""The whole pipeline on rented machines of Modal: recorded on many, trained on a GPU, the model brought back.

Reads   this folder as it is; needs  pip install modal  and an account (modal setup). Nothing imports it
Writes  data/<game>/model. All else stays on a Volume named dream; the same command resumes there

    modal run engine/modal_app.py --game runner --parts 8 --gpu L4

Tried without an account, so on this machine alone: the app builds, and its function runs by .local(). Not
tried on Modal: the image, the Volume, the GPU.
"""
import subprocess
import sys
import time
from pathlib import Path

import modal

ROOT = Path(__file__).parent.parent
CODE, DATA = (ROOT, ROOT / "data") if modal.is_local() else (Path("/dream"), Path("/data"))
CORES, GIBIBYTES = 4, 8     # of each machine

image = modal.Image.debian_slim("3.11")
for name in ("requirements.txt", "requirements-play.txt"):
    image = image.add_local_file(ROOT / name, f"/{name}", copy=True)
image = image.run_commands("pip install -r /requirements.txt", "playwright install --with-deps chromium")
image = image.add_local_dir(ROOT, "/dream", ignore=["**/.*", "**/__pycache__", "data"])
volume = modal.Volume.from_name("dream", create_if_missing=True, version=2)
app = modal.App("dream")


@app.function(image=image, volumes={"/data": volume}, cpu=CORES, memory=1024 * GIBIBYTES, timeout=24 * 3600)
def step(script, *arguments):
    """Run a script of the pipeline -> seconds. Raises RuntimeError if it ends with an error. Modal replaces a
    machine that it takes away, and the script goes on from what the Volume has."""
    start = time.monotonic()
    if not modal.is_local():
        volume.reload()  # what other machines have made
    result = subprocess.run([sys.executable, script, "--data", DATA, *arguments], cwd=CODE)
    if not modal.is_local():
        volume.commit()
    if result.returncode:
        raise RuntimeError(f"{script} ended with {result.returncode}: its last line says why")
    return time.monotonic() - start


def fetch(folder, target):
    """Copy a folder of the Volume to this machine."""
    for entry in volume.iterdir(folder, recursive=True):
        path = target / Path(entry.path).relative_to(folder)
        if entry.type == modal.volume.FileEntryType.FILE:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as file:
                volume.read_file_into_fileobj(entry.path, file)


@app.local_entrypoint()
def main(game: str = "runner", episodes: int = 190, live: int = 4000, parts: int = 8, gpu: str = "L4"):
    trainer = step.with_options(gpu=gpu or None)
    every_part = [("--part", f"{k}/{parts}") for k in range(1, parts + 1)]
    plan = [(step, "collect.py", [("--episodes", str(episodes), *part) for part in every_part]),
            (step, "collect.py", [("--held-out",)]),
            (trainer, "train_ae.py", [()]),
            (trainer, "encode.py", [()]),
            (step, "encode.py", [("--live", str(live), *part) for part in every_part]),
            (trainer, "train_lstm.py", [()]),
            (step, "export.py", [()]),
            (step, "evaluate.py", [()])]
    for function, script, runs in plan:
        seconds = list(function.starmap([(script, "--game", game, *arguments) for arguments in runs]))
        print(f"{script}: {len(runs)} x {sum(seconds) / len(runs):.0f} s")
    name = Path(game).stem
    fetch(f"{name}/model", ROOT / "data" / name / "model")
    print(f"play it:  python app.py --model data/{name}/model")
