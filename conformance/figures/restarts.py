#!/usr/bin/env python3
"""What calls notice of a daemon that goes and comes back, where the relay is a process of its own (OPS-153): CALLS calls
(default 500, 40 with SHORT=1) with SRTP on both legs, and a tone in both directions. The daemon is killed with
`kill -9`, told to end with `restart = "preserve"`, and killed again; each time it is started anew after DOWN seconds
(default 1). Then the callers hang up.

What it prints is judged: it fails where a call ended, where the longest silence of 99 % of all directions was longer than
500 ms or that of any other longer than 5 s, where a direction heard no more than half of what was sent, be it in all or
in the last second, where more than 10 packets in a row of one direction could not be opened, where something else than the
tone was heard, and where a call has not exactly one record, as its caller knows it. Sent, opened and counted is by
media-relay/examples/tones.rs, in steps of 20 ms."""

import asyncio
import base64
import collections
import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

from bench import ROOT, end, free_ports, machine
from certificates import Authority
from checks import wait_until
from generator import Answerer, Caller, Generator, description
from sbc import Daemon, binary, free_port, own_addresses

IS_SHORT = bool(os.environ.get("SHORT"))
CALLS = int(os.environ.get("CALLS", "40" if IS_SHORT else "500"))
DOWN_S = float(os.environ.get("DOWN", "1"))
# How many calls are placed a second, how long it is listened before and after each end, and then once more.
RATE, BEFORE_S, AFTER_S, THEN_S = 50, 1, 3, 1
# What the requirement asks for.
MOST_SILENCE_MS, MOST_UNOPENED = 500, 10
# What nobody may miss, not even one in a hundred.
LONGEST_SILENCE_MS = 5_000
# What the clocks of both sides may differ by on a busy machine.
TOLERANCE_S = 0.5
PACKETS_PER_S = 50


NAMES = {"left": "left.example.com", "right": "right.example.com"}
SBC = "sbc.example.com"


