#!/usr/bin/env python3
"""RELOADS reloads (default 1,000, 50 with SHORT=1), PACE a second (default 4), under RATE calls a second (default 50):
no call may fail, and memory and descriptors stay where they are. Every other reload adds listeners, trunks and routes
and changes the trunks of the calls, the next takes all of it away. Then the time of a reload of TRUNKS trunks (default
500) with a route and numbers each, beside that of the start.

What it prints is judged: it fails where a call fails, where memory of the last quarter is a twentieth above that of the
first, where a descriptor is left, and where the reload of all trunks takes more than half a second. Ladders have little
room here, so that they are full before it begins: what grows is not theirs. What a reload takes away is remembered until
the calls of that moment are over, which is looked at each 32 s: reloads go on for FILL seconds (default 100) before
any counts. The short form does without, and judges no memory."""

import os
import random
import socket
import statistics
import subprocess
import sys
import time

from bench import machine
from checks import wait_until
from generator import Generator
from sbc import Daemon, Sbc, binary, free_port, own_addresses

IS_SHORT = bool(os.environ.get("SHORT"))
RELOADS = int(os.environ.get("RELOADS", "50" if IS_SHORT else "1000"))
PACE = float(os.environ.get("PACE", "4"))
RATE = int(os.environ.get("RATE", "50"))
TRUNKS = int(os.environ.get("TRUNKS", "500"))
TALK_S = (0.5, 3)
# A transaction lives 32 s after its last message, a port rests 10 s after its call; then all is as it will be.
WARM_UP_S, REST_S = 45, 20
FILL_S = 0 if IS_SHORT else int(os.environ.get("FILL", "100"))
# What the issue asks for.
LONGEST_RELOAD_S, MOST_GROWTH = 0.5, 1.05


