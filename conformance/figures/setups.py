#!/usr/bin/env python3
"""Calls set up and ended per second over the ng protocol, beside Debian's rtpengine.

Both relays are processes of their own; who asks is one process with UNDER_WAY calls (default 64) under way. A
call is an offer, an answer and a delete, one after the other, SRTP on one side: CALLS of them (default 20,000),
after as many again to be warm, ROUNDS times in turns (default 3). The best round counts. CPU is that of the
relay's process. The same over the command interface: `cargo bench -p media-relay --bench setup`."""

import base64
import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile
import time

from bench import ROOT, cpu_seconds, end, machine, need
from packets import bencode, key
from sbc import binary, free_port

CALLS = int(os.environ.get("CALLS", "20000"))
UNDER_WAY = int(os.environ.get("UNDER_WAY", "64"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
# Set-ups a second.
GOAL = 8000
ADDRESS, FIRST, SECOND = "127.0.0.1", "127.0.0.2", "127.0.0.3"
STEPS = ("offer", "answer", "delete")


def description(address, transport, crypto=""):
    return (f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
            f"m=audio 4000 {transport} 8\r\na=rtpmap:8 PCMA/8000\r\n{crypto}")


INLINE = base64.b64encode(key()).decode()
OFFER = description(FIRST, "RTP/SAVP", f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{INLINE}\r\n")
ANSWER = description(SECOND, "RTP/AVP")


def request(step, call):
    """A request of a call; its cookie says which."""
    fields = {"command": step, "call-id": f"call-{call}", "from-tag": "a"}
    if step != "delete":
        fields |= {"sdp": OFFER if step == "offer" else ANSWER, "ICE": "remove", "replace": ["origin"]}
    if step == "offer":
        fields["transport-protocol"] = "RTP/AVP"
    if step == "answer":
        fields["to-tag"] = "b"
    return f"{call}.{STEPS.index(step)} ".encode() + bencode(fields)


class Relay:
    """A relay that is told over ng what to do."""

    def __init__(self, folder):
        self.port = free_port()
        self.log = folder / "relay.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=folder)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.connect((ADDRESS, self.port))
        self.socket.setblocking(False)
        for _ in range(50):
            try:
                self.socket.send(b"ping " + bencode({"command": "ping"}))
                if select.select([self.socket], [], [], 0.2)[0] and b"pong" in self.socket.recv(65536):
                    return
            except OSError:
                time.sleep(0.2)
        raise SystemExit(f"{self.name} does not answer:\n{self.log.read_text()}")

    def drive(self, first, calls):
        """Sets calls up and ends them; seconds."""
        requests = {(call, at): request(step, call)
                    for call in range(first, first + calls) for at, step in enumerate(STEPS)}
        began, next_, over = time.monotonic(), first, 0
        waiting = {}
        while over < calls:
            while len(waiting) < UNDER_WAY and next_ < first + calls:
                self.socket.send(requests[next_, 0])
                waiting[next_] = time.monotonic()
                next_ += 1
            if not select.select([self.socket], [], [], 5)[0]:
                raise SystemExit(f"{self.name} does not answer any more:\n{self.log.read_text()[-2000:]}")
            while True:
                try:
                    answer = self.socket.recv(65536)
                except BlockingIOError:
                    break
                cookie, body = answer.split(b" ", 1)
                call, at = map(int, cookie.split(b"."))
                if b"6:result2:ok" not in body:
                    raise SystemExit(f"{self.name} refuses {STEPS[at]}: {body.decode()}")
                if at + 1 < len(STEPS):
                    self.socket.send(requests[call, at + 1])
                else:
                    del waiting[call]
                    over += 1
        return time.monotonic() - began


class Causeway(Relay):
    """Ours."""

    name = "causeway"

    def command(self):
        return [binary(), "media", "--ng", f"{ADDRESS}:{self.port}", "--address", ADDRESS,
                "--ports", "10000-59999"]


class Rtpengine(Relay):
    """Debian's, without its kernel module; what is deleted goes at once."""

    name = "rtpengine"

    def command(self):
        return ["rtpengine", "--foreground", "--log-stderr", "--log-level=3", "--table=-1",
                f"--interface={ADDRESS}", f"--listen-ng={ADDRESS}:{self.port}", "--delete-delay=0",
                f"--num-threads={os.cpu_count()}", "--port-min=10000", "--port-max=59999"]


def measure(kind):
    """Set-ups a second, and microseconds of CPU for each."""
    with tempfile.TemporaryDirectory(prefix="causeway-figures-") as folder:
        relay = kind(pathlib.Path(folder))
        try:
            # Ports rest for some seconds: no more calls than there are ports for.
            warm = min(CALLS, 2000)
            relay.drive(0, warm)
            before = cpu_seconds(relay.process.pid)
            seconds = relay.drive(warm, CALLS)
            cpu_us = 1e6 * (cpu_seconds(relay.process.pid) - before) / CALLS
            print(f"  {relay.name}: {CALLS / seconds:.0f} per second, {cpu_us:.0f} us of CPU each", flush=True)
            return CALLS / seconds, cpu_us
        finally:
            relay.socket.close()
            end(relay.process)


def main():
    need("rtpengine")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT, check=True)
    print(f"calls set up and ended over ng, {CALLS} calls, {UNDER_WAY} under way, {ROUNDS} rounds; {machine()}")
    best = {}
    for _ in range(ROUNDS):
        for kind in (Causeway, Rtpengine):
            rate, cpu_us = measure(kind)
            known = best.get(kind, (0, float("inf")))
            best[kind] = max(rate, known[0]), min(cpu_us, known[1])
    ours, theirs = best[Causeway], best[Rtpengine]
    print(f"set-ups over ng: causeway {ours[0]:.0f}/s (goal >= {GOAL}), rtpengine {theirs[0]:.0f}/s, ratio "
          f"{ours[0] / theirs[0]:.2f}; CPU {ours[1]:.0f} us and {theirs[1]:.0f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