class Node(Daemon):
    """The daemon between two carriers over TLS, as keys need it, with the relay as a process that outlives it."""

    def __init__(self, files):
        self.files, self.relay = files, None
        self.address, self.other, self.LEFT, self.RIGHT = own_addresses(4)
        self.port, self.left_port, self.right_port = (free_port(own, socket.SOCK_STREAM)
                                                      for own in (self.address, self.LEFT, self.RIGHT))
        authority = Authority(files, "ca")
        authority.issue("sbc", SBC)
        for side, host in NAMES.items():
            authority.issue(side, host)
        super().__init__()

    def config(self):
        text = f"""
[[tls]]
name = "sbc"
cert = "{self.files}/sbc.pem"
key = {{ file = "{self.files}/sbc.key" }}
client_ca = "{self.files}/ca.pem"
verify_client = "require"

[[tenant]]
name = "interop"
numbers = ["+493023125000-+493023125999"]
"""
        sides = (("left", "right", self.address, self.LEFT, self.left_port),
                 ("right", "left", self.other, self.RIGHT, self.right_port))
        for side, other, address, peer, port in sides:
            text += f"""
[[realm]]
name = "{side}"
addresses = ["{address}"]
ports = "1024-32767"

[[listen]]
realm = "{side}"
transport = "tls"
port = {self.port}
tls = "sbc"

[[trunk]]
name = "{side}"
preset = "carrier"
tenant = "interop"
realm = "{side}"
tls = "sbc"
fqdn = "{SBC}"
targets = [{{ address = "{NAMES[side]}:5061;tls", connect_to = ["{peer}:{port}"] }}]
accept_from = ["{peer}/32"]
accept_names = ["{NAMES[side]}"]
codecs = ["PCMA"]
srtp = "required"
options = false

[[route]]
name = "to-{other}"
match = {{ from_trunk = "{side}" }}
to = [{{ trunk = "{other}" }}]
"""
        return text

    def context(self, side, is_server):
        """What this side shows, and whom it believes."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
        made.load_verify_locations(self.files / "ca.pem")
        made.load_cert_chain(self.files / f"{side}.pem", self.files / f"{side}.key")
        if is_server:
            made.verify_mode = ssl.CERT_REQUIRED
        return made

    def node(self):
        return super().node() + f'\n[media]\nrelay = "{self.path}/media.sock"\nrestart = "preserve"\n[limits]\nmedia_timeout = "0s"\n'

    def start(self):
        if not self.relay:
            log = self.path / "relay.log"
            with open(log, "wb") as out:
                self.relay = subprocess.Popen([binary(), "media", "--workers", "1", "--socket", self.path / "media.sock"],
                                              stdout=out, stderr=out)
            if not wait_until(lambda: "a daemon is awaited" in log.read_text()):
                raise SystemExit("the relay does not start:\n" + log.read_text())
        super().start()

    def leave(self, kind):
        """Ends the daemon alone. Says how long that took."""
        begun = time.monotonic()
        self.process.send_signal(kind)
        self.process.wait(30)
        self.log.close()
        return time.monotonic() - begun

    def stop(self):
        code = super().stop()
        end(self.relay)
        return code


class Wire:
    """Connections of a party, to which it sends as to a socket of datagrams."""

    def __init__(self, party, connect=None):
        self.party, self.connect = party, connect
        self.waiting, self.writer, self.connecting = [], None, None

    def sendto(self, octets, to):
        """On the connection that a request came on; else on our own, which is made when it is needed."""
        writer = to if isinstance(to, asyncio.StreamWriter) else self.writer
        if writer and not writer.is_closing():
            writer.write(octets)
        elif self.connect:
            self.waiting.append(octets)
            self.connecting = self.connecting or asyncio.ensure_future(self.dial())

    async def dial(self):
        # A daemon that is not there is tried again with what is sent again.
        with contextlib.suppress(OSError, ssl.SSLError):
            reader, self.writer = await self.connect()
            for octets in self.waiting:
                self.writer.write(octets)
            asyncio.ensure_future(self.read(reader, self.writer))
        self.waiting, self.connecting = [], None

    async def read(self, reader, writer):
        """Message by message."""
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                self.party.datagram_received(head.lstrip(b"\r\n") + body, writer)
        writer.close()


class Side:
    """Media of one side: a port and a key for each call, and what the daemon says of its own."""

    def __init__(self, host):
        self.ports, self.own, self.theirs = iter(free_ports(host, CALLS)), {}, {}

    def describe(self, host, call):
        if call not in self.own:
            self.own[call] = next(self.ports), os.urandom(30)
        port, key = self.own[call]
        text = description(host, port).replace("RTP/AVP", "RTP/SAVP")
        return f"{text}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{base64.b64encode(key).decode()}\r\n"

    def hears(self, call, body):
        """Address, port and key of the daemon, once it has told them."""
        lines = body.split("\r\n")
        if not any(line.startswith("m=audio ") for line in lines):
            return

        def first(start):
            return next(line for line in lines if line.startswith(start))

        address, port = first("c=IN ").split(" ")[2], first("m=audio ").split(" ")[1]
        crypto = next(line for line in lines if line.startswith("a=crypto:") and "AES_CM_128_HMAC_SHA1_80" in line)
        key = base64.b64decode(crypto.split("inline:", 1)[1].split("|")[0].split(" ")[0])
        self.theirs[call] = f"{address}:{port}", key

    def lines(self, host):
        """As tones.rs reads them."""
        for call, (port, own) in self.own.items():
            to, theirs = self.theirs[call]
            yield f"{host}:{port} {to} {own.hex()} {theirs.hex()}"


class SecureAnswerer(Answerer):
    """Answers, with keys."""

    protocol, contact_more = "TLS", ";transport=tls"

    def __init__(self, host):
        super().__init__(host)
        self.side = Side(host)

    def describe(self, call):
        return self.side.describe(self.host, call)

    def take(self, start, found, source):
        self.side.hears(found["call-id"][0], self.body)
        super().take(start, found, source)


class SecureCaller(Caller):
    """Places so many calls, with keys, and hangs up when it is told to."""

    kinds, protocol, contact_more = {}, "TLS", ";transport=tls"

    def __init__(self, host, *arguments):
        super().__init__(host, *arguments)
        self.side = Side(host)

    def begin(self):
        if len(self.calls) < CALLS:
            super().begin()

    def describe(self, call):
        return self.side.describe(self.host, call)

    def take(self, start, found, source):
        self.side.hears(found["call-id"][0], self.body)
        super().take(start, found, source)

    def hang_up_all(self):
        for call in list(self.pending.values()):
            self.hang_up(call)


class Speaking(Generator):
    """Both parties."""

    answerer_kind, caller_kind = SecureAnswerer, SecureCaller

    async def open(self, party):
        sbc = self.sbc
        if party is self.answerer:
            party.transport = wire = Wire(party)
            await asyncio.start_server(wire.read, party.host, party.port, ssl=sbc.context("right", True))
            return
        context = sbc.context("left", False)
        party.transport = wire = Wire(party, lambda: asyncio.open_connection(
            sbc.address, sbc.port, ssl=context, server_hostname=SBC, local_addr=(party.host, 0)))
        # Requests of the daemon after its restart come on connections of its own.
        await asyncio.start_server(wire.read, party.host, party.port, ssl=sbc.context("left", True))


class Tones:
    """Everybody's voice and ear."""

    def __init__(self, lines):
        program = ROOT / "target/release/examples/tones"
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        for line in lines:
            self.process.stdin.write(line + "\n")
        self.process.stdin.write("go\n")

    def report(self):
        """Since the last one: how late the latest packet was sent in ms, and what each peer sent and heard."""
        self.process.stdin.write("report\n")
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("who speaks has ended")
        told = json.loads(line)
        return told["late_us"] / 1000, [Heard(*peer) for peer in told["peers"]]

    def stop(self):
        self.process.stdin.close()
        end(self.process)


