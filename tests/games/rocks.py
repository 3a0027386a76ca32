"""Rocks that fall, in WebGL 2 by instances: steered with the mouse, moved by a timer, begun with a click."""
serve = "."
url = "rocks.html"
canvas = "#game"
keys = ["pointer:left", "pointer:right"]
tick_ms = 16
webgl = True
restart = "hit = false; playing = false; click()"
skip_until = "playing"
over = "hit"
score = "fallen"
