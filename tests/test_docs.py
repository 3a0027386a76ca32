"""README and guides: short, true to the files and options that exist, and in the project's words."""
import ast
import base64
import contextlib
import functools
import gzip
import hashlib
import io
import itertools
import json
import re
import runpy
import shlex
from unittest import mock

import pytest
from helpers import ROOT

README = ROOT / "README.md"
GUIDES = sorted((ROOT / "docs").glob("*.md"))
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (README, *GUIDES)}
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.M | re.S)

# The README's table: {row: where its figure stands in a report.json, factor}
ROWS = {
    "sharpness of the autoencoder: PSNR, dB": ("kinds/random/ceiling/psnr_db", 1),
    "the same where something moves": ("kinds/random/ceiling/psnr_moving_db", 1),
    "one-step skill within a life (0: persistence, 1: perfect)": ("kinds/random/one_step/skill_alive", 1),
    "rollouts: gain over persistence up to 1 s, dB": ("kinds/random/rollout/gain_db_whole/1.0", 1),
    "the same up to 5 s": ("kinds/random/rollout/gain_db_whole/5.0", 1),
    "error of the body angles after 1 s, over persistence's":
        ("kinds/random/rollout/pose_over_persistence/1.0", 1),
    "control: cosine of dreamed and real effect of keys": ("choices/effect_cosine", 1),
    "frames of long dreams that have exploded, %": ("stability/random/exploded", 100),
    "falls in 1,000 frames, dreamed": ("falls/random/dreamed/per_1000_frames", 1),
    "falls in 1,000 frames, real": ("falls/random/real/per_1000_frames", 1),
}
# Words that the vocabulary has replaced: in prose, and as names in the code
NOT_IN_PROSE = (r"teacher alone", r"dreams alone", r"warm-up frames?", r"begun", r"who plays",
                r"\bpass(es)? (of|over|with)\b", r"\b(a|one|two|three|each|second|new|more) pass(es)?\b",
                r"trained on from", r"whose \w+ need not be there", r"memory says")
NOT_AS_NAMES = {"WARM_UP", "SEEN", "said", "told", "begun", "theirs", "ours"}
CODE = ("*.py", "capture/*.*", "engine/*.py", "games/*.py", "ui/*.*", "bench/*.py", "tests/*.py", "docs/*.js",
        "docs/runner/*.js")


