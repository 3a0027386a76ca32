"""The models and reports that ship, in the page as it ships."""
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT

import data
import evaluate
import metrics
from dream import Model

GAMES = ("qwop", "runner")


@pytest.fixture(scope="module", params=GAMES)
def game(request):
    return request.param


@pytest.fixture(scope="module")
def model(game):
    return Model(ROOT / "docs" / "model" / game)


@pytest.fixture(scope="module")
def held_out(game, model):
    """The held-out episodes and their z, both by kind of keys."""
    kinds, _ = data.load_held_out(ROOT / "held_out" / game)
    return kinds, {kind: model.encode(arrays["frames"]) for kind, arrays in kinds.items()}


def test_files_are_the_ones_that_meta_lists(game, model):
    assert (model.meta["game"], model.meta["frame_ms"]) == (game, 100)
    assert 6_300_000 < model.meta["parameters"] <= 6_783_779
    sha256 = model.meta["sha256"]
    assert {"encoder.onnx", "decoder.onnx", "dynamics.onnx", "model.js"} <= set(sha256)
    for name, expected in sha256.items():
        assert hashlib.sha256((model.folder / name).read_bytes()).hexdigest() == expected, name


def test_start_states_survive_the_autoencoder(model):
    z = np.concatenate([start[0] for start in model.starts])
    painted = model.decode(z)
    again = model.decode(model.encode(painted))
    assert len(z) == 8 and np.abs(painted.astype(int) - again).mean() < 5 < painted[0].std()


def cells(table):
    """The cells of a Markdown table -> [[text]]"""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


@pytest.mark.parametrize("game", GAMES)
def test_the_table_is_that_of_the_report(game):
    """table.md is what evaluate.py makes of report.json, whose figures are rounded to four decimals: the last
    digit of a cell may differ by one."""
    folder = ROOT / "docs" / "report" / game
    reports = json.loads((folder / "report.json").read_text())
    table, expected = cells(evaluate.table(reports)), cells((folder / "table.md").read_text())
    assert table[:2] == expected[:2] and [row[0] for row in table] == [row[0] for row in expected]
    assert table[0][1] == f"docs/model/{game}" and len(table[0]) == 3
    for row, expected_row in zip(table[2:], expected[2:]):
        numbers, expected_numbers = (" / ".join(cells[1:]).split(" / ") for cells in (row, expected_row))
        for number, other in zip(numbers, expected_numbers, strict=True):
            unit = 10.0 ** -len(number.partition(".")[2])
            assert number == other or abs(float(number) - float(other)) < 1.1 * unit, row[0]


@pytest.mark.parametrize("game", GAMES)
def test_the_report_is_of_the_held_out_episodes(game):
    kinds, _ = data.load_held_out(ROOT / "held_out" / game)
    assert f"docs/model/{game}" in evaluate.read_report(ROOT / "docs" / "report" / game, kinds)


@pytest.mark.slow
def test_the_model_measures_what_the_report_says(game, model, held_out):
    """Measured again, figure by figure; how another processor rounds is far below the tolerances."""
    kinds, z = held_out
    report = json.loads((ROOT / "docs" / "report" / game / "report.json").read_text())
    reported = report[f"docs/model/{game}"]
    probes = metrics.fit_probes(kinds, z)
    for kind in ("random", "gait", "human", "held"):
        arrays, expected = kinds[kind], reported["kinds"][kind]
        median = np.median(arrays["frames"][:, ::7], axis=(0, 1))
        ceiling = metrics.measure_ceiling(model, arrays, z[kind], probes, median)
        tolerances = {"psnr_db": 0.05, "psnr_moving_db": 0.05, "ssim": 0.001, "probe_degrees": 0.5}
        for name, tolerance in tolerances.items():
            assert ceiling[name] == pytest.approx(expected["ceiling"][name], abs=tolerance), (kind, name)
        one_step = metrics.measure_one_step(model, arrays, z[kind])
        assert one_step == pytest.approx(expected["one_step"], abs=0.02), kind
    choices, _ = metrics.measure_choices(model, kinds["choices"], z["choices"], probes)
    for name in ("step_cosine", "effect_cosine", "effect_size"):
        assert choices[name] == pytest.approx(reported["choices"][name], abs=0.02), name


# ------------------------------------------------------------------------------------------------ in the page

@pytest.fixture(scope="module")
def page(game, browser):
    """The page that plays the game's model, and the addresses that it has asked for."""
    page = browser.new_page(bypass_csp=True)
    page.requested = set()
    page.on("request", lambda request: page.requested.add(request.url.split("?")[0]))
    page.goto((ROOT / "docs" / "index.html").as_uri() + f"?model={game}")
    page.wait_for_selector("body:not([data-state=loading])")
    assert page.evaluate("document.body.dataset.state") == "ready", page.locator("#status").text_content()
    yield page
    page.close()


def test_it_loads_less_than_13_megabytes(page):
    page.wait_for_timeout(500)
    files = [Path(url.removeprefix("file://")) for url in page.requested if url.startswith("file://")]
    assert {"model.js", "ort-wasm.js"} <= {file.name for file in files}
    assert sum(file.stat().st_size for file in files) < 13e6


def dreamed_frame(page, key=None):
    """The frame a second after the start, with a key held or none -> int (96, 96, 3)"""
    rgba = page.evaluate("""key => new Promise(done => loop.queue(async () => {
      dream.restart(0);
      for (let n = 0; n < 10; n++) await dream.step(dream.meta.keys.map(name => Number(name === key)));
      done([...await dream.paint()]);
    }))""", key)
    return np.array(rgba, np.uint8).reshape(96, 96, 4)[..., :3].astype(int)


@pytest.mark.slow
def test_every_key_moves_the_runner(page):
    still = dreamed_frame(page)
    for key in "qwop":
        change = np.abs(dreamed_frame(page, key) - still).max(-1)
        assert (change > 40).sum() > 50, key  # pixels, of a runner of about 1,000


@pytest.mark.slow
def test_it_runs_while_one_watches(browser):
    page = browser.new_page(bypass_csp=True)
    page.goto((ROOT / "docs" / "index.html").as_uri() + "?model=qwop")
    page.wait_for_selector("body[data-state=ready]")
    page.get_by_role("button", name="Watch it run").click()
    page.wait_for_function("loop.metres > 1", timeout=60_000)
    page.get_by_role("button", name="Play yourself").click()
    page.wait_for_function("loop.isPersonPlaying")
    page.close()