class Reloaded:
    """A daemon whose configuration changes."""

    def reload(self, text):
        """Puts this in the place of the configuration at once; seconds of the command that takes it into use."""
        beside = self.path / "causeway.toml.new"
        beside.write_text(text)
        beside.replace(self.path / "causeway.toml")
        begun = time.monotonic()
        done = subprocess.run([binary(), "reload", "--socket", self.path / "api.sock"], capture_output=True, text=True,
                              check=False)
        took = time.monotonic() - begun
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return took

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Node(Reloaded, Sbc):
    """Two carriers, and what comes and goes beside them."""

    def __init__(self):
        self.guests, = own_addresses(1)
        self.guest_ports = [free_port(self.guests, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
        super().__init__()

    def node(self):
        # Realms change with a restart alone: what comes and goes is what is in them.
        return super().node() + f"""
[limits]
ladders = "1MiB"
media_timeout = "0s"

[[realm]]
name = "guests"
addresses = ["{self.guests}"]
ports = "30000-30099"
"""

    def text(self, number):
        """The configuration of this reload."""
        text = self.config() + self.node()
        if number % 2:
            return text
        text = text.replace('codecs = ["PCMA", "PCMU"]', 'codecs = ["PCMA"]')
        for transport, port in zip(("udp", "tcp"), self.guest_ports):
            text += f'\n[[listen]]\nrealm = "guests"\ntransport = "{transport}"\nport = {port}\n'
        for guest in range(10):
            text += trunk(f"guest-{guest}", "interop", "guests", f"192.0.2.{guest + 1}", "right")
        return text


def trunk(name, tenant, realm, address, to):
    return f"""
[[trunk]]
name = "{name}"
preset = "carrier"
tenant = "{tenant}"
realm = "{realm}"
targets = ["{address}:5060;udp"]
codecs = ["PCMA"]
options = false

[[route]]
name = "from-{name}"
match = {{ from_trunk = "{name}" }}
to = [{{ trunk = "{to}" }}]
"""


class Many(Reloaded, Daemon):
    """A daemon with so many trunks."""

    def __init__(self):
        self.address, = own_addresses(1)
        self.port, self.first = free_port(self.address), 0
        super().__init__()

    def start(self):
        begun = time.monotonic()
        super().start()
        self.start_s = time.monotonic() - begun

    def config(self):
        text = f"""
[[realm]]
name = "all"
addresses = ["{self.address}"]
ports = "20000-20999"

[[listen]]
realm = "all"
transport = "udp"
port = {self.port}

[[trunk]]
name = "carrier"
tenant = "*"
realm = "all"
targets = ["198.51.100.1:5060;udp"]
codecs = ["PCMA"]
options = false
"""
        for number in range(TRUNKS):
            # Numbers change with each reload.
            begin = 441632000000 + number * 1000 + self.first
            text += f'\n[[tenant]]\nname = "t{number}"\nnumbers = ["+{begin}-+{begin + 99}"]\n'
            text += trunk(f"c{number}", f"t{number}", "all", f"198.18.{number // 250}.{number % 250 + 1}",
                          "carrier")
        return text

    def measure(self, count):
        """Seconds of so many reloads."""
        took = []
        for self.first in random.sample(range(1, 900), count):
            took.append(self.reload(self.config() + self.node()))
        return took


def quarters(values):
    """Medians of the four quarters."""
    size = max(1, len(values) // 4)
    return [statistics.median(values[begin:begin + size]) for begin in range(0, 4 * size, size)]


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def under_calls(wrong):
    """Reloads with calls going on."""
    sbc = Node()
    generator = Generator(sbc, RATE, TALK_S)
    took, memory, descriptors, idle = [], [], [], []

    def at_rest():
        generator.settle()
        time.sleep(REST_S)
        if idle:
            # The socket of a listener that was taken away is looked at each 32 s.
            wait_until(lambda: sbc.descriptors() <= idle[0][1], 80, 1)
        idle.append((sbc.memory() // 1024, sbc.descriptors()))

    try:
        generator.place(True)
        # What the first reload makes stays.
        for number in range(2):
            sbc.reload(sbc.text(number))
        time.sleep(REST_S)
        at_rest()
        generator.place(True)
        time.sleep(WARM_UP_S)
        quiet = [1000 * (call.ringing - call.placed) for call in generator.calls if call.ringing]
        before = 2 * round(FILL_S * PACE / 2)
        started = time.monotonic()
        for number in range(before + RELOADS):
            if number == before:
                begun, first = time.monotonic(), len(generator.calls)
            seconds = sbc.reload(sbc.text(number))
            if number >= before:
                took.append(seconds)
                # The same configuration is compared with the same.
                if number % 2:
                    memory.append(sbc.memory() / 1024)
                    descriptors.append(sbc.descriptors())
            time.sleep(max(0, started + (number + 1) / PACE - time.monotonic()))
        lasted = time.monotonic() - begun
        at_rest()
        generator.finish()
        code, said = sbc.stop(), sbc.log_text()
    finally:
        sbc.process.kill()
        sbc.clean_up()
    calls = generator.calls
    failed = [call for call in calls if call.fault or not call.over]
    ringing = [1000 * (call.ringing - call.placed) for call in calls[first:] if call.ringing]
    print(f"reloads: {RELOADS} in {lasted:.0f} s, after {before} that do not count; each took {1000 * statistics.median(took):.0f} ms (median), "
          f"{1000 * percentile(took, 0.99):.0f} ms (p99), {1000 * max(took):.0f} ms (longest), with the command's own start")
    print(f"calls: {len(calls)} placed, {len(failed)} failed; 180 after {statistics.median(quiet):.1f} ms (median), "
          f"{percentile(quiet, 0.99):.1f} ms (p99) before the reloads, {statistics.median(ringing):.1f} ms, "
          f"{percentile(ringing, 0.99):.1f} ms, {max(ringing):.0f} ms (longest) during them")
    for call in failed[:8]:
        print(f"  {call.id} ({call.kind}): {call.fault or call.state}")
    growth = quarters(memory)
    print(f"resident, by quarters: {', '.join(f'{kib:.0f}' for kib in growth)} KiB; {(growth[3] - growth[0]) / RELOADS:.2f} "
          f"KiB per reload; descriptors: {', '.join(f'{count:.0f}' for count in quarters(descriptors))}, "
          f"most {max(descriptors)}")
    print(f"without calls: {idle[0][0]} KiB and {idle[0][1]} descriptors before the reloads, {idle[1][0]} KiB and "
          f"{idle[1][1]} after them", flush=True)
    calls_wanted = RATE * lasted * 0.9
    for what, is_so in ((f"{len(failed)} calls failed", failed),
                        ("fewer calls were placed than asked for", len(calls) - first < calls_wanted),
                        ("memory grows", not IS_SHORT and growth[3] > growth[0] * MOST_GROWTH),
                        ("descriptors grow", quarters(descriptors)[3] > quarters(descriptors)[0] * MOST_GROWTH),
                        (f"{idle[1][1] - idle[0][1]} descriptors are left", idle[1][1] > idle[0][1]),
                        (f"the daemon ended with {code}", code), ("something panicked", "panicked" in said)):
        if is_so:
            wrong.append(what)


def of_many(wrong):
    """Reloads of many trunks."""
    sbc = Many()
    try:
        took = sbc.measure(5 if IS_SHORT else 20)
        sbc.stop()
    finally:
        sbc.process.kill()
        sbc.clean_up()
    median = statistics.median(took)
    print(f"{TRUNKS} trunks: a reload takes {1000 * median:.0f} ms (median), {1000 * max(took):.0f} ms (longest); the start "
          f"took {1000 * sbc.start_s:.0f} ms, ratio {median / sbc.start_s:.2f}; asked for: {1000 * LONGEST_RELOAD_S:.0f} ms")
    if median > LONGEST_RELOAD_S:
        wrong.append(f"a reload of {TRUNKS} trunks takes more than {1000 * LONGEST_RELOAD_S:.0f} ms")


def main():
    print(f"{RELOADS} reloads under {RATE} calls/s, {binary()}; {machine()}", flush=True)
    wrong = []
    under_calls(wrong)
    of_many(wrong)
    for what in wrong:
        print(f"not as asked for: {what}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
