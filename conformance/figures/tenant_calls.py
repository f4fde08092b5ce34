#!/usr/bin/env python3
"""Calls of hosted tenants, as Teams makes them: mutual TLS with the tenant's name, SRTP in every offer, answered by
a carrier over UDP; each FROM-US'th goes the other way, and a proxy of Teams answers it. Both sides are here. What
comes of them is printed as one JSON object when standard input ends.

    tenant_calls.py FOLDER PORT CARRIER-PORT ANSWERER-PORT TEAMS-PORT TENANTS RATE CONNECTIONS FROM-US"""

import asyncio
import base64
import json
import os
import pathlib
import random
import re
import ssl
import sys
import time

ADDRESS = "127.0.0.1"
BASE = "customers.adatum.example"
PROXY = "sip.pstnhub.example"
# A call is over after this; an answer that takes longer is a failed call.
TALK_S, PATIENCE_S = 0.5, 16
CALLED = "+441632960001"
HEADER = re.compile(r"^(via|from|to|call-id|cseq|contact|record-route|content-length|reason|warning)\s*:\s*(.*)$", re.I)


def first_number(tenant):
    """As in the configuration of `tenants.py`."""
    return 441632000000 + tenant * 100


# Nobody sends media; they must only not be where the daemon's own are.
MEDIA = "127.0.0.9"


def description(port, key=None):
    profile, crypto = ("RTP/SAVP", f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31\r\n") if key else \
        ("RTP/AVP", "")
    return (f"v=0\r\no=- 1 1 IN IP4 {MEDIA}\r\ns=-\r\nc=IN IP4 {MEDIA}\r\nt=0 0\r\n"
            f"m=audio {port} {profile} 8\r\n{crypto}a=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n")


def message(start, lines, body=""):
    kind = ["Content-Type: application/sdp"] if body else []
    return "\r\n".join([start, *lines, *kind, f"Content-Length: {len(body)}", "", body]).encode()


def headers(text):
    """Start line and the headers that matter, each as a list."""
    start, *lines = text.split("\r\n\r\n", 1)[0].split("\r\n")
    found = {}
    for line in lines:
        if match := HEADER.match(line):
            found.setdefault(match[1].lower(), []).append(match[2])
    return start, found


def answer(found, contact, body):
    """200 to a request; a dialog begins where none was."""
    to = found["to"][0]
    if "tag=" not in to:
        to += ";tag=" + found["call-id"][0][:12]
    lines = [f"Via: {via}" for via in found["via"]]
    lines += [f"Record-Route: {route}" for route in found.get("record-route", [])]
    lines += [f"From: {found['from'][0]}", f"To: {to}", f"Call-ID: {found['call-id'][0]}",
              f"CSeq: {found['cseq'][0]}", f"Contact: <{contact}>",
              "Allow: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY"]
    return message("SIP/2.0 200 OK", lines, body)


class Carrier(asyncio.DatagramProtocol):
    """200 to whatever comes, and calls to tenants."""

    def __init__(self, calls, carrier_port):
        self.calls, self.carrier_port, self.pending = calls, carrier_port, {}

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, source):
        start, found = headers(data.decode(errors="replace"))
        method = start.split(" ", 1)[0]
        if method == "SIP/2.0":
            self.take(start.strip(), found)
        elif method != "ACK" and "via" in found:
            body = description(40000) if method == "INVITE" else ""
            self.transport.sendto(answer(found, f"sip:{ADDRESS}:{self.port}", body), source)

    def request(self, call, method, number):
        number_called = f"sip:+{first_number(call.tenant)}@127.0.0.2:{self.carrier_port}"
        return message(f"{method} {call.target or number_called} SIP/2.0", [
            f"Via: SIP/2.0/UDP {ADDRESS}:{self.port};branch=z9hG4bK{call.id}{method if method == 'BYE' else number}",
            "Max-Forwards: 70", f"From: <sip:{CALLED}@{ADDRESS}:{self.port}>;tag={call.tag}",
            f"To: {call.to or f'<{number_called}>'}", f"Call-ID: {call.id}", f"CSeq: {number} {method}",
            f"Contact: <sip:{CALLED}@{ADDRESS}:{self.port}>"],
            description(42000) if method == "INVITE" else "")

    def send(self, octets):
        self.transport.sendto(octets, ("127.0.0.2", self.carrier_port))

    def begin(self, tenant):
        call = Call()
        call.tenant = tenant
        self.pending[call.id] = call
        self.insist(call, "calling", self.request(call, "INVITE", 1))
        self.calls.from_us += 1

    def insist(self, call, state, octets, wait=0.5):
        """Again and again, until an answer of any kind has come."""
        if self.pending.get(call.id) is call and call.state == state:
            self.send(octets)
            asyncio.get_running_loop().call_later(wait, self.insist, call, state, octets, wait * 2)

    def hang_up(self, call):
        call.state, call.ended = "ending", time.monotonic()
        self.insist(call, "ending", self.request(call, "BYE", 2))

    def take(self, start, found):
        call = self.pending.get(found.get("call-id", [""])[0])
        if not call:
            return
        status, method = int(start.split(" ")[1]), found["cseq"][0].split(" ")[1]
        if status < 200:
            if call.state == "calling":
                call.state = "ringing"
        elif method == "INVITE" and status < 300:
            call.to, call.target = found["to"][0], re.search(r"<([^>]+)>", found["contact"][0])[1]
            self.send(self.request(call, "ACK", 1))
            if call.state in ("calling", "ringing"):
                call.state = "talking"
                self.calls.delays.append(time.monotonic() - call.begun)
                asyncio.get_running_loop().call_later(TALK_S, self.hang_up, call)
        elif method == "BYE" and status < 300:
            del self.pending[call.id]
            self.calls.ended += 1
        else:
            if method == "INVITE":
                call.to = found["to"][0]
                self.send(self.request(call, "ACK", 1))
            del self.pending[call.id]
            told = found.get("reason", []) + found.get("warning", [])
            self.calls.fail(call, f"to Teams, {method}: {start} {'; '.join(told)}")


