"""Chromium without a screen, told what to do over the WebDriver protocol by Debian's chromedriver."""

import base64
import json
import pathlib
import shutil
import socket
import subprocess
import urllib.error
import urllib.request

from checks import end, wait_until
from sbc import free_port, is_bound

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One window, until `close`."""

    def __init__(self, folder):
        for program in ("chromium", "chromedriver"):
            if not shutil.which(program):
                raise SystemExit(f"no `{program}` command: apt-get install chromium chromium-driver")
        port = free_port(kind=socket.SOCK_STREAM)
        self.log = open(folder / "chromedriver.log", "wb")
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=self.log, stderr=self.log)
        wait_until(lambda: is_bound("127.0.0.1", port, socket.SOCK_STREAM), patience=30)
        self.at = f"http://127.0.0.1:{port}"
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900",
                 "--no-proxy-server", f"--user-data-dir={folder}/profile"]
        wanted = {"browserName": "chrome", "acceptInsecureCerts": True, "goog:chromeOptions": {"args": flags},
                  "goog:loggingPrefs": {"browser": "ALL"}, "unhandledPromptBehavior": "ignore"}
        made = self.send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.at += f"/session/{made['sessionId']}"

    def send(self, method, path, body=None):
        data = json.dumps({} if body is None and method == "POST" else body).encode() if method == "POST" else None
        asked = urllib.request.Request(self.at + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as fault:
            raise RuntimeError(f"{method} {path}: {json.load(fault)['value']['message']}") from None

    def open(self, address):
        self.send("POST", "/url", {"url": address})

    def run(self, script, *arguments):
        """What a script returns; `arguments` are what it has."""
        return self.send("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, css):
        """The first such element, or nothing."""
        found = self.send("POST", "/elements", {"using": "css selector", "value": css})
        return found[0][ELEMENT] if found else None

    def named(self, css, text):
        """The first such element with this text in it, or nothing."""
        found = self.run("return [...document.querySelectorAll(arguments[0])].find((e) => e.textContent.includes(arguments[1]))", css, text)
        return found[ELEMENT] if found else None

    def click(self, element):
        self.send("POST", f"/element/{element}/click")

    def click_named(self, css, text):
        """Clicks such an element as soon as it is there: what the page shows anew meanwhile is another one."""
        for _ in range(20):
            try:
                return self.click(wait_until(lambda: self.named(css, text)))
            except RuntimeError as fault:
                if "stale element" not in str(fault):
                    raise
        raise RuntimeError(f"{css} with {text} never stays")

    def type(self, element, text):
        self.send("POST", f"/element/{element}/clear")
        self.send("POST", f"/element/{element}/value", {"text": text})

    def press(self, key):
        steps = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.send("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": steps}]})

    def agree(self):
        self.send("POST", "/alert/accept")

    def text(self, css="body"):
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", css)

    def await_text(self, text, css="body"):
        """Whether this text comes."""
        return bool(wait_until(lambda: text in self.text(css), patience=20, pause=0.1))

    def size(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})

    def dark(self, is_dark):
        value = "dark" if is_dark else "light"
        self.cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": value}]})

    def cdp(self, command, parameters):
        return self.send("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def complaints(self):
        """What the browser has written into its console."""
        lines = self.send("POST", "/se/log", {"type": "browser"})
        return [line["message"] for line in lines]

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self.send("GET", "/screenshot")))

    def close(self):
        try:
            self.send("DELETE", "")
        except (OSError, RuntimeError):
            pass
        end(self.driver)
        self.log.close()
