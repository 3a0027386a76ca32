"""A paddle, a ball and bricks in breakout.html, beside this file: all that the recorder knows about them."""
serve = "."                                   # folder that is served on loopback: this one
url = "breakout.html"                         # page in it
canvas = "#game"                              # what is recorded
keys = ["ArrowLeft", "ArrowRight", "Space"]   # what the recorder presses and the dream reacts to
tick_ms = 20                                  # one fixed update of the game
catches_up = True                             # it runs every tick that is due, then draws once
restart = "newGame()"                         # starts a life
over = "lost"                                 # true once the life has ended
score = "hits"                                # recorded beside the frames
