#!/usr/bin/env python3
"""CPU time per call, beside Kamailio as a stateful proxy that records its route.

SIPp calls SIPp through each in turn over UDP: INVITE, 180, after 50 ms 200, ACK, after 200 ms BYE,
200, no media. RATE calls a second (default 1,000) for SECONDS (default 15); if either cannot keep
up, all are measured at half the rate. The daemon does more for it: two dialogs, new SDP, two pairs
of media ports, a call record. CPU time is user and system of the process with its children, until
two seconds after the last call. The third, conformance/examples/datagrams.rs, only hands the same
datagrams on: nothing that sends and receives them one by one can take less."""

import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from bench import HERE, ROOT, compare, cpu_seconds, end, machine, need
from sbc import Sbc, free_port, own_addresses

RATE = int(os.environ.get("RATE", "1000"))
SECONDS = int(os.environ.get("SECONDS", "15"))


class Causeway(Sbc):
    """The daemon between two UDP carriers, with enough media ports for this rate."""

    name = "causeway"

    def __init__(self):
        # Ports rest ten seconds after a call; at this rate each side needs a realm of its own.
        super().__init__(realms=("loopback", "other"), ports=range(1024, 32768))

    def pid(self):
        return self.process.pid


class Peer:
    """A program between two carriers, on addresses and in a folder of its own."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="causeway-figures-")
        self.path = pathlib.Path(self.folder.name)
        self.address, self.LEFT, self.RIGHT = own_addresses(3)
        self.port = free_port(self.address)
        self.left_port = free_port(self.LEFT)
        self.right_port = free_port(self.RIGHT)

    def pid(self):
        return self.process.pid

    def stop(self):
        end(self.process)

    def clean_up(self):
        self.folder.cleanup()


class Kamailio(Peer):
    """Kamailio between the same two carriers."""

    name = "kamailio"

    def __init__(self):
        super().__init__()
        config = (HERE / "kamailio.cfg").read_text()
        for name, value in (("ADDRESS", self.address), ("PORT", self.port),
                            ("RIGHT", f"{self.RIGHT}:{self.right_port}"),
                            ("FOLDER", self.path), ("CHILDREN", os.cpu_count())):
            config = config.replace(f"@{name}@", str(value))
        (self.path / "kamailio.cfg").write_text(config)
        log = open(self.path / "log", "wb")
        command = ["kamailio", "-DD", "-E", "-f", str(self.path / "kamailio.cfg"), "-m", "512",
                   "-M", "32", "-Y", str(self.path)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.path)
        time.sleep(2)
        if self.process.poll() is not None:
            raise SystemExit("kamailio ended:\n" + (self.path / "log").read_text())


class Datagrams(Peer):
    """What hands datagrams on and reads nothing of them."""

    name = "datagrams"

    def __init__(self):
        super().__init__()
        subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "-p", "causeway", "-p",
                        "conformance", "--example",
                        "datagrams"], cwd=ROOT, check=True)
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        self.process = subprocess.Popen([target / "release/examples/datagrams", f"{self.address}:{self.port}",
                                         f"{self.LEFT}:{self.left_port}", f"{self.RIGHT}:{self.right_port}"])


def sipp(folder, scenario, address, port, *arguments):
    command = ["sipp", "-sf", str(HERE / scenario), "-i", address, "-p", str(port), "-nostdin",
               "-buff_size", "4000000", *map(str, arguments)]
    log = open(f"{folder}/{scenario}.log", "wb")
    return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def play(between, rate, calls, *arguments):
    """`calls` calls; says whether all went well, and how many messages were repeated. `arguments` are the caller's."""
    answerer = sipp(between.path, "answerer.xml", between.RIGHT, between.right_port)
    statistics = between.path / "caller.csv"
    statistics.unlink(missing_ok=True)
    try:
        time.sleep(0.5)
        caller = sipp(between.path, "caller.xml", between.LEFT, between.left_port,
                      f"{between.address}:{between.port}", "-s", "+493023125456", "-r", rate, "-m", calls,
                      "-l", 20 * rate, "-d", 200, "-timeout", calls // rate + 40,
                      "-timeout_error",
                      "-trace_stat", "-stf", statistics, "-fd", 1, *arguments)
        code = caller.wait()
    finally:
        end(answerer)
    with open(statistics, newline="") as file:
        last = list(csv.DictReader(file, delimiter=";"))[-1]
    done, repeated = int(last["SuccessfulCall(C)"]), int(last["Retransmissions(C)"])
    if code or done != calls:
        print(f"  sipp ended with {code}, {done} of {calls} calls done", flush=True)
    return code == 0 and done == calls and repeated < calls // 20, repeated


def measure(kind, rate):
    """Microseconds of CPU per call, or nothing if it could not keep up."""
    between = kind()
    try:
        play(between, rate // 2 or 1, rate)
        before = cpu_seconds(between.pid())
        calls = rate * SECONDS
        is_well, repeated = play(between, rate, calls)
        time.sleep(2)
        spent = cpu_seconds(between.pid()) - before
        print(f"  {between.name}: {calls} calls at {rate}/s, {spent:.2f} s of CPU, {repeated} "
              f"messages repeated{'' if is_well else ': not sustained'}", flush=True)
        return 1e6 * spent / calls if is_well else None
    finally:
        between.stop()
        between.clean_up()


def main():
    need("sipp", "kamailio")
    print(f"calls over UDP without media, {SECONDS} s; {machine()}")
    rate = RATE
    while rate >= 50:
        theirs = measure(Kamailio, rate)
        ours = measure(Causeway, rate) if theirs else None
        floor = measure(Datagrams, rate) if ours else None
        if ours and theirs and floor:
            compare(f"CPU per call at {rate} calls/s", ours, theirs, "us", "kamailio")
            compare("  of that above the datagrams alone", ours - floor, theirs - floor, "us", "kamailio")
            return 0
        rate //= 2
    print("this machine does not sustain 50 calls/s")
    return 1


if __name__ == "__main__":
    sys.exit(main())
