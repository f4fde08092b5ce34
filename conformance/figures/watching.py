#!/usr/bin/env python3
"""What it costs to see everything, and whether a call hears of it when nobody takes what is seen.

CPU time per call with metrics read each second, records, ladders and HEP over TCP, beside a daemon with none of them, and
with each of these alone, HEP over UDP as well, where the kernel takes a datagram for each message: RATE calls a second
(default 1,000) for SECONDS (default 15), ROUNDS times in turn (default 3). Then how long set-ups take (p99) where the
log is a pipe that nobody reads, where the disk of the records is full, and where the collector of HEP takes a connection
and reads nothing, beside the same daemon with all of them well. With SHORT=1 50 calls a second, 5 s, 2 rounds.

What it prints is judged: it fails where seeing costs more than a tenth, where a set-up takes 20 ms longer, where a call
or a record is lost, and where a fault that was made was none. Ladders cannot be turned off: without them they have
1 MiB, and nobody asks for one. SIPp plays both sides, as in calls.py. Needs a mount namespace (root, or user
namespaces)."""

import contextlib
import fcntl
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

from bench import end, machine, need
import calls
from calls import Causeway, measure, play
from checks import wait_until
from sbc import binary, own_addresses

IS_SHORT = bool(os.environ.get("SHORT"))
RATE = int(os.environ.get("RATE", "50" if IS_SHORT else "1000"))
SECONDS = int(os.environ.get("SECONDS", "5" if IS_SHORT else "15"))
# `measure` goes by it, too.
calls.SECONDS = SECONDS
ROUNDS = int(os.environ.get("ROUNDS", "2" if IS_SHORT else "3"))
# What the issue asks for.
MOST_RATIO, MOST_LATER_MS = 1.10, 20
# What a record takes on the disk, on the large side, with its lines in the journal.
RECORD_BYTES = 16384
SMALL_PIPE = 4096


class Seeing(Causeway):
    """The daemon with everything that can be seen of it, and somebody who looks."""

    name = "seen"
    level = "info"
    parts = ("metrics", "records", "hep")
    stage = 0
    # What shows the fault is more than this.
    least = 0

    def __init__(self):
        self.collector = self.collected()
        self.is_over = threading.Event()
        super().__init__()
        self.looker = threading.Thread(target=self.look, daemon=True)
        self.looker.start()

    def collected(self):
        """A collector that takes what comes and keeps nothing."""
        address, = own_addresses(1)
        door = socket.create_server((address, 0))
        self.collector_at = f"{address}:{door.getsockname()[1]};tcp"
        threading.Thread(target=self.swallow, args=[door], daemon=True).start()
        return door

    def swallow(self, door):
        """Takes all that comes over connections, one after the other, until the door is closed."""
        room = bytearray(1 << 20)
        with contextlib.suppress(OSError):
            while True:
                with door.accept()[0] as there:
                    while there.recv_into(room, 0, socket.MSG_TRUNC):
                        # What gathers is taken at once.
                        time.sleep(0.01)

    def node(self):
        text = {"metrics": f'[metrics]\nlisten = "127.0.0.1:{self.metrics}"',
                "records": f'[cdr]\nspool = "{self.path}/cdr"',
                "hep": f'[hep]\ncollectors = ["{self.collector_at}"]'}
        ladders = "64MiB" if len(self.parts) == len(text) else "1MiB"
        return "\n".join(["", '[node]\nid = "interop"', f'[limits]\nladders = "{ladders}"\nmedia_timeout = "0s"',
                          f'[api]\nunix = "{self.path}/api.sock"', *(text[part] for part in self.parts), ""])

    def is_ready(self):
        if "metrics" in self.parts:
            return super().is_ready()
        if self.process.poll() is not None:
            raise SystemExit("the daemon ended:\n" + self.log_text())
        return subprocess.run([binary(), "status", "--socket", self.path / "api.sock"], capture_output=True,
                              check=False).returncode == 0

    def command(self):
        return [binary(), "run", "--config", str(self.path / "causeway.toml"), "--state", str(self.path / "state"),
                "--log-level", self.level]

    def outlet(self):
        """Where the log goes."""
        return open(self.path / "log", "ab")

    def start(self):
        self.log = self.outlet()
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log)
        self.await_ready()

    def look(self):
        """As Prometheus does, but more often."""
        while "metrics" in self.parts and not self.is_over.wait(1):
            with contextlib.suppress(OSError):
                self.stage = max(self.stage, self.metric("sbc_overload_stage"))

    def told_of_load(self):
        """What the daemon left out, or refused, because this machine had no time for it."""
        return f", overload stage {self.stage:.0f} or above" if self.stage else ""

    def trouble(self):
        """What shows that the fault is one, as a number; there is none."""
        return None

    def lines(self):
        """Records on the disk."""
        return sum(file.read_text().count("\n") for file in self.spool().glob("*.jsonl"))

    def spool(self):
        return self.path / "cdr"

    def mend(self):
        """Ends the fault as far as records wait for it."""

    def stop(self):
        self.is_over.set()
        if self.stage and self.process.poll() is None:
            left_out = self.metric('sbc_queue_dropped_total{queue="hep"}')
            print(f"    {self.name} was loaded{self.told_of_load()}, and {left_out:.0f} frames of HEP were left out: it "
                  f"does less then")
        end(self.process, patience=20)
        self.log.close()
        # Whoever waits at it is let go.
        with contextlib.suppress(OSError):
            self.collector.shutdown(socket.SHUT_RDWR)
        self.collector.close()