Heard = collections.namedtuple("Heard", "sent heard wrong unopened longest_unopened longest_us")


def deaf(heard):
    """How many directions lack most of what was sent."""
    return sum(one.heard <= one.sent // 2 for one in heard)


def judge_round(what, late_ms, heard, then, seconds, wrong):
    """What was heard while a daemon went and came, and right behind that: whoever is cut off late is silent then."""
    silences = sorted(one.longest_us / 1000 for one in heard)
    p99 = silences[int(len(silences) * 0.99)]
    burst, unopened = max(one.longest_unopened for one in heard), sum(one.unopened for one in heard)
    others, count = sum(one.wrong for one in heard), sum(one.heard for one in heard)
    sent = sum(one.sent for one in heard)
    print(f"{what}: longest silence of {len(heard)} directions: median {statistics.median(silences):.0f} ms, p99 {p99:.0f} "
          f"ms, most {silences[-1]:.0f} ms; {count} of {sent} packets heard, {others} were something else, {unopened} could "
          f"not be opened, at most {burst} in a row; {sum(one.heard for one in then)} of "
          f"{sum(one.sent for one in then)} right behind that; sent late by {late_ms:.0f} ms at most", flush=True)
    if sent < len(heard) * seconds * PACKETS_PER_S // 2:
        wrong.append(f"{what}: this machine does not send so many packets")
    if p99 > MOST_SILENCE_MS:
        wrong.append(f"{what}: silence of {p99:.0f} ms")
    if silences[-1] > LONGEST_SILENCE_MS:
        wrong.append(f"{what}: silence of {silences[-1]:.0f} ms in one direction")
    if missed := deaf(heard):
        wrong.append(f"{what}: {missed} directions heard no more than half of what was sent")
    if missed := deaf(then):
        wrong.append(f"{what}: {missed} directions hear nothing, or next to nothing, any more")
    if burst > MOST_UNOPENED:
        wrong.append(f"{what}: {burst} packets in a row could not be opened")
    if others:
        wrong.append(f"{what}: {others} packets were something else than the tone")


def judge_records(calls, records, wrong):
    """Holds the records against what the callers know."""
    by_call = collections.defaultdict(list)
    for record in records:
        by_call[record["ingress"]["call_id"]].append(record)
    faults = collections.Counter()
    for call in calls:
        own = by_call.pop(call.id, [])
        if len(own) != 1:
            faults[f"{len(own)} records"] += 1
            continue
        record, = own
        length = record["duration_ms"] / 1000
        lasted = call.hung_up - call.answered, call.over - call.answered
        if record["cause"]["code"] != "normal_clearing":
            faults[f"cause {record['cause']['code']}"] += 1
        elif not lasted[0] - TOLERANCE_S <= length <= lasted[1] + TOLERANCE_S:
            faults["the wrong length"] += 1
        elif len(record["media"]) != 2 or not all(leg["srtp"] and leg["packets_in"] and leg["packets_out"]
                                                  for leg in record["media"]):
            faults["media of one leg are missing"] += 1
    if by_call:
        faults["of nobody's call"] = len(by_call)
    for what, count in faults.items():
        wrong.append(f"records: {what}: {count}")
    print(f"records of {len(calls)} calls: {'as the callers know them' if not faults else dict(faults)}", flush=True)


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "media-relay", "--example", "tones"],
                   cwd=ROOT, check=True)
    print(f"{CALLS} calls with SRTP and a tone, the daemon gone for {DOWN_S} s three times, {binary()}; {machine()}",
          flush=True)
    with tempfile.TemporaryDirectory(prefix="causeway-figures-") as files:
        return measure(Node(pathlib.Path(files)))


