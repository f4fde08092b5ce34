#!/usr/bin/env python3
"""How long `causeway check` takes for a configuration of LINES lines (default 10,000): carriers with rules of numbers, routes and
calls that are played. Once as it should be, and once with a mistake in every fiftieth carrier, all of which are to be told.

What it prints is judged: it fails where the median of RUNS runs (default 5) takes longer than a second, so that one which had to
wait for a processor is no fault, or where one finds something else."""

import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from bench import machine
from sbc import binary

LINES = int(os.environ.get("LINES", "10000"))
RUNS = int(os.environ.get("RUNS", "5"))
LONGEST_S = 1.0  # What the issue asks for.
VALID, REFUSED = 0, 3

HEAD = """[node]
id = "sbc1"

[[realm]]
name = "all"
addresses = ["127.0.0.1"]
ports = "20000-29999"

[[listen]]
realm = "all"
transport = "udp"
port = 5060

[[tenant]]
name = "contoso"
numbers = ["+493023125000-+493023125999"]
emergency = ["112"]

[[trunk]]
name = "exit"
preset = "carrier"
tenant = "contoso"
realm = "all"
targets = ["192.0.2.1:5060;udp"]
accept_from = ["192.0.2.1"]
"""
CARRIER = r"""
[[trunk]]
name = "carrier-{number}"
preset = "carrier"
tenant = "*"
realm = "all"
targets = ["{address}:5060;udp"]
accept_from = ["{address}"]
codecs = ["{codec}", "PCMU"]
limits = {{ calls = 100, cps = 10 }}

[[transform]]
name = "from-carrier-{number}"
when = {{ trunk = "carrier-{number}", dir = "in" }}
called = [
    {{ match = '^00([1-9]\d+)$', set = '+$1' }},
    {{ match = '^0([1-9]\d+)$', set = '+49$1' }},
]

[[route]]
name = "of-carrier-{number}"
match = {{ from_trunk = "carrier-{number}" }}
to = [{{ trunk = "exit" }}]
"""
TEST = """
[[test]]
name = "a call of carrier {number}"
call = {{ trunk = "carrier-{number}", from = "+4930123456", to = "03023125100" }}
expect = {{ trunk = "exit", tenant = "contoso", to = "+493023125100" }}
"""
MISTAKE = 50


def configuration(has_mistakes):
    """The text, and how many mistakes are in it."""
    text, number, mistakes = [HEAD], 0, 0
    lines = HEAD.count("\n")
    while lines < LINES:
        is_wrong = has_mistakes and number % MISTAKE == 0
        address = f"10.{number // 250 // 250}.{number // 250 % 250}.{number % 250 + 1}"
        text.append(CARRIER.format(number=number, address=address, codec="PCMZ" if is_wrong else "PCMA"))
        if number % 10 == 0:
            text.append(TEST.format(number=number))
            lines += TEST.count("\n")
        lines += CARRIER.count("\n")
        mistakes += is_wrong
        number += 1
    return "".join(text), mistakes


def checked(path):
    """Exit code, what is told, seconds by the clock and of processor time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([binary(), "check", "--config", str(path)], capture_output=True, text=True, check=False)
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.returncode, done.stdout + done.stderr, took, spent


def main():
    print(machine())
    faults = []
    with tempfile.TemporaryDirectory(prefix="causeway-check-") as folder:
        path = pathlib.Path(folder) / "causeway.toml"
        for name, has_mistakes in (("as it should be", False), ("with mistakes", True)):
            text, mistakes = configuration(has_mistakes)
            path.write_text(text)
            runs = [checked(path) for _ in range(RUNS)]
            took, spent = statistics.median(run[2] for run in runs), min(run[3] for run in runs)
            print(f"{name}: {text.count(chr(10))} lines, {mistakes} mistakes, "
                  f"{took:.2f} s, {spent:.2f} s of processor time at the least")
            if took > LONGEST_S:
                faults.append(f"{name}: it took longer than {LONGEST_S} s")
            for code, told, *_ in runs:
                counted = re.search(r"^(\d+) errors?, ", told, re.M)
                found = int(counted[1]) if counted else -1
                if code != (REFUSED if has_mistakes else VALID) or found != mistakes:
                    faults.append(f"{name}: exit code {code}, {found} of {mistakes} mistakes are told:\n{told[-2000:]}")
                    break
    for fault in faults:
        print(fault)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
