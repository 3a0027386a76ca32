"""The model that ships, in the page as it ships."""
import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from helpers import ROOT

import data
import evaluate

MODELS = ROOT / "docs" / "model"


@pytest.mark.parametrize("game", ["qwop", "runner"])
def test_files_are_the_ones_that_meta_tells_of(game):
    meta = json.loads((MODELS / game / "meta.json").read_text())
    assert (meta["game"], meta["frame_ms"]) == (game, 100.0) and 6_700_000 < meta["parameters"] <= 6_783_779
    for name, wanted in meta["sha256"].items():
        assert hashlib.sha256((MODELS / game / name).read_bytes()).hexdigest() == wanted, name


@pytest.mark.parametrize("game", ["qwop", "runner"])
def test_start_states_are_pictures_that_survive_the_autoencoder(game):
    encoder, decoder = (onnxruntime.InferenceSession(MODELS / game / f"{name}.onnx") for name in ("encoder", "decoder"))
    z = np.float32([start["z"] for start in json.loads((MODELS / game / "meta.json").read_text())["starts"]])
    painted = decoder.run(None, {"z": z})[0]
    again = decoder.run(None, {"z": encoder.run(None, {"frames": painted[..., :3].copy()})[0]})[0]
    assert len(z) == 8 and np.abs(painted.astype(int) - again).mean() < 5 < painted[..., :3].std()


@pytest.mark.parametrize("game", ["qwop", "runner"])
def test_the_model_is_as_good_as_the_report_and_the_readme_say(game):
    folder = ROOT / "docs" / "report" / game
    assert (folder / "table.md").read_text() in (ROOT / "README.md").read_text()
    said = json.loads((folder / "report.json").read_text())[f"docs/model/{game}"]
    model, kinds = evaluate.Model(MODELS / game), data.load_held_out(ROOT / "held_out" / game)
    z = {kind: model.encode(arrays["frames"]) for kind, arrays in kinds.items()}
    probes = evaluate.fit_probes(kinds, z)
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


@pytest.mark.parametrize("game", ["qwop", "runner"])
def test_a_fall_is_counted_where_its_picture_shows_one(game):
    """Fitted on half of the episodes, the detector says of the others what the game said; and no life ends in what lies
    half way between two postures, soft as its picture may be."""
    model, kinds = evaluate.Model(MODELS / game), data.load_held_out(ROOT / "held_out" / game)
    z = {kind: model.encode(kinds[kind]["frames"]) for kind in ("random", "human", "held")}
    detector = evaluate.FallDetector(model, {kind: {"over": kinds[kind]["over"][::2]} for kind in z},
                                     {kind: rows[::2] for kind, rows in z.items()})
    for kind, rows in z.items():
        np.testing.assert_array_equal(detector(rows[1::2]), kinds[kind]["over"][1::2])
    assert sum(kinds[kind]["over"][1::2].sum() for kind in z) > 15
    alive = np.concatenate([rows[~kinds[kind]["over"]] for kind, rows in z.items()])
    other = np.random.default_rng(0).permutation(alive)
    assert detector((alive + other)[None] / 2).mean() < 0.002


@pytest.mark.parametrize("game", ["qwop", "runner"])
def test_it_loads_less_than_20_megabytes(game, browser):
    page, asked = browser.new_page(), set()
    page.on("request", lambda request: asked.add(request.url.split("?")[0]))
    page.goto((ROOT / "docs" / "index.html").as_uri() + f"?model={game}")
    page.wait_for_selector("body[data-state=ready]")
    page.wait_for_timeout(500)
    files = [Path(url.removeprefix("file://")) for url in asked if url.startswith("file://")]
    assert {"model.js", "ort-wasm.js"} <= {file.name for file in files}
    assert sum(file.stat().st_size for file in files) < 20e6
    page.close()


@pytest.fixture(scope="module", params=["qwop", "runner"])
def page(request, browser):
    page = browser.new_page(bypass_csp=True)
    page.goto((ROOT / "docs" / "index.html").as_uri() + f"?model={request.param}")
    page.wait_for_selector("body:not([data-state=loading])")
    assert page.evaluate("document.body.dataset.state") == "ready", page.locator("#status").text_content()
    yield page
    page.close()


def picture(page, key=None):
    """What is dreamed after a second from the start, with a key held or none."""
    rgba = page.evaluate("""key => new Promise(done => wish(async () => {
      dream.restart(0);
      for (let n = 0; n < 10; n++) await dream.step(dream.meta.keys.map(name => Number(name === key)));
      done([...await dream.paint()]);
    }))""", key)
    return np.array(rgba, np.uint8).reshape(96, 96, 4)[..., :3].astype(int)


@pytest.mark.parametrize("key", ["q", "w", "o", "p"])
def test_every_key_moves_the_runner(page, key):
    change = np.abs(picture(page, key) - picture(page)).max(-1)
    assert (change > 40).sum() > 50  # pixels, of a runner of about 1,000


def test_a_search_finds_a_run_in_the_dream(browser):
    page = browser.new_page(bypass_csp=True)
    page.goto((ROOT / "docs" / "index.html").as_uri() + "?model=qwop")
    page.wait_for_selector("body[data-state=ready]")
    page.get_by_role("button", name="Search a run").click()
    page.wait_for_selector("#search:has-text('Stop: 32 tried')", timeout=60_000)
    page.locator("#search").click()
    page.wait_for_function("byId('player').value === 'best' && dream.frame > 5")
    found = page.locator("#player option[value=best]").text_content()
    assert float(found.split(":")[1].split()[0]) > 1  # metres
    page.close()
