#!/usr/bin/env python3
"""CPU time per forwarded media packet over a cable: by sockets, past the kernel, and Debian's rtpengine.

Two network namespaces have a veth pair between them: peers in one, a relay in the other. The relay has
one core with all that the kernel does for it, the peers have the other one: what arrives at an end of the
cable is received on its side's core. The relays take turns: CALLS two-way calls (default 500), each
direction 50 packets of 20 ms G.711 a second, for SECONDS (default 10), ROUNDS times (default 2), as RTP on
both legs, and as SRTP on one.

The figure is the time that the relay's core was not idle, interrupts included, without what it had to do
before, over the packets that arrived. So it means something only where nothing else runs. How much of it
is the relay's own process is told beside it. Needs root and two cores."""

import contextlib
import ctypes
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import packets
from bench import ROOT, compare, cpu_seconds, end, machine, need

CALLS = int(os.environ.get("CALLS", "500"))
SECONDS = int(os.environ.get("SECONDS", "10"))
ROUNDS = int(os.environ.get("ROUNDS", "2"))
PEERS_CORE, RELAY_CORE = 0, 1
RELAY, FIRST, SECOND = "192.0.2.1", "192.0.2.2", "192.0.2.3"
CLONE_NEWNET = 0x40000000
# What else the relay's core may do.
BUSIEST = 0.1


def ip(command):
    subprocess.run(["ip", *command.split()], check=True)


class Cable:
    """Two namespaces and what is between them."""

    def __init__(self):
        name = f"cwf{os.getpid()}"
        self.peers, self.relay = f"{name}p", f"{name}r"
        # The kernel's threads are called by their interfaces.
        self.ends = {self.peers: (f"p{os.getpid()}", PEERS_CORE),
                     self.relay: (f"r{os.getpid()}", RELAY_CORE)}
        try:
            self.build()
        except BaseException:
            self.remove()
            raise

    def build(self):
        for space in self.ends:
            ip(f"netns add {space}")
        ours, theirs = self.ends[self.relay][0], self.ends[self.peers][0]
        ip(f"link add {ours} netns {self.relay} numrxqueues 1 numtxqueues 1 "
           f"type veth peer name {theirs} netns {self.peers} numrxqueues 1 numtxqueues 1")
        ip(f"-n {self.relay} addr add {RELAY}/24 dev {ours}")
        for address in (FIRST, SECOND):
            ip(f"-n {self.peers} addr add {address}/24 dev {theirs}")
        for space, (end_, core) in self.ends.items():
            ip(f"-n {space} link set lo up")
            # Without a program the kernel receives where this says.
            self.write(space, "queues/rx-0/rps_cpus", f"{1 << core:x}")
            ip(f"-n {space} link set {end_} up")
        time.sleep(1)

    def write(self, space, name, value):
        """Sets something of a namespace's end."""
        place = f"/sys/class/net/{self.ends[space][0]}/{name}"
        subprocess.run(["ip", "netns", "exec", space, "sh", "-c", f"echo {value} >{place}"],
                       check=True)

    def bind_receiver(self):
        """Has a program at the relay's end run on the relay's core: in a thread that is bound to it."""
        end_, core = self.ends[self.relay]
        self.write(self.relay, "threaded", "1")
        for task in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (task / "comm").read_text().startswith(f"napi/{end_}"):
                    os.sched_setaffinity(int(task.name), {core})
                    # As an interrupt would be, it is before all else there.
                    os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(1))

    def remove(self):
        for space in self.ends:
            subprocess.run(["ip", "netns", "del", space], check=False)


@contextlib.contextmanager
def inside(space):
    """This thread, in a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as home, open(f"/run/netns/{space}", "rb") as away:
        if libc.setns(away.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


def run_inside(space, core, command):
    return ["ip", "netns", "exec", space, "taskset", "-c", str(core), *command]


class Sockets(packets.Causeway):
    """Our relay by sockets."""

    name, backend = "causeway, sockets", []

    def __init__(self, folder, cable):
        program = str(ROOT / "target/release/examples/relay")
        command = [program, RELAY, "20000", "39999", *self.backend]
        self.log = folder / "relay.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(run_inside(cable.relay, RELAY_CORE, command),
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=log, text=True, bufsize=1, cwd=folder)

    def check(self):
        """What runs must be what is measured."""
        runs = "Xdp {" if self.backend else "Sockets"
        text = self.log.read_text()
        if f"runs: {runs}" not in text:
            raise SystemExit(f"{self.name} does not run:\n{text}")


class Xdp(Sockets):
    """Our relay past the kernel."""

    name, backend = "causeway, AF_XDP", ["xdp"]


class Rtpengine(packets.Rtpengine):
    """rtpengine on the relay's core."""

    address = RELAY

    def __init__(self, folder, cable):
        self.folder, self.ng = folder, 2223
        log = open(folder / "rtpengine.log", "wb")
        command = ["rtpengine", "--foreground", "--log-stderr", "--log-level=3", "--table=-1",
                   f"--interface={RELAY}", f"--listen-ng=127.0.0.1:{self.ng}", "--num-threads=1",
                   "--port-min=20000", "--port-max=39999"]
        self.process = subprocess.Popen(run_inside(cable.relay, RELAY_CORE, command),
                                        stdout=log, stderr=log, cwd=folder)
        with inside(cable.relay):
            self.connect()

    def check(self):
        pass


