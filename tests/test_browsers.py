"""The page, opened as a file, in Firefox and in WebKitGTK: it plays, and dreams as in Chromium.

Playwright drives no Firefox and no WebKit but its own. Firefox speaks Marionette, its own protocol, without
its recommended settings for automation, which relax the rules for file://; WebKitGTK has a driver (WebDriver
over HTTP), and needs a screen, which Xvfb gives.
"""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from helpers import ROOT

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(sys.platform != "linux", reason="they are installed on Linux alone")]
LONG = 180    # seconds: other tests run beside
PAGE = (ROOT / "docs/index.html").as_uri()
FRAMES = 30   # 3 seconds


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def start(program, *args, **environment):
    """Start the first of the programs (of names with spaces between) that is installed."""
    found = next(filter(None, map(shutil.which, program.split())), None)
    assert found, f"none of {program} is installed: make .venv/browsers does it"
    return subprocess.Popen([found, *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env=os.environ | environment)


def wait_for(what, ask):
    end = time.monotonic() + LONG
    while not (answer := ask()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return answer


def connect(port):
    """A connection to a port, None if nobody listens there."""
    with contextlib.suppress(OSError):
        return socket.create_connection(("127.0.0.1", port), timeout=LONG)


class Driven:
    """A browser with one page: its commands are WebDriver's."""

    def __init__(self):
        self.processes = []

    def ask(self, script):
        return self("ExecuteScript", script=f"return {script}", args=[])

    def wait(self, script):
        wait_for(script, lambda: self.ask(script))

    def key(self, kind, key):
        actions = [{"type": kind, "value": key}]
        self("PerformActions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


class Firefox(Driven):
    def open(self, profile):
        port = free_port()
        settings = {"marionette.port": port, "remote.prefs.recommended": False}
        Path(profile, "user.js").write_text("".join(f"user_pref({json.dumps(k)}, {json.dumps(v)});\n"
                                                    for k, v in settings.items()))
        self.processes += [start("firefox firefox-esr", "--headless", "--marionette", "--profile", profile)]
        self.socket = wait_for("Firefox listens", lambda: connect(port))
        self.read()  # its greeting
        self("NewSession", capabilities={})

    def read(self):
        size = b""
        while not size.endswith(b":"):
            size += self.socket.recv(1)
        text = b""
        while len(text) < int(size[:-1]):
            text += self.socket.recv(int(size[:-1]) - len(text))
        return json.loads(text)

    def __call__(self, command, **values):
        text = json.dumps([0, 1, f"WebDriver:{command}", values])
        self.socket.sendall(f"{len(text)}:{text}".encode())
        _, _, error, answer = self.read()
        assert not error, (command, error)
        return (answer or {}).get("value")


class WebKit(Driven):
    PATHS = {"Navigate": "url", "ExecuteScript": "execute/sync", "PerformActions": "actions"}

    def open(self, profile):
        port, screen = free_port(), free_port()
        self.processes.append(start("Xvfb", f":{screen}", "-screen", 0, "1200x1000x24", "-nolisten", "tcp"))
        wait_for("Xvfb is there", Path(f"/tmp/.X11-unix/X{screen}").exists)
        self.processes.append(start("WebKitWebDriver", f"--port={port}", DISPLAY=f":{screen}", HOME=profile))
        wait_for("WebKit's driver listens", lambda: connect(port)).close()
        self.address = f"http://127.0.0.1:{port}/session"
        self.address += "/" + self.post("", capabilities={})["sessionId"]

    def post(self, path, **values):
        request = urllib.request.Request(self.address + path, json.dumps(values).encode())
        with urllib.request.urlopen(request, timeout=LONG) as answer:
            return json.load(answer)["value"]

    def __call__(self, command, **values):
        return self.post(f"/{self.PATHS[command]}", **values)


@pytest.fixture(params=[Firefox, WebKit])
def driven(request):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = request.param()
        try:
            browser.open(profile)
            yield browser
        finally:
            browser.close()


def link_of(page, model):
    """FRAMES frames of random keys in Chromium -> the link that dreams them again, and its checksum."""
    page.goto(f"{PAGE}?model={model}")
    page.wait_for_selector("body[data-state=ready]")
    return page.evaluate(f"""() => new Promise(done => loop.queue(async () => {{
        pause(true);
        loop.begin(0);
        for (let n = 0; n < {FRAMES}; n++)
          await dream.step([1, 2, 4, 8].map(bit => Number((n * n >> 3 & bit) > 0)));
        done([linkTo(dream, '{model}'), sumToText(dream.sum)]);
    }}))""")


def test_it_plays_and_dreams_as_in_chromium(browser, driven):
    page = browser.new_page()
    links = {model: link_of(page, model) for model in ("qwop", "runner")}
    page.close()
    for model, (link, total) in links.items():
        # A held key lights its button, and the dream moves
        driven("Navigate", url=f"{PAGE}?model={model}")
        driven.wait("document.body.dataset.state === 'ready'")
        before = driven.ask("document.getElementById('picture').toDataURL()")
        driven.key("keyDown", "q")
        driven.wait("document.querySelector('#keys button').getAttribute('aria-pressed') === 'true'")
        driven.wait(f"document.getElementById('picture').toDataURL() !== {json.dumps(before)}")
        driven.key("keyUp", "q")

        # A link gives the same numbers, bit for bit
        driven("Navigate", url="about:blank")  # another # alone would load nothing
        driven("Navigate", url=link)
        driven.wait("document.getElementById('notice').textContent.includes('frames repeated')")
        notice = driven.ask("document.getElementById('notice').textContent")
        assert f"Checksum {total}: the same frames" in notice