class Unseen(Seeing):
    """The daemon that nobody looks at."""

    name = "unseen"
    parts = ()


class Scraped(Unseen):
    """Metrics alone."""

    name = "metrics alone"
    parts = ("metrics",)


class Recorded(Unseen):
    """Records alone."""

    name = "records alone"
    parts = ("records",)


class Sent(Unseen):
    """HEP alone."""

    name = "HEP alone"
    parts = ("hep",)


class Datagrams(Sent):
    """HEP alone, over UDP."""

    name = "HEP over UDP alone"

    def collected(self):
        """A collector that costs this machine nothing: the kernel throws away what it has no room for."""
        address, = own_addresses(1)
        there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        there.bind((address, 0))
        self.collector_at = f"{address}:{there.getsockname()[1]};udp"
        return there


class Blocked(Seeing):
    """Its log is a pipe that nobody reads."""

    name = "blocked log"
    level = "debug"
    least = 100

    def outlet(self):
        self.unread, written = os.pipe()
        fcntl.fcntl(written, fcntl.F_SETPIPE_SZ, SMALL_PIPE)
        return os.fdopen(written, "wb")

    def log_text(self):
        return ""

    def trouble(self):
        return "lines that wait or are lost", (self.metric('sbc_queue_depth{queue="log"}')
                                               + self.metric('sbc_queue_dropped_total{queue="log"}'))

    def stop(self):
        super().stop()
        os.close(self.unread)


class Full(Seeing):
    """The disk of its records is full."""

    name = "full disk"

    def command(self):
        size = RATE * (SECONDS + 2) * RECORD_BYTES + (4 << 20)
        script = f'mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"'
        own = [] if os.geteuid() == 0 else ["--map-root-user"]
        return ["unshare", *own, "--mount", "sh", "-c", script, str(self.path / "cdr"), *super().command()]

    def start(self):
        super().start()
        # Its file system is in a namespace of its own.
        with open(self.spool() / "fill", "wb", buffering=0) as fill:
            with contextlib.suppress(OSError):
                while True:
                    fill.write(bytes(1 << 20))
            with contextlib.suppress(OSError):
                while True:
                    fill.write(bytes(512))

    def spool(self):
        path = self.path / "cdr"
        return type(path)(f"/proc/{self.process.pid}/root{path}")

    def trouble(self):
        return "records that wait", self.metric('sbc_queue_depth{queue="cdr"}')

    def mend(self):
        (self.spool() / "fill").unlink()


class Dead(Seeing):
    """Its collector takes a connection and reads nothing."""

    name = "dead collector"

    def collected(self):
        address, = own_addresses(1)
        door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        door.bind((address, 0))
        door.listen(1)
        self.collector_at = f"{address}:{door.getsockname()[1]};tcp"
        return door

    def trouble(self):
        return "frames that wait or are lost", (self.metric('sbc_queue_depth{queue="hep"}')
                                                + self.metric('sbc_queue_dropped_total{queue="hep"}'))


