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
	step collect.py --episodes 80; \
	step collect.py --held-out; \
	step train_ae.py --epochs 6 --restart-epochs 6 --batch 64 --run 1 --lr 2e-3 --muon 0.02 --dropout 0 --edge 0 --interpretability 0; \
	step encode.py --live 600; \
	step train_lstm.py --epochs 4 --restart-epochs 4 --teacher-epochs 3 --rollout 16 --teacher 4 --hidden 384 \
		--widths 1024 1248 --unit --dropout 0 --window 128 --batch 8 --muon 0.03; \
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
	$(BIN)/python -m capture.browser || $(BIN)/playwright install --with-deps chromium || \
		(apt-get update -qq && apt-get install -y -qq chromium)
	$(BIN)/python -m capture.browser
	@touch $@

.PHONY: play test pipeline
