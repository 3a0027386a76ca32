"""The page in Firefox, opened as a file, with the shipped models: does it play, and dream as in Chromium?

Reads   docs/; needs firefox (Debian: firefox-esr) beside the Chromium that all tests use

    python bench/firefox.py

Playwright drives no Firefox but its own, so this speaks Marionette, Firefox's own protocol. Firefox's
recommended settings for automation are off: they relax the rules for file://. Ends with an error if something
is wrong.
"""
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from capture.browser import launch  # noqa: E402

PAGE = (ROOT / "docs/index.html").as_uri()
FRAMES = 150


class Firefox:
    """A headless Firefox: its commands are WebDriver's."""

    def __init__(self, profile):
        program = shutil.which("firefox") or shutil.which("firefox-esr")
        if not program:
            raise SystemExit("no firefox here: install it first (Debian: apt-get install firefox-esr)")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {"marionette.port": port, "remote.prefs.recommended": False}
        Path(profile, "user.js").write_text("".join(f"user_pref({json.dumps(k)}, {json.dumps(v)});\n"
                                                    for k, v in settings.items()))
        self.process = subprocess.Popen([program, "--headless", "--marionette", "--profile", profile],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            with contextlib.suppress(OSError):
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
                break
            time.sleep(0.1)
        self.read()  # its greeting
        self.version = self("NewSession", capabilities={})["capabilities"]["browserVersion"]

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
        if error:
            raise RuntimeError(f"{command}: {error['message']}")
        return answer

    def ask(self, script):
        return self("ExecuteScript", script=f"return {script}", args=[])["value"]

    def wait(self, script, seconds=60):
        """Until it is true -> the seconds that took."""
        start = time.monotonic()
        while not self.ask(script):
            if time.monotonic() - start > seconds:
                raise SystemExit(f"not true after {seconds} s: {script}; the page says: "
                                 + self.ask("document.body.innerText"))
            time.sleep(0.02)
        return time.monotonic() - start

    def keys(self, *actions):
        self("PerformActions", actions=[{"type": "key", "id": "keyboard",
                                         "actions": [{"type": kind, "value": key} for kind, key in actions]}])


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


def main():
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        browser = launch(playwright)
        links = {model: link_of(browser.new_page(), model) for model in ("qwop", "runner")}
        chromium = browser.version
        browser.close()
        firefox = Firefox(profile)
        try:
            for model, (link, total) in links.items():
                firefox("Navigate", url=f"{PAGE}?model={model}")
                ready = firefox.wait("document.body.dataset.state === 'ready'")
                before = firefox.ask("document.getElementById('picture').toDataURL()")
                firefox.keys(("keyDown", "q"))
                firefox.wait("document.querySelector('#keys button').getAttribute('aria-pressed') === 'true'")
                time.sleep(1)
                firefox.keys(("keyUp", "q"))
                after = firefox.ask("document.getElementById('picture').toDataURL()")
                assert after != before, "the picture stands still"
                firefox("Navigate", url="about:blank")  # another # alone would load nothing
                firefox("Navigate", url=link)
                firefox.wait("document.getElementById('notice').textContent.includes('frames repeated')")
                notice = firefox.ask("document.getElementById('notice').textContent")
                assert f"Checksum {total}: the same frames" in notice, notice
                print(f"{model}: ready after {ready:.1f} s, it plays, and Firefox {firefox.version} dreams "
                      f"{FRAMES} frames to Chromium {chromium}'s checksum, {total}")
        finally:
            firefox.process.kill()
            firefox.process.wait()


if __name__ == "__main__":
    main()
