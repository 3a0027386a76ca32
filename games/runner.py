"""The open runner of docs/runner: physics like QWOP's in an open engine. Needs no network."""
serve = "docs"                  # folder served on loopback: of this repository, or beside this file
url = "runner/index.html"       # page in that folder; a full address if there is no `serve`
canvas = "#canvas"              # what is recorded
keys = ["q", "w", "o", "p"]
tick_ms = 1000 / 30             # one fixed update of the game
catches_up = True               # its loop runs every tick that is due, then draws once; False: one a drawing
fresh = False                   # restart leaves nothing behind, so the page is loaded once for all episodes
repeats = False                 # it ignores that a held key repeats its keydown
# JavaScript: what runs once after loading, what begins a life, and expressions that read the game's state.
start = "canvas.width = canvas.height = 96"
restart = "runner.restart()"
over = "runner.over"
pose = "runner.pose()"
score = "runner.score"
