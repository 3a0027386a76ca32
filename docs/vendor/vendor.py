"""Make docs/vendor/onnxruntime-web and gifenc from the npm packages: the page needs no CDN and no server.

Writes  onnxruntime-web/ort.wasm.min.js   as it is in the package
        onnxruntime-web/ort-wasm.js       self.ORT_WASM = {version, mjs, wasm}, the last two as base64(gzip)
        gifenc/gifenc.js                  self.gifenc = what the package exports: its script in a function
        VERSION of each                   the version, and sha256 of the package's files
        SHA256SUMS                        of every script here:  sha256sum -c SHA256SUMS

    python docs/vendor/vendor.py          # needs npm and the network; LICENSE is kept by hand
"""
import base64
import gzip
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ENGINE, SCRIPT, GLUE, WASM = ("onnxruntime-web@1.30.0", "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs",
                              "ort-wasm-simd-threaded.wasm")
ENCODER, GIF = "gifenc@1.0.3", "gifenc.js"


def unpack(package, names):
    """Files of dist/ in an npm package -> {name: bytes}; and note the package in its folder here."""
    with tempfile.TemporaryDirectory() as aside:
        subprocess.run(["npm", "pack", package], cwd=aside, check=True, capture_output=True)
        with tarfile.open(next(Path(aside).glob("*.tgz"))) as archive:
            files = {name: archive.extractfile(f"package/dist/{name}").read() for name in names}
    folder = HERE / package.split("@")[0]
    folder.mkdir(exist_ok=True)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    (folder / "VERSION").write_text(f"{package} from the npm registry\n{sums}")
    return folder, files


def main():
    folder, files = unpack(ENGINE, (SCRIPT, GLUE, WASM))
    packed = {name: base64.b64encode(gzip.compress(files[name], mtime=0)).decode() for name in (GLUE, WASM)}
    engine = {"version": ENGINE.split("@")[1], "mjs": packed[GLUE], "wasm": packed[WASM]}
    (folder / SCRIPT).write_bytes(files[SCRIPT])
    (folder / "ort-wasm.js").write_text(f"self.ORT_WASM = {json.dumps(engine)};\n")

    folder, files = unpack(ENCODER, (GIF,))
    script = files[GIF].decode().partition("//# sourceMappingURL")[0]
    (folder / GIF).write_text(f"self.gifenc = (exports => {{\n{script}\nreturn exports;\n}})({{}});\n")

    (HERE / "SHA256SUMS").write_text("".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(HERE).as_posix()}\n"
        for path in sorted(HERE.glob("*/*.js"))))


if __name__ == "__main__":
    main()
