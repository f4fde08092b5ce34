#!/usr/bin/env python3
"""CPU time per forwarded media packet, beside Debian's rtpengine in user space.

Both relays are processes of their own without a kernel module and with one media thread per core.
They take turns with the same peers: CALLS two-way calls (default 100), each direction 50 packets of
20 ms G.711 a second, for SECONDS (default 15), once as RTP on both legs, once as SRTP on one and RTP
on the other. CPU time is user and system of the relay's process, over the packets that arrived."""

import base64
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import time

from bench import ROOT, compare, cpu_seconds, end, free_ports, machine, need
from sbc import free_port

CALLS = int(os.environ.get("CALLS", "100"))
SECONDS = int(os.environ.get("SECONDS", "15"))
ROUNDS = int(os.environ.get("ROUNDS", "2"))
FIRST, SECOND = "127.0.0.2", "127.0.0.3"


def bencode(value):
    if isinstance(value, dict):
        return b"d" + b"".join(bencode(k) + bencode(v) for k, v in sorted(value.items())) + b"e"
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    data = value.encode()
    return str(len(data)).encode() + b":" + data


def bdecode(data, at=0):
    """The value at a place, and where it ends."""
    if data[at:at + 1] == b"i":
        stop = data.index(b"e", at)
        return int(data[at + 1:stop]), stop + 1
    if data[at:at + 1] in (b"d", b"l"):
        values, kind = [], data[at:at + 1]
        at += 1
        while data[at:at + 1] != b"e":
            value, at = bdecode(data, at)
            values.append(value)
        pairs = dict(zip(values[::2], values[1::2]))
        return (pairs if kind == b"d" else values), at + 1
    colon = data.index(b":", at)
    length = int(data[at:colon])
    return data[colon + 1:colon + 1 + length].decode(), colon + 1 + length


def key():
    return random.randbytes(30)


class Rtpengine:
    """rtpengine, driven over its ng protocol."""

    name = "rtpengine"
    address = "127.0.0.1"

    def __init__(self, folder):
        self.ng = free_port()
        ports = free_ports("127.0.0.1", 3 * CALLS)
        log = open(folder / "rtpengine.log", "wb")
        command = ["rtpengine", "--foreground", "--log-stderr", "--log-level=3", "--table=-1",
                   "--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{self.ng}",
                   f"--num-threads={os.cpu_count()}", f"--port-min={ports[0]}",
                   f"--port-max={ports[-1] + 1}"]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        self.folder = folder
        self.connect()

    def connect(self):
        """Waits until it answers."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(1)
        for _ in range(20):
            try:
                if self.ask({"command": "ping"})["result"] == "pong":
                    return
            except OSError:
                time.sleep(0.2)
        raise SystemExit("rtpengine does not answer:\n"
                         + (self.folder / "rtpengine.log").read_text())

    def ask(self, request):
        cookie = f"{random.getrandbits(48):x}"
        self.socket.sendto(cookie.encode() + b" " + bencode(request), ("127.0.0.1", self.ng))
        while True:
            answer = self.socket.recv(65536)
            if answer.startswith(cookie.encode()):
                return bdecode(answer.split(b" ", 1)[1])[0]

    def sdp(self, command, call, address, port, secret):
        transport = "RTP/SAVP" if secret else "RTP/AVP"
        body = (f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
                f"m=audio {port} {transport} 8\r\na=rtpmap:8 PCMA/8000\r\n")
        if secret:
            inline = base64.b64encode(secret).decode()
            body += f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{inline}\r\n"
        request = {"command": command, "call-id": f"call-{call}", "from-tag": "a", "sdp": body,
                   "ICE": "remove", "replace": ["origin"]}
        if command == "answer":
            request["to-tag"] = "b"
        else:
            request["transport-protocol"] = "RTP/AVP"
        answer = self.ask(request)
        if answer.get("result") != "ok":
            raise SystemExit(f"rtpengine refuses: {answer}")
        return answer["sdp"]

    def open(self, call, first, second, secret):
        offer = self.sdp("offer", call, *first, secret)
        answer = self.sdp("answer", call, *second, None)
        ports = [re.search(r"m=audio (\d+)", text).group(1) for text in (answer, offer)]
        return f"{self.address}:{ports[0]}", f"{self.address}:{ports[1]}"


class Causeway:
    """Our relay, driven by lines."""

    name = "causeway"

    def __init__(self, folder):
        ports = free_ports("127.0.0.1", 3 * CALLS)
        program = ROOT / "target/release/examples/relay"
        command = [str(program), "127.0.0.1", str(ports[0]), str(ports[-1] + 1)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1, cwd=folder)

    def open(self, _call, first, second, secret):
        digits = secret.hex() if secret else "-"
        line = f"{first[0]}:{first[1]} {second[0]}:{second[1]} {digits}\n"
        self.process.stdin.write(line)
        answer = self.process.stdout.readline().split()
        if len(answer) != 3:
            raise SystemExit("the relay ended")
        return answer[0], answer[1]


def measure(relay_kind, folder, secure):
    """Microseconds per packet that arrived."""
    relay = relay_kind(folder)
    try:
        firsts = [(FIRST, port) for port in free_ports(FIRST, CALLS)]
        seconds = [(SECOND, port) for port in free_ports(SECOND, CALLS)]
        lines = []
        for call, (first, second) in enumerate(zip(firsts, seconds)):
            secret = key() if secure else None
            to_first, to_second = relay.open(call, first, second, secret)
            lines.append(f"{first[0]}:{first[1]} {to_first} {secret.hex() if secret else '-'}")
            lines.append(f"{second[0]}:{second[1]} {to_second} -")
        before = cpu_seconds(relay.process.pid)
        load = subprocess.run([str(ROOT / "target/release/examples/load"), str(SECONDS)],
                              input="\n".join(lines) + "\n", text=True, check=True,
                              capture_output=True)
        spent = cpu_seconds(relay.process.pid) - before
        sent, received, late = map(int, load.stdout.split())
        print(f"  {relay.name}: {received} of {sent} packets arrived, {spent:.2f} s of CPU, "
              f"sender late by {late / 1000:.1f} ms at most", flush=True)
        if received < 0.99 * sent:
            raise SystemExit(f"{relay.name} lost packets, the figure would mean nothing")
        return 1e6 * spent / received
    finally:
        end(relay.process)


def main():
    need("rtpengine")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "media-relay",
                    "--example", "relay", "--example", "load"], cwd=ROOT, check=True)
    print(f"media packets, {CALLS} calls, {SECONDS} s, {ROUNDS} rounds; {machine()}")
    with tempfile.TemporaryDirectory(prefix="causeway-figures-") as folder:
        for secure in (False, True):
            what = "SRTP on one leg, RTP on the other" if secure else "RTP on both legs"
            print(what)
            figures = {Causeway: [], Rtpengine: []}
            for _ in range(ROUNDS):
                for kind, list_ in figures.items():
                    list_.append(measure(kind, pathlib.Path(folder), secure))
            ours, theirs = (min(list_) for list_ in figures.values())
            compare(f"CPU per packet, {what}", ours, theirs, "us", "rtpengine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
