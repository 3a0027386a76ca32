# make play                            play the shipped dreams (installs only what playing needs)
# make test                            lint, and the fast tests (installs everything, and a browser if there is none)
# make test-all                        the slow tests too; on Linux installs Firefox and WebKitGTK for them
# make dream GAME=path/to/game.py      every step for a game of yours: from nothing to a playable model
# make rounds GAME=path/to/game.py     and more: a player learns in the dream, and its real play teaches the dream, in turn
# make pipeline                        make dream for the open runner, small
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
GAME ?= runner
# How much is recorded and trained: stored episodes, episodes encoded in all, epochs, minutes of a player
EPISODES ?= 190
LIVE ?= 4000
AE_EPOCHS ?= 12
LSTM_EPOCHS ?= 4
MINUTES ?= 10
TICKS ?= 3
DATA ?= data
ROUNDS ?= 3
# The game's page, if it is another one than the description names: make dream GAME=qwop PAGE=copy/Athletics.html
PAGE ?=
SUDO = $(shell [ $$(id -u) = 0 ] || echo sudo)
NAME = $(basename $(notdir $(GAME)))

play: .venv/play
	$(BIN)/python app.py

test: .venv/all .venv/browser
	$(BIN)/ruff check .
	[ ! -x $(BIN)/biome ] || $(BIN)/biome lint .
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

test-all: test .venv/browsers
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile --no-loadscope-reorder

STEP = time $(BIN)/python $(1).py --game $(GAME) --data $(DATA)
AT = $(if $(PAGE),--url '$(PAGE)')
dream: .venv/all .venv/browser
	$(call STEP,collect) $(AT) --episodes $(EPISODES) --ticks-per-frame $(TICKS)
	$(call STEP,collect) $(AT) --held-out
	$(call STEP,train_ae) --epochs $(AE_EPOCHS)
	$(call STEP,encode) $(AT) --live $(LIVE)
	$(call STEP,train_lstm) --epochs $(LSTM_EPOCHS)
	$(call STEP,export)
	$(call STEP,evaluate)
	@echo "play it:  $(BIN)/python app.py --model $(DATA)/$(NAME)/model"

# A round: a player learns in the dream and plays the real game 32 times, which only measures. The next round first records
# 96 more episodes of it, with changes in each life, and the dream learns from those.
rounds: .venv/all .venv/browser
	@grep -q "^score" $(if $(filter %.py,$(GAME)),$(GAME),games/$(GAME).py) || { echo "name a game with a score, by which a player learns: make rounds GAME=mygame.py"; exit 1; }
	test -e $(DATA)/$(NAME)/model/meta.json || $(MAKE) dream
	for n in $$(seq $(ROUNDS)); do test -e $(DATA)/$(NAME)/round$$n || $(MAKE) round ROUND=$$n || exit 1; done

PLAY = $(BIN)/python collect.py --game $(GAME) $(AT) --player $(DATA)/$(NAME)/model/player.json
round:
	[ $(ROUND) = 1 ] || test -e $(DATA)/$(NAME)/taught$(ROUND) || $(MAKE) teach
	test -e $(DATA)/round$(ROUND)/$(NAME)/frames/meta.json || { $(call STEP,train_player) --minutes $(MINUTES); }
	$(PLAY) --data $(DATA)/round$(ROUND) --frames 600
	touch $(DATA)/$(NAME)/round$(ROUND)

BEFORE = $(DATA)/$(NAME)/before$(ROUND).pt
teach:
	$(PLAY) --data $(DATA)/played$(ROUND) --wander 0.3 --episodes 96 --seed $(ROUND)
	$(call STEP,encode) --add $(patsubst %,$(DATA)/played%,$(shell seq 2 $(ROUND)))
	test -e $(BEFORE) || { rm -f $(DATA)/$(NAME)/lstm_resume.pt; cp $(DATA)/$(NAME)/lstm.pt $(BEFORE); }
	$(call STEP,train_lstm) --init-from $(BEFORE) --epochs 2 --lr 5e-4 --muon 0.02
	$(call STEP,export)
	touch $(DATA)/$(NAME)/taught$(ROUND)

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

# Firefox and WebKitGTK, for slow tests of the page on Linux
.venv/browsers: .venv/browser
	[ $$(uname) != Linux ] || { command -v firefox firefox-esr && command -v WebKitWebDriver && command -v Xvfb; } || \
		($(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends \
		webkit2gtk-driver xvfb $$(command -v firefox > /dev/null || echo firefox-esr))
	@touch $@

.PHONY: play test test-all dream rounds round teach pipeline
