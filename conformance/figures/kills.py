#!/usr/bin/env python3
"""Records beside the truth, after KILLS times (default 60, 5 with SHORT=1) `kill -9` under RATE calls a second (default
50): each call that the daemon took has exactly one record, whole and of the right length, whether it ended in order or
the kill cut it. The daemon is started anew each time; each fourth start is itself killed while it makes the records of
the calls that were up. Files are closed at 64 KiB, so that kills meet that, too.

What it prints is judged: it fails where records and truth differ. A call is taken once its caller has heard of it. The
length of a call that was cut may be told a second too short, as the daemon says each second that it lives; what happened
less than a tenth of a second before a kill may be missing in a record. No record may be missing but of calls that were
taken in the last milliseconds: an INVITE is written down at once, by another thread than that which answers it."""

import collections
import json
import os
import random
import sys
import time

from bench import machine
from generator import Call, Generator
from sbc import Sbc, binary

KILLS = int(os.environ.get("KILLS", "5" if os.environ.get("SHORT") else "60"))
RATE = int(os.environ.get("RATE", "50"))
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
# Seconds: how long calls last, and how long a daemon lives.
TALK_S, LIFE_S = (0.5, 5), (1, 4)
# What two clocks may differ by on a busy machine, and what the daemon does not know of its last second.
TOLERANCE_S, UNKNOWN_S = 0.3, 1.2
# What happened so short before a kill may not be in the record yet.
JUST_S = 0.1
# An INVITE that came so short before a kill may not be written down yet.
TAKEN_S = 0.005


class Node(Sbc):
    """The daemon with small files of records."""

    def __init__(self):
        self.starts = []
        super().__init__()

    def node(self):
        return super().node().replace("[cdr]\n", '[cdr]\nrotate = "64KiB"\n')

    def start(self):
        begun = time.monotonic()
        super().start()
        self.starts.append(time.monotonic() - begun)

    def kill(self):
        """Ends it without a word. Says when."""
        at = time.monotonic()
        self.process.kill()
        self.process.wait()
        self.log.close()
        return at

    def await_ready(self):
        if self.is_awaited:
            super().await_ready()

    is_awaited = True

    def start_and_kill(self, after):
        """A start that does not come to its end."""
        self.is_awaited = False
        super().start()
        self.is_awaited = True
        time.sleep(after)
        self.kill()


def read(folder):
    """Records by the Call-ID of the caller, what is no record, and how many files there are."""
    found, broken = collections.defaultdict(list), []
    files = sorted(folder.glob("*.jsonl"))
    for file in files:
        text = file.read_text(errors="replace")
        lines = text.split("\n")
        if lines.pop():
            broken.append(f"{file.name} ends in half a line")
        for line in lines:
            try:
                record = json.loads(line)
                found[record["ingress"]["call_id"]].append(record)
            except (ValueError, KeyError, TypeError) as why:
                broken.append(f"{file.name}: {why}: {line[:80]!r}")
    return found, broken, len(files)


class Verdict:
    """What differs, by kind: how often, and the first few."""

    def __init__(self):
        self.faults, self.told = collections.defaultdict(list), collections.defaultdict(list)
        # How long before its kill the first was heard of those calls that have this fault.
        self.ages = collections.defaultdict(list)

    def fault(self, what, call, detail=""):
        ages = [f"{name} {1000 * (call.killed - at):.0f} ms" for name, at in (
            ("placed", call.placed), ("first heard", call.heard), ("answered", call.answered), ("hung up", call.hung_up),
            ("over", call.over)) if at and call.killed]
        if call.killed and call.heard:
            self.ages[what].append(call.killed - call.heard)
        before = f"; before the kill: {', '.join(ages)}" if ages else ""
        self.faults[what].append(f"{call.id} ({call.kind}, last response {call.status}){before} {detail}")

    def late(self, what, seconds):
        """Not wrong, but worth a number."""
        self.told[what].append(seconds)


def near(value, low, high):
    return low - TOLERANCE_S <= value <= high + TOLERANCE_S


def before_kill(call, at):
    """How long before its daemon was killed; for ever if it was not. A response may be read a moment after the kill
    before which it was sent: which kill a call met is told by the daemon that had it, not by the time."""
    return max(0, call.killed - at) if call.killed and at else float("inf")


def judge(call, records, verdict):
    """Holds the records of a call against what its caller knows."""
    if not call.heard and not records:
        return
    since = before_kill(call, call.heard)
    if not records and since < TAKEN_S:
        verdict.late("taken just before the kill, without a record", since)
        return
    if len(records) != 1:
        verdict.fault("no record" if not records else f"{len(records)} records", call,
                      " ".join(f"{one['call']} {one['cause']['code']} {one['start']}" for one in records))
        return
    record, = records
    is_cut, length = record["cause"]["code"] == "restart_lost", record["duration_ms"] / 1000
    if record["called_raw"] != call.called:
        verdict.fault("the wrong number", call, record["called_raw"])
    if call.over:
        before = before_kill(call, call.over)
        if is_cut and before > JUST_S:
            verdict.fault("ended in order, told as cut", call, f"{1000 * before:.0f} ms before the kill")
        elif is_cut:
            verdict.late("ended in order just before the kill, told as cut", before)
        elif record["disposition"] != call.kind:
            verdict.fault("the wrong disposition", call, record["disposition"])
        if call.answered and not near(length, call.hung_up - call.answered - (UNKNOWN_S if is_cut else 0),
                                      call.over - call.answered):
            verdict.fault("the wrong length", call, f"{length} s of {call.hung_up - call.answered:.3f} s")
        return
    if not is_cut and not call.hung_up and call.state == "cut" and call.kind == "answered":
        verdict.fault("cut, told as ended", call, record["cause"]["code"])
    if call.answered:
        lasted = call.cut - call.answered
        if record["disposition"] != "answered":
            what = "answered just before the kill, told as not answered"
            if lasted > JUST_S:
                verdict.fault("answered, told as not answered", call)
            else:
                verdict.late(what, lasted)
        elif not near(length, max(0, lasted - UNKNOWN_S), lasted):
            verdict.fault("the wrong length", call, f"{length} s of {lasted:.3f} s, cut")
        else:
            verdict.late("cut calls told shorter than they were", lasted - length)


