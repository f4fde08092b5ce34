"""The real daemon on loopback, for programs that are to talk through it."""

import itertools
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import tempfile
import urllib.request

from checks import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port(address="127.0.0.1", kind=socket.SOCK_DGRAM):
    """A port that nobody uses at this moment."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def is_bound(address, port, kind=socket.SOCK_DGRAM):
    """Whether somebody has bound this port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


def is_heard(address, port, kind=socket.SOCK_DGRAM):
    """Whether somebody takes what comes to this IPv4 address and port. Asks the kernel: who tries to bind it is in the
    way of whoever is about to."""
    name, state = ("udp", "07") if kind == socket.SOCK_DGRAM else ("tcp", "0A")
    number, = struct.unpack("=I", socket.inet_aton(address))
    lines = (line.split() for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines())
    return any(words[1] == f"{number:08X}:{port:04X}" and words[3] == state for words in lines)


def own_addresses(count):
    """Loopback addresses that no other run uses, so that captures and port ranges are our own."""
    chance = random.SystemRandom()
    first = (chance.randrange(1, 255) << 8) + chance.randrange(240)
    nets = (f"127.{net >> 8}.{net & 255}" for net in range(first, first + 16))
    return list(itertools.islice((f"{net}.{n + 1}" for net in nets for n in range(250)), count))


def binary():
    """The daemon's binary: $CAUSEWAY, else the release build, else the debug build."""
    candidates = [os.environ.get("CAUSEWAY"), ROOT / "target/release/causeway",
                  ROOT / "target/debug/causeway"]
    for candidate in candidates:
        if candidate and pathlib.Path(candidate).exists():
            return str(candidate)
    raise SystemExit("no causeway binary: run `cargo build --release`, or set CAUSEWAY")


class Daemon:
    """A running daemon with its configuration, log, records and metrics in a folder of its own."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="causeway-interop-")
        self.path = pathlib.Path(self.folder.name)
        self.metrics = free_port(kind=socket.SOCK_STREAM)
        (self.path / "cdr").mkdir()
        config = self.path / "causeway.toml"
        config.write_text(self.config() + self.node())
        self.start()

    def start(self):
        """Starts it, and waits until it takes calls."""
        self.log = open(self.path / "log", "ab")
        command = [binary(), "run", "--config", str(self.path / "causeway.toml"), "--state", str(self.path / "state")]
        # Where many suites share two processors: calls are refused where their requests wait, as in an overload.
        if ahead := os.environ.get("AHEAD"):
            command = ["nice", "-n", f"-{ahead}", *command]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.await_ready()

    def config(self):
        """Realms, listeners, tenants, trunks and routes."""
        raise NotImplementedError

    def node(self):
        """What every daemon here has."""
        return f"""
[node]
id = "interop"

[cdr]
spool = "{self.path}/cdr"

[metrics]
listen = "127.0.0.1:{self.metrics}"

[api]
unix = "{self.path}/api.sock"
"""

    def get(self, path):
        """Body of a page of the metrics listener."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}{path}", timeout=30) as page:
            return page.read().decode()

    def metric(self, series):
        """Value of a series, by its name and the labels that matter; the sum if several fit."""
        name, _, labels = series.rstrip("}").partition("{")
        wanted = [label for label in labels.split(",") if label]
        lines = [line for line in self.get("/metrics").splitlines()
                 if line.startswith((name + "{", name + " "))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines
                   if all(label in line for label in wanted))

    def log_text(self):
        """What the daemon has logged so far."""
        return (self.path / "log").read_text(errors="replace")

    def is_ready(self):
        """Whether it takes calls."""
        if self.process.poll() is not None:
            raise SystemExit("the daemon ended:\n" + self.log_text())
        try:
            return bool(self.get("/startupz"))
        except OSError:
            return False

    def await_ready(self):
        """Waits until the daemon takes calls."""
        if not wait_until(self.is_ready):
            raise SystemExit("the daemon is not ready after 10 s:\n" + self.log_text())

    def records(self, wanted, patience=10):
        """The call records, as soon as there are `wanted` of them."""
        records = []

        def enough():
            # A line that is still being written has no end yet.
            lines = [line for file in (self.path / "cdr").glob("*.jsonl")
                     for line in file.read_text().split("\n")[:-1]]
            records[:] = [json.loads(line) for line in lines]
            return len(records) >= wanted

        wait_until(enough, patience, pause=0.1)
        return records

    def cpu_seconds(self):
        """CPU time of the daemon so far, all threads."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Resident memory of the daemon in bytes."""
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @staticmethod
    def socket_drops(port):
        """Datagrams that the kernel dropped because whoever bound this UDP port did not read them."""
        lines = [line.split() for name in ("udp", "udp6")
                 for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
        return sum(int(words[-1]) for words in lines if int(words[1].rsplit(":", 1)[1], 16) == port)

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


class Sbc(Daemon):
    """Two carriers of one tenant, "left" and "right"; whatever comes from one goes to the other.

    There is one IPv6 loopback address, so with IPv6 each side has a realm and listener of its own.
    Nobody is asked for OPTIONS: who plays a side is not always there, and answers nothing else."""

    def __init__(self, transport="udp", is_v6=False, realms=None, ports=range(20000, 30000)):
        self.transport = transport
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.address, self.LEFT, self.RIGHT, far = ["::1"] * 4 if is_v6 else own_addresses(4)
        self.port = free_port(self.address, kind)
        self.left_port = free_port(self.LEFT, kind)
        self.right_port = free_port(self.RIGHT, kind)
        # Realm of a side, and what it is to call.
        left, right = realms or ("loopback", "other" if is_v6 else "loopback")
        self.realms = {"left": left, "right": right}
        self.ports = ports
        self.addresses = {"loopback": self.address, "other": far}
        self.entries = {"loopback": self.port, "other": free_port(far, kind)}
        super().__init__()

    def config(self):
        text = """
[[tenant]]
name = "interop"
numbers = ["+493023125000-+493023125999"]
"""
        realms = sorted(set(self.realms.values()))
        is_shared = len({self.addresses[realm] for realm in realms}) < len(realms)
        for n, realm in enumerate(realms):
            # Realms of one address share its ports.
            ports = self.ports[n * 5000:][:5000] if is_shared else self.ports
            text += f"""
[[realm]]
name = "{realm}"
addresses = ["{self.addresses[realm]}"]
ports = "{ports[0]}-{ports[-1]}"

[[listen]]
realm = "{realm}"
transport = "{self.transport}"
port = {self.entries[realm]}
"""
        sides = {"left": (self.LEFT, self.left_port), "right": (self.RIGHT, self.right_port)}
        for name, other in (("left", "right"), ("right", "left")):
            address, port = sides[name]
            target = f"[{address}]" if ":" in address else address
            text += f"""
[[trunk]]
name = "{name}"
preset = "carrier"
tenant = "interop"
realm = "{self.realms[name]}"
targets = ["{target}:{port};{self.transport}"]
accept_from = ["{address}/{128 if ":" in address else 32}"]
codecs = ["PCMA", "PCMU"]
options = false

[[route]]
name = "to-{other}"
match = {{ from_trunk = "{name}" }}
to = [{{ trunk = "{other}" }}]
"""
        return text
