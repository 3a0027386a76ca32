"""A jump-and-run: one move for each drawing, its sky is CSS, its lives end with an alert and a reload."""
serve = "."
url = "jump.html"
canvas = "#game"
keys = ["ArrowLeft", "ArrowRight", "ArrowUp"]
tick_ms = 1000 / 60
restart = "game.begin()"
over = "game.over"
score = "game.way / 100"
