# make play      play the shipped dream (installs only what playing needs)
# make test      lint and test (installs everything, and a browser if there is none)
# make pipeline  every step, small: from an empty data/ to a playable model in data/runner/model
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

play: .venv/play
	$(BIN)/python app.py

test: .venv/all .venv/browser
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

pipeline: .venv/all .venv/browser
	@set -e; began=$$SECONDS; \
	step() { local start=$$SECONDS; echo "== python $$*"; $(BIN)/python "$$@"; echo "== took $$((SECONDS - start)) s"; }; \
	step collect.py --episodes 80 --policy random; \
	step collect.py --held-out; \
	step train_ae.py --epochs 6 --restart-epochs 6 --pixel-epochs 5 --batch 32 --run 1 --lr 2e-3 --dropout 0 --interpretability 0; \
	step encode.py --live 600 --policy random; \
	step train_lstm.py --epochs 6 --restart-epochs 6 --batch 8 --rollout 10; \
	step export.py; \
	step evaluate.py; \
	echo "== all took $$((SECONDS - began)) s; play it:  $(BIN)/python app.py --model data/runner/model"

.venv/play: requirements-play.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements-play.txt
	@touch $@

.venv/all: requirements.txt requirements-play.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements.txt
	@touch $@ .venv/play

# Playwright's own Chromium, or the system's where that cannot be downloaded.
.venv/browser: .venv/all
	$(BIN)/python recorder.py || $(BIN)/playwright install --with-deps chromium || \
		(apt-get update -qq && apt-get install -y -qq chromium)
	$(BIN)/python recorder.py
	@touch $@

.PHONY: play test pipeline