class Stream(asyncio.Protocol):
    """Messages of a connection."""

    buffer = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, rest = self.buffer.split(b"\r\n\r\n", 1)
            start, found = headers(head.decode(errors="replace") + "\r\n\r\n")
            length = int(found.get("content-length", ["0"])[0])
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.take(start.strip(), found)


class Proxy(Stream):
    """A proxy of Teams, to which the calls of the carrier go over connections of the daemon's: 200 to whatever comes,
    at once, so that nothing is ever under way when one is closed."""

    def __init__(self, calls):
        self.calls = calls

    def connection_lost(self, why):
        if self.calls.is_over:
            return
        if why:
            self.calls.dropped.append(f"to the proxy: {why}")
        else:
            self.calls.renewed += 1

    def take(self, start, found):
        method = start.split(" ", 1)[0]
        if method in ("ACK", "SIP/2.0") or "via" not in found:
            return
        key = base64.b64encode(os.urandom(30)).decode()
        body = description(43000, key) if method == "INVITE" else ""
        self.transport.write(answer(found, f"sip:api-du-a.pstnhub.example:443;x-i={found['call-id'][0][:8]}", body))


class Call:
    """What a call waits for."""

    def __init__(self):
        self.id, self.tag = os.urandom(9).hex(), os.urandom(5).hex()
        self.begun, self.state, self.to, self.target = time.monotonic(), "calling", None, None


class Connection(Stream):
    """One connection of Teams for one tenant, with its calls."""

    def __init__(self, calls, tenant):
        self.calls, self.tenant, self.pending, self.successor = calls, tenant, {}, None
        self.host = f"t{tenant}.{BASE}:{calls.port}"

    def connection_lost(self, why):
        """Calls that are talking go on over another connection; those with a request under way are lost."""
        if self.calls.is_over:
            return
        talking = {call.id: call for call in self.pending.values() if call.state == "talking"}
        under_way = [call for call in self.pending.values() if call.id not in talking]
        if why or under_way:
            self.calls.dropped.append(f"t{self.tenant}: {why or 'closed'} with {len(under_way)} calls")
        else:
            self.calls.renewed += 1
        for call in under_way:
            self.calls.fail(call, "connection lost")
        self.pending = {}
        asyncio.get_running_loop().create_task(self.calls.go_on(self, talking))

    def request(self, call, method, number):
        uri = call.target or f"sip:{CALLED}@{self.host};user=phone;transport=tls"
        return f"{method} {uri} SIP/2.0", [
            f"Via: SIP/2.0/TLS {ADDRESS}:5061;branch=z9hG4bK{os.urandom(8).hex()}", "Max-Forwards: 70",
            f"From: <sip:+{first_number(self.tenant)}@{PROXY}:5061;user=phone>;tag={call.tag}",
            f"To: {call.to or f'<sip:{CALLED}@{self.host};user=phone>'}", f"Call-ID: {call.id}",
            f"CSeq: {number} {method}", f"Contact: <sip:api-du-a.pstnhub.example:443;x-i={call.id}>",
            "Allow: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY", "User-Agent: Microsoft.PSTNHub.SIPProxy"]

    def begin(self):
        call = Call()
        self.pending[call.id] = call
        key = base64.b64encode(os.urandom(30)).decode()
        self.transport.write(message(*self.request(call, "INVITE", 1), description(41000, key)))
        return call

    def hang_up(self, call):
        if self.transport.is_closing():
            # Whoever closes it has said so already, and the call is on the next one.
            following = self.successor or self
            asyncio.get_running_loop().call_later(0 if self.successor else 0.02, following.hang_up, call)
        elif self.pending.get(call.id) is call:
            call.state, call.ended = "ending", time.monotonic()
            self.transport.write(message(*self.request(call, "BYE", 2)))

    def take(self, start, found):
        call = self.pending.get(found.get("call-id", [""])[0])
        if not start.startswith("SIP/2.0 ") or not call:
            return
        status, method = int(start.split(" ")[1]), found["cseq"][0].split(" ")[1]
        if status < 200:
            return
        if method == "INVITE" and status < 300:
            call.to, call.target = found["to"][0], re.search(r"<([^>]+)>", found["contact"][0])[1]
            self.transport.write(message(*self.request(call, "ACK", 1)))
            if call.state == "calling":
                call.state = "talking"
                self.calls.delays.append(time.monotonic() - call.begun)
                asyncio.get_running_loop().call_later(TALK_S, self.hang_up, call)
        elif method == "BYE" and status < 300:
            del self.pending[call.id]
            self.calls.ended += 1
        else:
            del self.pending[call.id]
            told = found.get("reason", []) + found.get("warning", [])
            self.calls.fail(call, f"{method}: {start} {'; '.join(told)}")


