#!/usr/bin/env python3
"""Resident memory of the daemon per established call: the difference that CALLS held calls make
(default 1,000; each with media ports on both legs) to as many that have been held before and have ended,
once the transactions of their set-up are forgotten. Ladders of recent calls have a room of their own,
which is made as small as it can be: what they take is no part of a call."""

import os
import pathlib
import re
import sys
import time

from bench import end, machine, need
from calls import Causeway, sipp

CALLS = int(os.environ.get("CALLS", "1000"))
RATE = int(os.environ.get("RATE", "100"))
SETTLE = 40  # Seconds; a transaction lives 32 after its last message.


def resident_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))


class Small(Causeway):
    """With room for hardly any ladder."""

    def config(self):
        return super().config() + '\n[limits]\nladders = "1MiB"\nmedia_timeout = "0s"\n'


def held(sbc):
    """Calls in progress: their called legs are counted beside those of their callers."""
    found = re.findall(r'^sbc_calls_active\{dir="in",[^}]*\} (\d+)', sbc.get("/metrics"), re.M)
    return sum(map(int, found))


def hold(sbc, calls):
    """Establishes calls and holds them; resident memory then."""
    answerer = sipp(sbc.path, "answerer.xml", sbc.RIGHT, sbc.right_port)
    try:
        time.sleep(0.5)
        patience = calls // RATE + 10
        caller = sipp(sbc.path, "caller.xml", sbc.LEFT, sbc.left_port, f"{sbc.address}:{sbc.port}", "-s",
                      "+493023125456", "-r", RATE, "-m", calls, "-l", calls, "-d", 1000 * (patience + SETTLE))
        for _ in range(patience * 10):
            if held(sbc) == calls:
                break
            time.sleep(0.1)
        time.sleep(SETTLE)
        count, resident = held(sbc), resident_kib(sbc.pid())
        if count != calls:
            raise SystemExit(f"{count} of {calls} calls are established")
        caller.wait()
        return resident
    finally:
        end(answerer)


def main():
    need("sipp")
    print(f"memory of {CALLS} held calls; {machine()}")
    sbc = Small()
    try:
        hold(sbc, CALLS)
        # A call lasts as long as the media after its end, its last transactions longer.
        time.sleep(SETTLE)
        before = resident_kib(sbc.pid())
        after = hold(sbc, CALLS)
        print(f"resident: {before} KiB idle, {after} KiB with {CALLS} calls: "
              f"{(after - before) / CALLS:.2f} KiB per established call")
    finally:
        sbc.stop()
        sbc.clean_up()
    return 0


if __name__ == "__main__":
    sys.exit(main())
