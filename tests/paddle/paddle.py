"""A paddle and a ball in index.html, beside this file: all that recording knows of them."""
serve = "."                                   # folder that is served on loopback: this one
url = "index.html"                            # page in it
canvas = "#game"                              # what is recorded
keys = ["ArrowLeft", "ArrowRight", "Space"]   # what the recorder holds, and the dream listens to
tick_ms = 20                                  # one fixed update of the game
catches_up = True                             # it runs all ticks that are due, then draws once
restart = "newGame()"                         # starts a life
over = "lost"                                 # true once the life has ended
score = "hits"                                # recorded beside the pictures
