"""The model that ships, in the page as it ships."""
import hashlib
import json

import numpy as np
import onnxruntime
import pytest
from conftest import ROOT

import data
import evaluate

FOLDER = ROOT / "docs" / "model" / "runner"
META = json.loads((FOLDER / "meta.json").read_text())


def test_files_are_the_ones_that_meta_tells_of():
    assert (META["game"], META["parameters"], META["frame_ms"]) == ("runner", 6_783_779, 100.0)
    for name, wanted in META["sha256"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == wanted, name
    assert META["fidelity"]["autoencoder"]["psnr_db"] >= 28 and META["fidelity"]["dynamics"]["skill"] > 0.8


def test_start_states_are_pictures_that_survive_the_autoencoder():
    encoder, decoder = (onnxruntime.InferenceSession(FOLDER / f"{name}.onnx") for name in ("encoder", "decoder"))
    z = np.float32([start["z"] for start in META["starts"]])
    painted = decoder.run(None, {"z": z})[0]
    again = decoder.run(None, {"z": encoder.run(None, {"frames": painted[..., :3].copy()})[0]})[0]
    assert len(z) == 8 and np.abs(painted.astype(int) - again).mean() < 5 < painted[..., :3].std()


@pytest.mark.parametrize("game", ["qwop"])
def test_the_model_is_as_good_as_the_report_and_the_readme_say(game):
    folder = ROOT / "docs" / "report" / game
    assert (folder / "table.md").read_text() in (ROOT / "README.md").read_text()
    said = json.loads((folder / "report.json").read_text())[f"docs/model/{game}"]
    model, kinds = evaluate.Model(ROOT / "docs" / "model" / game), data.load_held_out(ROOT / "held_out" / game)
    z = {kind: model.encode(arrays["frames"]) for kind, arrays in kinds.items()}
    probes, _ = evaluate.fit_probes(kinds, z)
    for kind in ("random", "gait", "human", "held"):
        arrays, wanted = kinds[kind], said["kinds"][kind]
        median = np.median(arrays["frames"][:, ::7], axis=(0, 1))
        ceiling = evaluate.measure_ceiling(model, arrays, z[kind], probes, median)
        one_step = evaluate.measure_one_step(model, arrays, z[kind])
        assert ceiling["psnr_db"] > wanted["ceiling"]["psnr_db"] - 0.05, kind
        assert ceiling["probe_degrees"] < wanted["ceiling"]["probe_degrees"] + 0.5, kind
        assert one_step["skill"] > wanted["one_step"]["skill"] - 0.02, kind
    choices, _ = evaluate.measure_choices(model, kinds["choices"], z["choices"], probes)
    assert choices["effect_cosine"] > said["choices"]["effect_cosine"] - 0.02


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page(bypass_csp=True)
    page.goto((ROOT / "docs" / "index.html").as_uri())
    page.wait_for_selector("body:not([data-state=loading])")
    assert page.evaluate("document.body.dataset.state") == "ready", page.locator("#status").text_content()
    yield page
    page.close()


def picture(page, key=None):
    """The canvas after a second of dream from the start, with a key held or none."""
    page.keyboard.press("r")
    if key:
        page.keyboard.down(key)
    page.wait_for_function("dream.frame === 1")
    page.wait_for_function("dream.frame === 10")
    rgba = page.evaluate("[...document.getElementById('picture').getContext('2d').getImageData(0, 0, 96, 96).data]")
    if key:
        page.keyboard.up(key)
    return np.array(rgba, np.uint8).reshape(96, 96, 4)[..., :3].astype(int)


@pytest.mark.parametrize("key", ["q", "w", "o", "p"])
def test_every_key_moves_the_runner(page, key):
    change = np.abs(picture(page, key) - picture(page)).max(-1)
    assert (change > 40).sum() > 50  # pixels, of a runner of about 1,000