def idle(core):
    """Idle time of a core so far, in seconds."""
    text = pathlib.Path("/proc/stat").read_text()
    fields = re.search(rf"^cpu{core} (.*)$", text, re.MULTILINE).group(1).split()
    return (int(fields[3]) + int(fields[4])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def busy(core):
    """A list that gets the seconds for which a core was busy meanwhile, and all of them."""
    measured = []
    began, before = time.monotonic(), idle(core)
    yield measured
    passed = time.monotonic() - began
    measured += [passed - (idle(core) - before), passed]


def measure(kind, folder, cable, secure):
    """Microseconds of the relay's core per packet that arrived."""
    relay = kind(folder, cable)
    try:
        lines = []
        for call in range(CALLS):
            first, second = (FIRST, 20000 + 2 * call), (SECOND, 20000 + 2 * call)
            secret = packets.key() if secure else None
            to_first, to_second = relay.open(call, first, second, secret)
            lines.append(f"{first[0]}:{first[1]} {to_first} {secret.hex() if secret else '-'}")
            lines.append(f"{second[0]}:{second[1]} {to_second} -")
        relay.check()
        if kind is Xdp:
            cable.bind_receiver()
        with busy(RELAY_CORE) as before:
            time.sleep(2)
        if before[0] > BUSIEST * before[1]:
            raise SystemExit(f"core {RELAY_CORE} is busy for {before[0] / before[1]:.0%} of the time "
                             "with something else: try again on an idle machine")
        load = [str(ROOT / "target/release/examples/load"), str(SECONDS)]
        own = cpu_seconds(relay.process.pid)
        with busy(RELAY_CORE) as meanwhile:
            done = subprocess.run(run_inside(cable.peers, PEERS_CORE, load), text=True, check=True,
                                  input="\n".join(lines) + "\n", capture_output=True)
        own = cpu_seconds(relay.process.pid) - own
        quiet = before[0] / before[1] * meanwhile[1]
        spent = meanwhile[0] - quiet
        sent, received, late = map(int, done.stdout.split())
        print(f"  {relay.name}: {received} of {sent} packets arrived, core busy for {spent:.2f} s and "
              f"{quiet:.2f} s of before, {own:.2f} s in the process, sender late by "
              f"{late / 1000:.1f} ms at most", flush=True)
        if received < 0.99 * sent:
            raise SystemExit(f"{relay.name} lost packets, the figure would mean nothing")
        return 1e6 * spent / received
    finally:
        end(relay.process)


def main():
    need("rtpengine", "ip", "taskset")
    if os.geteuid() or (os.cpu_count() or 1) < 2:
        raise SystemExit("root and two cores are needed")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "media-relay",
                    "--example", "relay", "--example", "load"], cwd=ROOT, check=True)
    print(f"media over a cable, {CALLS} calls, {SECONDS} s, {ROUNDS} rounds; {machine()}")
    kinds = (Sockets, Xdp, Rtpengine)
    for secure in (False, True):
        what = "SRTP on one leg, RTP on the other" if secure else "RTP on both legs"
        print(what)
        figures = {kind: [] for kind in kinds}
        for _ in range(ROUNDS):
            for kind, list_ in figures.items():
                cable = Cable()
                try:
                    with tempfile.TemporaryDirectory(prefix="causeway-figures-") as folder:
                        list_.append(measure(kind, pathlib.Path(folder), cable, secure))
                finally:
                    cable.remove()
        best = {kind: min(list_) for kind, list_ in figures.items()}
        for kind in (Sockets, Xdp):
            compare(f"CPU per packet, {what}, {kind.name}", best[kind], best[Rtpengine], "us",
                    "rtpengine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