class Calls:
    """Everything that is under way."""

    def __init__(self, folder, port, tenants):
        self.folder, self.port, self.tenants = folder, port, tenants
        self.context = ssl.create_default_context(cafile=folder / "ca.pem")
        self.context.load_cert_chain(folder / "proxy.pem", folder / "shared-0.key")
        self.of_proxy = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
        self.of_proxy.verify_mode = ssl.CERT_REQUIRED
        self.of_proxy.load_cert_chain(folder / "proxy.pem", folder / "shared-0.key")
        self.begun = self.ended = self.renewed = self.from_us = 0
        self.failed, self.dropped, self.delays, self.is_over = [], [], [], False
        self.everybody = []
        self.ready = time.monotonic()
        self.offered_s = 0.0

    def fail(self, call, why):
        self.failed.append((time.monotonic() - self.ready, f"{call.state}: {why}"))

    async def connect(self, tenant):
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self, tenant), ADDRESS, self.port, ssl=self.context,
            server_hostname=f"t{tenant}.{BASE}")
        return connection

    async def go_on(self, former, talking):
        """Another connection in the place of one that was closed."""
        try:
            connection = await self.connect(former.tenant)
        except OSError as why:
            self.dropped.append(f"t{former.tenant}: no other connection: {why}")
            for call in talking.values():
                self.fail(call, "no other connection")
            return
        connection.pending.update(talking)
        former.successor = connection
        self.everybody[self.everybody.index(former)] = connection

    def next_open(self):
        """The next connection in turn that is not about to end."""
        for number in range(len(self.everybody)):
            connection = self.everybody[(self.begun + number) % len(self.everybody)]
            if not connection.transport.is_closing():
                return connection
        return None

    async def offer(self, rate, connections, from_us, carrier):
        """Calls at this rate until standard input ends."""
        self.everybody = [await self.connect(random.randrange(self.tenants)) for _ in range(connections)]
        over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print("ready", flush=True)
        self.ready = next_call = time.monotonic()
        while not over.done():
            if from_us and self.begun % from_us == 0:
                # The same tenants, so that connections of ours are used again and again.
                carrier.begin(self.everybody[self.begun // from_us % connections].tenant)
                self.begun += 1
            elif connection := self.next_open():
                connection.begin()
                self.begun += 1
            next_call += 1 / rate
            await asyncio.sleep(max(0, next_call - time.monotonic()))
            self.give_up([*self.everybody, carrier])
        self.offered_s = time.monotonic() - self.ready
        deadline = time.monotonic() + PATIENCE_S
        while any(one.pending for one in [*self.everybody, carrier]) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            self.give_up([*self.everybody, carrier])
        self.is_over = True

    def give_up(self, everybody):
        now = time.monotonic()
        for connection in everybody:
            for call in list(connection.pending.values()):
                since = call.ended if call.state == "ending" else call.begun
                if call.state != "talking" and now - since > PATIENCE_S:
                    del connection.pending[call.id]
                    self.fail(call, "no answer")


async def main():
    folder, port, carrier_port, answerer, teams, tenants, rate, connections, from_us = sys.argv[1:]
    loop = asyncio.get_running_loop()
    calls = Calls(pathlib.Path(folder), int(port), int(tenants))
    _, carrier = await loop.create_datagram_endpoint(
        lambda: Carrier(calls, int(carrier_port)), local_addr=(ADDRESS, int(answerer)))
    await loop.create_server(lambda: Proxy(calls), ADDRESS, int(teams), ssl=calls.of_proxy)
    await calls.offer(float(rate), int(connections), int(from_us), carrier)
    delays = sorted(calls.delays) or [float("nan")]
    print(json.dumps({
        "begun": calls.begun, "ended": calls.ended, "failed": len(calls.failed),
        "why": [f"after {at:.1f} s, {why}" for at, why in calls.failed[:3] + calls.failed[-2:]],
        "dropped": len(calls.dropped), "dropped_why": calls.dropped[:5], "renewed": calls.renewed,
        "from_us": calls.from_us, "offered_seconds": calls.offered_s,
        "median_ms": 1000 * delays[len(delays) // 2],
        "longest_ms": 1000 * delays[-1]}))


if __name__ == "__main__":
    asyncio.run(main())