def inline(text):
    """What stands in backquotes outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def commands(text):
    """The commands of a page, in blocks and in lines."""
    blocks = (body.splitlines() for language, body in FENCE.findall(text) if not language)
    lines = itertools.chain(inline(text), *blocks)
    return [shlex.split(line, comments=True) for line in lines if re.match(r"(python|make) ", line)]


@functools.cache
def options(*script):
    """The options that `python <script> --help` knows, in this process, which has imported torch already."""
    output = io.StringIO()
    start = runpy.run_module if script[0] == "-m" else runpy.run_path
    with mock.patch("sys.argv", [script[-1], "--help"]), contextlib.redirect_stdout(output), \
            pytest.raises(SystemExit) as caught:
        start(script[-1] if script[0] == "-m" else str(ROOT / script[0]), run_name="__main__")
    assert not caught.value.code
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", output.getvalue()))


def scripts(text):
    """Every python command of a page -> (what python runs, its options)."""
    for _, *args in (words for words in commands(text) if words[0] == "python"):
        length = 2 if args[0] == "-m" else 1
        yield tuple(args[:length]), [word for word in args[length:] if word.startswith("--")]


def slug(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_vendored_scripts_are_those_that_were_listed():
    folder = ROOT / "docs" / "vendor"
    listed = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    found = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
             for path in folder.glob("*/*.js")}
    assert found == listed and len(found) == 4
    engine = (folder / "onnxruntime-web" / "ort-wasm.js").read_text()
    for part in re.findall(r'"(?:mjs|wasm)": "([^"]+)"', engine):  # of the package, byte by byte
        content = gzip.decompress(base64.b64decode(part))
        assert hashlib.sha256(content).hexdigest() in (folder / "onnxruntime-web" / "VERSION").read_text()


def test_every_requirement_is_locked_with_hashes():
    locked = re.findall(r"^([\w.-]+)==([\w.]+)[^\n]*((?:\n    --hash=sha256:[0-9a-f]{64}[ \\]*)*)",
                        (ROOT / "requirements.lock").read_text(), re.M)
    assert len(locked) > 80 and all(hashes for _, _, hashes in locked)
    for file in ("requirements.txt", "requirements-play.txt"):
        wanted = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / file).read_text(), re.M)
        assert len(wanted) > 5 and set(wanted) <= {(name, version) for name, version, _ in locked}


def test_the_readme_is_one_page():
    assert len(README.read_text().splitlines()) <= 160


def test_no_figure_is_left_open():
    assert not [name for name, text in PAGES.items() if "{{" in text]


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pictures_exist(name):
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", FENCE.sub("", target.read_text()), re.M)
            assert anchor in map(slug, headings), link


@pytest.mark.parametrize("name", PAGES)
def test_files_that_are_named_exist(name):
    for code in inline(PAGES[name]):
        if re.fullmatch(r"(docs|games|tests|capture|bench|ui|held_out)/[\w./]*|\w+\.py", code):
            assert (ROOT / code).exists(), code


@pytest.mark.parametrize("name", PAGES)
def test_commands_have_the_options_that_they_use(name):
    for script, used in scripts(PAGES[name]):
        assert script[0] == "-m" or (ROOT / script[0]).exists(), script
        if used:
            assert set(used) <= options(*script), (script, used)


def test_options_in_prose_exist():
    known = set().union(*(options(*script) for text in PAGES.values() for script, used in scripts(text)
                          if used))
    for name, text in PAGES.items():
        for code in inline(text):
            if code.startswith("--"):
                assert code.split()[0] in known, (name, code)


def test_make_has_the_targets_and_variables_that_are_used():
    makefile = (ROOT / "Makefile").read_text()
    used = [words[1:] for text in PAGES.values() for words in commands(text) if words[0] == "make"]
    assert ["play"] in used and ["test"] in used
    for target, *variables in used:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.M), target
        for variable in variables:
            assert re.search(rf"^{variable.split('=')[0]} \?=", makefile, re.M), variable


def test_the_guide_shows_the_whole_description():
    description = (ROOT / "tests" / "games" / "breakout.py").read_text()
    assert f"```python\n{description}```" in PAGES["docs/own-game.md"]


def test_the_guide_lists_every_field_of_a_description():
    from capture.games import Game
    fields = set(Game.__dataclass_fields__) - {"name", "gaits", "home", "digest"}
    rows = re.findall(r"^\| (`.+?) \|", PAGES["docs/own-game.md"], re.M)
    assert fields <= set(re.findall(r"`(\w+)`", " ".join(rows)))


def test_the_table_of_results_is_that_of_the_reports():
    columns = []
    for game in ("qwop", "runner"):
        report = json.loads((ROOT / "docs" / "report" / game / "report.json").read_text())
        columns += [report[f"docs/model/{game}"], report[f"data/orig/{game}/model"]]
    table = README.read_text().partition("| | QWOP | original's recipe | runner | original's recipe |\n")[2]
    lines = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()[1:]]
    assert [title for title, *_ in lines] == list(ROWS)
    for title, *cells in lines:
        path, factor = ROWS[title]
        for cell, figures in zip(cells, columns, strict=True):
            for key in path.split("/"):
                figures = figures[key]
            unit = 10.0 ** -len(cell.partition(".")[2])
            assert float(cell) == pytest.approx(factor * figures, abs=0.51 * unit), title


@pytest.mark.parametrize("name", PAGES)
def test_prose_keeps_to_the_vocabulary(name):
    prose = FENCE.sub("", PAGES[name])
    assert [match[0] for pattern in NOT_IN_PROSE for match in re.finditer(pattern, prose, re.I)] == []


def names(path):
    """The identifiers of a Python or JavaScript file."""
    text = path.read_text()
    if path.suffix == ".js":
        text = re.sub(r"//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"", "", text, flags=re.S)
        return set(re.findall(r"[A-Za-z_$][\w$]*", text))
    identifiers = set()
    for node in ast.walk(ast.parse(text)):
        identifiers |= {getattr(node, field, None) for field in ("id", "arg", "attr", "name")}
    return identifiers


def test_code_keeps_to_the_vocabulary():
    files = [path for pattern in CODE for path in ROOT.glob(pattern) if path.suffix in (".py", ".js")]
    wrong = {path.relative_to(ROOT).as_posix(): sorted(names(path) & NOT_AS_NAMES) for path in files}
    assert {path: words for path, words in wrong.items() if words} == {}