def measure(sbc):
    """Everything, with this daemon; the exit code."""
    wrong, tones = [], None
    try:
        speaking = Speaking(sbc, RATE, (1e6, 1e6))
        caller = speaking.caller
        speaking.place(True)
        talks = lambda: sum(call.state == "talking" for call in speaking.calls) == CALLS
        if not wait_until(talks, CALLS / RATE + 20, 0.1):
            raise SystemExit(f"calls: {collections.Counter(call.state + call.fault for call in speaking.calls)}\n"
                             + sbc.log_text()[-3000:])
        answerer = speaking.answerer
        tones = Tones([*caller.side.lines(caller.host), *answerer.side.lines(answerer.host)])
        # Who begins to speak is followed, and what is to be kept of a call is told to the relay meanwhile.
        time.sleep(AFTER_S)
        tones.report()
        for what, kind in (("kill -9", signal.SIGKILL), ("told to end", signal.SIGTERM), ("kill -9 again", signal.SIGKILL)):
            begun = time.monotonic()
            time.sleep(BEFORE_S)
            took = sbc.leave(kind)
            time.sleep(DOWN_S)
            again = time.monotonic()
            sbc.start()
            started = time.monotonic() - again
            time.sleep(AFTER_S)
            late_ms, heard = tones.report()
            lasted = time.monotonic() - begun
            time.sleep(THEN_S)
            _, then = tones.report()
            judge_round(f"{what} (gone after {1000 * took:.0f} ms, ready {1000 * started:.0f} ms after its start)", late_ms,
                        heard, then, lasted, wrong)
            ended = [call for call in speaking.calls if call.state != "talking"]
            if ended:
                wrong.append(f"{what}: {len(ended)} calls ended: {collections.Counter(call.fault for call in ended)}")
        hung_up = time.monotonic()
        speaking.within(caller.hang_up_all)
        wait_until(lambda: not speaking.pending(), 40, 0.1)
        over = time.monotonic() - hung_up
        records = sbc.records(CALLS, 20)
        print(f"all have hung up after {over:.1f} s, and their records are there after {time.monotonic() - hung_up:.1f} s")
        faults = collections.Counter(call.fault or call.state for call in speaking.calls if call.fault or not call.over)
        if faults:
            wrong.append(f"calls ended otherwise: {dict(faults)}")
        judge_records([call for call in speaking.calls if call.over and call.hung_up], records, wrong)
        speaking.finish()
        if code := sbc.stop():
            wrong.append(f"the daemon ended with {code}")
    finally:
        if tones:
            tones.stop()
        for process in (sbc.process, sbc.relay):
            end(process, signal.SIGKILL)
        sbc.clean_up()
    for what in wrong:
        print(f"not as asked for: {what}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
