"""A Causeway between two UDP carriers on loopback, for programs that are to talk through it."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port(address="127.0.0.1", kind=socket.SOCK_DGRAM):
    """A port that nobody uses at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def binary():
    """The daemon's binary: $CAUSEWAY, else the release build, else the debug build."""
    candidates = [os.environ.get("CAUSEWAY"), ROOT / "target/release/causeway",
                  ROOT / "target/debug/causeway"]
    for candidate in candidates:
        if candidate and pathlib.Path(candidate).exists():
            return str(candidate)
    raise SystemExit("no causeway binary: run `cargo build --release`, or set CAUSEWAY")


class Sbc:
    """The daemon with trunk "left" at 127.0.0.2 and trunk "right" at 127.0.0.3."""

    LEFT, RIGHT = "127.0.0.2", "127.0.0.3"

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="causeway-interop-")
        self.path = pathlib.Path(self.folder.name)
        self.port = free_port()
        self.left_port = free_port(self.LEFT)
        self.right_port = free_port(self.RIGHT)
        self.metrics = free_port(kind=socket.SOCK_STREAM)
        (self.path / "cdr").mkdir()
        config = self.path / "causeway.toml"
        config.write_text(self.config())
        self.log = open(self.path / "log", "wb")
        command = [binary(), "run", "--config", str(config)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.await_ready()

    def config(self):
        """Two trunks of one tenant; whatever comes from one goes to the other."""
        trunk = """
[[trunk]]
name = "{name}"
preset = "carrier"
tenant = "interop"
realm = "loopback"
targets = ["{address}:{port};udp"]
accept_from = ["{address}/32"]
codecs = ["PCMA", "PCMU"]
"""
        route = """
[[route]]
name = "{name}"
match = {{ from_trunk = "{source}" }}
to = [{{ trunk = "{target}" }}]
"""
        return f"""
[node]
id = "interop"

[[realm]]
name = "loopback"
addresses = ["127.0.0.1"]
ports = "20000-29999"

[[listen]]
realm = "loopback"
transport = "udp"
port = {self.port}

[[tenant]]
name = "interop"
numbers = ["+4930123000-+4930123999"]
{trunk.format(name="left", address=self.LEFT, port=self.left_port)}
{trunk.format(name="right", address=self.RIGHT, port=self.right_port)}
{route.format(name="to-right", source="left", target="right")}
{route.format(name="to-left", source="right", target="left")}
[cdr]
spool = "{self.path}/cdr"

[metrics]
listen = "127.0.0.1:{self.metrics}"

[api]
unix = "{self.path}/api.sock"
"""

    def get(self, path):
        """Body of a page of the metrics listener."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}{path}", timeout=5) as page:
            return page.read().decode()

    def await_ready(self):
        """Waits until the daemon takes calls."""
        for _ in range(100):
            if self.process.poll() is not None:
                raise SystemExit("the daemon ended:\n" + (self.path / "log").read_text())
            try:
                self.get("/readyz")
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the daemon is not ready after 10 s:\n" + (self.path / "log").read_text())

    def records(self, wanted, patience=10):
        """The call records, as soon as there are `wanted` of them."""
        records = []
        for _ in range(patience * 10):
            lines = [line for file in (self.path / "cdr").glob("*.jsonl")
                     for line in file.read_text().splitlines()]
            records = [json.loads(line) for line in lines]
            if len(records) >= wanted:
                break
            time.sleep(0.1)
        return records

    def cpu_seconds(self):
        """CPU time of the daemon so far, all threads."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """Ends the daemon as a service manager does. Says its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.log.close()
        return code

    def clean_up(self):
        """Removes what the daemon wrote."""
        self.folder.cleanup()
