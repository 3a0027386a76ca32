"""The open runner of docs/runner: QWOP's physics in an open engine, drawn by us. Needs no network."""
serve = "docs"                  # folder that collect.py serves on loopback: of this repository, or beside this file
url = "runner/index.html"       # page in that folder; with serve = None, a full address
canvas = "#canvas"              # what is recorded
keys = ["q", "w", "o", "p"]
tick_ms = 1000 / 30             # one fixed update of the game
catches_up = True               # its loop runs as many ticks as are due and draws once; False: one tick a drawing
# JavaScript: what runs once after loading, what starts a life, and expressions that tell how the game stands.
start = "canvas.width = canvas.height = 96"
restart = "runner.restart()"
over = "runner.over"
pose = "runner.pose()"
score = "runner.score"