def set_ups(kind, wrong):
    """p99 of the set-ups in ms, the answerer's own 50 ms among them; nothing if calls were refused because this machine had
    no time for them, which is no fault if it comes once."""
    between = kind()
    try:
        play(between, RATE // 2 or 1, RATE)
        count = RATE * SECONDS
        for old in between.path.glob("*_rtt.csv"):
            old.unlink()
        is_well, repeated = play(between, RATE, count, "-trace_rtt", "-rtt_freq", 1)
        times = sorted(float(line.split(";")[1]) for file in between.path.glob("caller_*_rtt.csv")
                       for line in file.read_text().splitlines()[1:])
        fault = between.trouble()
        if fault and fault[1] <= between.least:
            wrong.append(f"{between.name}: it was none ({fault[0]}: {fault[1]:.0f})")
        between.mend()
        lost = RATE + count - (wait_until(lambda: between.lines() >= RATE + count and between.lines(), 20, 0.5)
                               or between.lines())
        begun = time.monotonic()
        between.stop()
        p99 = times[int(len(times) * 0.99)]
        told = f", {fault[0]}: {fault[1]:.0f}" if fault else ""
        print(f"  {between.name}: {len(times)} set-ups, median {statistics.median(times):.0f} ms, p99 {p99:.0f} ms, "
              f"longest {times[-1]:.0f} ms, {repeated} messages repeated, {lost} records lost{told}, ended after "
              f"{time.monotonic() - begun:.1f} s with {between.process.returncode}"
              f"{between.told_of_load()}", flush=True)
        if between.stage and (lost or len(times) != count):
            print("    this round does not count")
            return None
        if not is_well and repeated < count // 20 or len(times) != count:
            wrong.append(f"{between.name}: calls were lost, or refused{between.told_of_load()}")
        if lost:
            wrong.append(f"{between.name}: {lost} records were lost")
        if between.process.returncode:
            wrong.append(f"{between.name}: it ended with {between.process.returncode}")
        return p99
    finally:
        end(between.process)
        between.clean_up()


def turns(kinds, rate):
    """CPU time per call of each in turn, or nothing if one could not keep up."""
    spent = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, values in spent.items():
            values.append(measure(kind, rate))
            if values[-1] is None:
                return None
    return spent


def costs(wrong):
    """CPU time per call, seen and unseen."""
    kinds, rate = (Unseen, Seeing, Scraped, Recorded, Sent, Datagrams), RATE
    spent = turns(kinds, rate)
    while not spent and rate >= 100:
        rate //= 2
        spent = turns(kinds, rate)
    if not spent:
        wrong.append(f"this machine does not sustain {rate} calls/s")
        return
    without, seen, *parts = (statistics.median(values) for values in spent.values())
    print(f"CPU per call at {rate} calls/s: {seen:.0f} us with everything, {without:.0f} us with nothing, ratio "
          f"{seen / without:.2f}; asked for: {MOST_RATIO:.2f}")
    print("; ".join(f"  {kind.name} {value - without:+.0f} us" for kind, value in zip(list(spent)[2:], parts)), flush=True)
    if seen > without * MOST_RATIO:
        wrong.append(f"to see everything costs {seen / without:.2f} of the CPU time")


def main():
    need("sipp", "unshare")
    print(f"metrics, records, ladders and HEP at {RATE} calls/s, {SECONDS} s, {ROUNDS} rounds, {binary()}; {machine()}",
          flush=True)
    wrong = []
    costs(wrong)
    p99 = {kind: [] for kind in (Seeing, Blocked, Full, Dead)}
    for _ in range(ROUNDS):
        for kind, values in p99.items():
            values.append(set_ups(kind, wrong))
    counted = {kind: [value for value in values if value is not None] for kind, values in p99.items()}
    for kind, values in counted.items():
        if 2 * len(values) <= ROUNDS:
            wrong.append(f"{kind.name}: calls were refused in {ROUNDS - len(values)} of {ROUNDS} rounds")
    medians = {kind: statistics.median(values) for kind, values in counted.items() if values}
    for kind in (Blocked, Full, Dead):
        if {kind, Seeing} <= medians.keys():
            later = medians[kind] - medians[Seeing]
            print(f"set-up p99, {kind.name}: {later:+.0f} ms beside {medians[Seeing]:.0f} ms; asked for: less than "
                  f"{MOST_LATER_MS} ms more")
            if later >= MOST_LATER_MS:
                wrong.append(f"{kind.name}: set-ups take {later:.0f} ms longer")
    for what in wrong:
        print(f"not as asked for: {what}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