def prove():
    """What judges is judged first: calls that were made up, each with the only verdict that is right."""
    def verdict_of(record, **known):
        call, verdict = Call(1, "answered", "example.com"), Verdict()
        call.called, call.state, call.status = "+15550100", "over", 200
        for name, value in {"heard": 1, "answered": 2, "hung_up": 4, "over": 4, "killed": 9, **known}.items():
            setattr(call, name, value)
        judge(call, [{"call": 1, "start": "", "called_raw": call.called, "disposition": "answered", **record}], verdict)
        return sorted(verdict.faults)

    cut = {"cause": {"code": "restart_lost"}, "duration_ms": 2000}
    ended = {"cause": {"code": "normal_clearing"}, "duration_ms": 2000}
    late = "ended in order, told as cut"
    for what, wanted in (
            (verdict_of(ended), []), (verdict_of(cut), [late]), (verdict_of(cut, killed=4.05), []),
            # Its 200 was read after the kill; the kill that follows that moment is the next daemon's.
            (verdict_of(cut, killed=3.999), []), (verdict_of(cut, killed=None), [late]),
            (verdict_of(ended | {"duration_ms": 900}), ["the wrong length"]),
            (verdict_of(ended, over=None, hung_up=None, cut=9, state="cut"), ["cut, told as ended", "the wrong length"])):
        if what != wanted:
            raise SystemExit(f"this program judges wrongly: {what} instead of {wanted}")


def main():
    prove()
    random.seed(SEED)
    print(f"{KILLS} times kill -9 under {RATE} calls/s, SEED={SEED}, {binary()}; {machine()}", flush=True)
    sbc = Node()
    generator, kills, first = Generator(sbc, RATE, TALK_S), [], 0
    try:
        early = 0
        for number in range(KILLS):
            generator.place(True)
            time.sleep(random.uniform(*LIFE_S))
            kills.append(sbc.kill())
            # What it had sent is still to be read.
            time.sleep(0.2)
            generator.place(False)
            generator.cut(kills[-1])
            for call in generator.calls[first:]:
                call.killed = kills[-1]
            first = len(generator.calls)
            if number % 4 == 3:
                sbc.start_and_kill(random.uniform(0, 0.08))
                early += 1
            sbc.start()
        generator.place(True)
        time.sleep(LIFE_S[0])
        generator.finish()
        code = sbc.stop()
        records, broken, files = read(sbc.path / "cdr")
        said = sbc.log_text()
    finally:
        sbc.process.kill()
        sbc.clean_up()

    verdict, known = Verdict(), {call.id: call for call in generator.calls}
    for call in generator.calls:
        judge(call, records.pop(call.id, []), verdict)
    taken = [call for call in generator.calls if call.heard]
    cut = [call for call in taken if call.state == "cut"]
    for call in generator.calls:
        if call.fault:
            verdict.fault("the call failed", call, call.fault)
    for stranger in records:
        verdict.faults["of nobody's call"].append(stranger)
    if broken:
        verdict.faults["no record but a line"] = broken
    if code:
        verdict.faults["the end was not in order"].append(f"exit code {code}")
    if "panicked" in said:
        verdict.faults["a panic"].append(said[said.index("panicked"):][:300])

    starts = sorted(sbc.starts)
    print(f"kills: {len(kills)} under calls, {early} more during the start; start to ready: median "
          f"{1000 * starts[len(starts) // 2]:.0f} ms, longest {1000 * starts[-1]:.0f} ms")
    print(f"calls: {len(known)} placed, {len(taken)} taken, of these {len(cut)} cut by a kill "
          f"({sum(bool(call.answered) for call in cut)} of them answered); records in {files} files")
    for what, seconds in sorted(verdict.told.items()):
        seconds.sort()
        print(f"  {what}: {len(seconds)}, median {1000 * seconds[len(seconds) // 2]:.0f} ms, most "
              f"{1000 * seconds[-1]:.0f} ms")
    for what, those in sorted(verdict.faults.items()):
        ages = verdict.ages[what]
        since = f", first heard of {1000 * min(ages):.0f} to {1000 * max(ages):.0f} ms before the kill" if ages else ""
        print(f"not as it was: {what}: {len(those)}{since}")
        for one in those[:8]:
            print(f"  {one}")
    print("records equal the truth" if not verdict.faults else "records differ from the truth")
    return int(bool(verdict.faults))


if __name__ == "__main__":
    sys.exit(main())
