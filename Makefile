# make play                            play the shipped dreams (installs only what playing needs)
# make test                            lint, and the fast tests (installs everything, and a browser if there is none)
# make test-all                        the slow tests too
# make dream GAME=path/to/game.py      every step for a game of yours: from nothing to a playable model
# make pipeline                        the same for the open runner, small
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
GAME ?= runner
# How much is recorded and trained: stored episodes, episodes encoded in all, epochs
EPISODES ?= 190
LIVE ?= 4000
AE_EPOCHS ?= 12
LSTM_EPOCHS ?= 4
TICKS ?= 3

play: .venv/play
	$(BIN)/python app.py

test: .venv/all .venv/browser
	$(BIN)/ruff check .
	[ ! -x $(BIN)/biome ] || $(BIN)/biome lint .
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

test-all: test
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile --no-loadscope-reorder

dream: .venv/all .venv/browser
	time $(BIN)/python collect.py --game $(GAME) --episodes $(EPISODES) --ticks-per-frame $(TICKS)
	time $(BIN)/python collect.py --game $(GAME) --held-out
	time $(BIN)/python train_ae.py --game $(GAME) --epochs $(AE_EPOCHS)
	time $(BIN)/python encode.py --game $(GAME) --live $(LIVE)
	time $(BIN)/python train_lstm.py --game $(GAME) --epochs $(LSTM_EPOCHS)
	time $(BIN)/python export.py --game $(GAME)
	time $(BIN)/python evaluate.py --game $(GAME)
	@echo "play it:  $(BIN)/python app.py --model data/$(basename $(notdir $(GAME)))/model"

pipeline:
	$(MAKE) dream GAME=runner EPISODES=80 LIVE=600 AE_EPOCHS=6

# A folder that an interrupted run, or another Python, has left is made anew.
VENV = $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, and \
	$(PYTHON) is " + sys.version.split()[0] + ": name another one, make PYTHON=python3.12")' && \
	$(PYTHON) -m venv $(if $(wildcard .venv/play),,--clear) .venv

.venv/play: requirements-play.txt
	$(VENV)
	$(BIN)/pip install --quiet -r requirements-play.txt
	@touch $@

.venv/all: requirements.txt requirements-play.txt
	$(VENV)
	$(BIN)/pip install --quiet -r requirements.txt
	@touch $@ .venv/play

# Playwright's own Chromium, or the system's where that cannot be downloaded.
.venv/browser: .venv/all
	$(BIN)/python -m capture.browser || $(BIN)/playwright install --with-deps chromium || \
		(apt-get update -qq && apt-get install -y -qq chromium)
	$(BIN)/python -m capture.browser
	@touch $@

.PHONY: play test test-all dream pipeline
