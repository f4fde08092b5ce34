#!/usr/bin/env python3
"""Calls set up and ended per second over the ng protocol, beside Debian's rtpengine in user space.

A proxy's part is played over UDP in bencode as the modules of Kamailio and OpenSIPS speak it: offer, answer, delete,
with UNDER_WAY calls (default 64) under way at once, for SECONDS (default 10), once as RTP on both legs and once as SRTP
on one. Both relays are processes of their own and have one core to themselves, the proxy has another one. They take
turns, ROUNDS times (default 2), and the best of each counts. There are no media: ports are taken, opened and given back.

What is printed beside calls per second is CPU of the relay per call: where the proxy is what limits the rate, a core
would do more. Fails where we do less than 8,000 a second. PROGRAM names another build than that of the release."""

import os
import pathlib
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time

from bench import ROOT, compare, cpu_seconds, end, machine, need
from packets import bdecode, bencode
from sbc import free_port

SECONDS = float(os.environ.get("SECONDS", "10"))
ROUNDS = int(os.environ.get("ROUNDS", "2"))
UNDER_WAY = int(os.environ.get("UNDER_WAY", "64"))
PROGRAM = os.environ.get("PROGRAM", str(ROOT / "target/release/causeway"))
PROXY_CORE, RELAY_CORE = 0, 1
PORTS = (10000, 59999)
ADDRESS = "127.0.0.1"
LEAST = 8_000
PATIENCE = 2.0
KEY = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ"


def sdp(host, secure):
    transport = "RTP/SAVP" if secure else "RTP/AVP"
    text = (f"v=0\r\no=- 1 1 IN IP4 192.0.2.{host}\r\ns=-\r\nc=IN IP4 192.0.2.{host}\r\nt=0 0\r\n"
            f"m=audio 4000 {transport} 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n")
    return text + (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n" if secure else "")


def requests(secure):
    """The three requests of a call, each with %s where its name stands: names have all the same length."""
    name = "%s"
    answers = {"call-id": name, "from-tag": "caller", "to-tag": "called"}
    offer = {"command": "offer", "call-id": name, "from-tag": "caller", "sdp": sdp(1, False), "ICE": "remove",
             "replace": ["origin"], "transport-protocol": "RTP/SAVP" if secure else "RTP/AVP"}
    answer = {"command": "answer", **answers, "sdp": sdp(2, secure), "ICE": "remove", "replace": ["origin"],
              "transport-protocol": "RTP/AVP"}
    delete = {"command": "delete", **answers, "delete-delay": "0"}
    coded = [bencode(request).decode() for request in (offer, answer, delete)]
    return [text.replace("2:%s", f"{len(call_name(0))}:%s") for text in coded]


def call_name(number):
    return f"{number:010d}@bench.example.net"


class Relay:
    """A relay on its core."""

    def __init__(self, folder):
        self.control = (ADDRESS, free_port())
        self.log = folder / "relay.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["taskset", "-c", str(RELAY_CORE), *self.command()], stdout=log, stderr=log,
                                            cwd=folder)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.connect(self.control)
        for _ in range(50):
            if self.answers():
                self.socket.setblocking(False)
                return
        raise SystemExit(f"{self.name} does not answer:\n{self.log.read_text()}")

    def answers(self):
        try:
            self.socket.settimeout(0.2)
            self.socket.send(b"p " + bencode({"command": "ping"}))
            return b"pong" in self.socket.recv(4096)
        except OSError:
            time.sleep(0.1)
            return False

    def run(self, texts):
        """Sets up and ends calls for some time. Returns how many, how long that took and CPU of the relay."""
        cookies, begun, done, refused = {}, 0, 0, None
        waiting = selectors.DefaultSelector()
        waiting.register(self.socket, selectors.EVENT_READ)
        start, spent = time.monotonic(), cpu_seconds(self.process.pid)

        def ask(number, step):
            cookie = b"%d_%d" % (number, step)
            datagram = cookie + b" " + (texts[step] % call_name(number)).encode()
            cookies[cookie] = (number, step, datagram)
            self.socket.send(datagram)

        def begin():
            nonlocal begun
            begun += 1
            ask(begun, 0)

        for _ in range(UNDER_WAY):
            begin()
        while cookies:
            if not waiting.select(PATIENCE):
                # As a proxy does: under the same cookie it is answered as before.
                for _, _, datagram in cookies.values():
                    self.socket.send(datagram)
                if time.monotonic() - start > 10 * SECONDS:
                    raise SystemExit(f"{self.name} answers no more:\n{self.log.read_text()[-2000:]}")
                continue
            try:
                while True:
                    answer = self.socket.recv(65536)
                    cookie, body = answer.split(b" ", 1)
                    asked = cookies.pop(cookie, None)
                    if not asked:
                        continue
                    if b"6:result2:ok" not in body:
                        refused = refused or bdecode(body)[0]
                    number, step, _ = asked
                    if step < 2:
                        ask(number, step + 1)
                    else:
                        done += 1
                        if time.monotonic() - start < SECONDS:
                            begin()
            except BlockingIOError:
                pass
        if refused:
            raise SystemExit(f"{self.name} refuses: {refused}")
        return done, time.monotonic() - start, cpu_seconds(self.process.pid) - spent

    def stop(self):
        self.socket.close()
        end(self.process, signal.SIGTERM)


class Causeway(Relay):
    name = "causeway"

    def command(self):
        return [PROGRAM, "media", "--ng", "%s:%d" % self.control, "--address", ADDRESS, "--ports",
                "%d-%d" % PORTS, "--workers", "1", "--backend", "socket"]


class Rtpengine(Relay):
    name = "rtpengine"

    def command(self):
        return ["rtpengine", "--foreground", "--log-stderr", "--log-level=3", "--table=-1", f"--interface={ADDRESS}",
                "--listen-ng=%s:%d" % self.control, "--num-threads=1", "--delete-delay=0",
                f"--port-min={PORTS[0]}", f"--port-max={PORTS[1]}"]


def measure(kind, secure):
    """Calls per second, and microseconds of CPU per call."""
    with tempfile.TemporaryDirectory(prefix="causeway-figures-") as folder:
        relay = kind(pathlib.Path(folder))
        try:
            done, took, spent = relay.run(requests(secure))
        finally:
            relay.stop()
    print(f"  {kind.name}: {done / took:.0f} calls/s, {1e6 * spent / done:.0f} us of CPU per call", flush=True)
    return done / took, 1e6 * spent / done


def main():
    need("rtpengine", "taskset")
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("two cores are needed")
    if "PROGRAM" not in os.environ:
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "causeway"], cwd=ROOT, check=True)
    os.sched_setaffinity(0, {PROXY_CORE})
    print(f"calls over ng, {SECONDS:.0f} s, {UNDER_WAY} under way, {ROUNDS} rounds; {machine()}")
    missed = []
    for secure in (False, True):
        what = "SRTP on one leg" if secure else "RTP on both legs"
        print(what)
        rounds = [[measure(kind, secure) for kind in (Causeway, Rtpengine)] for _ in range(ROUNDS)]
        ours, theirs = ([max(one[0] for one in of), min(one[1] for one in of)] for of in zip(*rounds))
        compare(f"calls per second, {what} (asked for: at least {LEAST})", ours[0], theirs[0], "a second", "rtpengine")
        compare(f"CPU per call, {what}", ours[1], theirs[1], "us", "rtpengine")
        if ours[0] < LEAST:
            missed.append(f"{what}: {ours[0]:.0f} calls a second")
    if missed:
        print("not as asked for: " + "; ".join(missed))
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
