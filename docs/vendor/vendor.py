"""Make docs/vendor/onnxruntime-web from the npm package, so that the page needs no CDN and no server.

Writes  ort.wasm.min.js   as it is in the package
        ort-wasm.js       self.ORT_WASM = {version, mjs, wasm}: its glue script and its wasm as base64(gzip)
        VERSION           the version, and sha256 of the package's files

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

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
SCRIPT, GLUE, WASM = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"


def main():
    folder = Path(__file__).parent / "onnxruntime-web"
    with tempfile.TemporaryDirectory() as aside:
        subprocess.run(["npm", "pack", PACKAGE], cwd=aside, check=True, capture_output=True)
        with tarfile.open(next(Path(aside).glob("*.tgz"))) as package:
            files = {n: package.extractfile(f"package/dist/{n}").read() for n in (SCRIPT, GLUE, WASM)}
    packed = {name: base64.b64encode(gzip.compress(files[name], mtime=0)).decode() for name in (GLUE, WASM)}
    engine = {"version": VERSION, "mjs": packed[GLUE], "wasm": packed[WASM]}
    (folder / SCRIPT).write_bytes(files[SCRIPT])
    (folder / "ort-wasm.js").write_text(f"self.ORT_WASM = {json.dumps(engine)};\n")
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    (folder / "VERSION").write_text(f"{PACKAGE} from the npm registry\n{sums}")


if __name__ == "__main__":
    main()
