"""Calls that know what became of them: both carriers of the daemon in one thread, over UDP, RATE calls a second.

One call in ten is busy, one in ten is cancelled while it rings, the others are answered and last TALK seconds, by
chance between its two ends. What each party saw, and when, is kept for every call: the truth that records are held
against. Retransmissions are those of RFC 3261; after `cut` nothing is sent for a call any more, so that a daemon
that is started anew meets none of the old ones."""

import asyncio
import random
import re
import socket
import threading
import time

HEADER = re.compile(r"^(via|from|to|call-id|cseq|contact|record-route)\s*:\s*(.*?)\s*$", re.I)
# Seconds: T1 and 64 * T1 of RFC 3261.
FIRST_AGAIN_S, PATIENCE_S = 0.5, 32
RINGING_S = (0.02, 0.3)
# Last digit of the called number, which tells the answerer what to do.
DIGIT = {"answered": "0", "busy": "1", "cancelled": "2"}
# A burst of a busy machine must not be lost before we are scheduled.
BUFFER = 4 << 20


class Call:
    """What the caller knows of a call. Times are those of the monotonic clock, or None."""

    def __init__(self, number, kind, host):
        self.id, self.kind = f"{number}-{random.getrandbits(48):012x}@{host}", kind
        self.tag, self.called = f"c{number}", f"+493023125{random.randrange(100):02}{DIGIT[kind]}"
        self.to = self.target = None
        self.state = "calling"
        # The last response to the INVITE, and when the first one, 180, 200, the end came.
        self.status = 0
        self.placed = time.monotonic()
        self.heard = self.ringing = self.answered = self.hung_up = self.over = self.cut = None
        # When the daemon that had it was killed, as whoever kills it says.
        self.killed = None
        self.fault = ""


def message(start, lines, body=""):
    kind = ["Content-Type: application/sdp"] if body else []
    return "\r\n".join([start, *lines, *kind, f"Content-Length: {len(body)}", "", body]).encode()


def headers(data):
    """Start line and the headers that matter, each as a list."""
    start, *lines = data.decode(errors="replace").split("\r\n\r\n", 1)[0].split("\r\n")
    found = {}
    for line in lines:
        if match := HEADER.match(line):
            found.setdefault(match[1].lower(), []).append(match[2])
    return start, found


def description(host, port):
    return (f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n")


class Party(asyncio.DatagramProtocol):
    """A socket that sends until it is heard."""

    # As Via and Contact have it.
    protocol, contact_more = "UDP", ""

    def __init__(self, host):
        self.host, self.loop = host, asyncio.get_running_loop()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, source):
        start, found = headers(data)
        # Of the message that is being read.
        self.body = data.decode(errors="replace").partition("\r\n\r\n")[2]
        if all(found.get(name) for name in ("via", "from", "to", "call-id", "cseq")):
            self.take(start, found, source)

    def describe(self, _call):
        """Our side of the media of a call, by its Call-ID."""
        return description(self.host, self.media_port)

    def insist(self, is_wanted, octets, to, wait=FIRST_AGAIN_S, left=PATIENCE_S):
        """Sends now, and again and again as long as it is wanted."""
        if is_wanted() and left > 0:
            self.transport.sendto(octets, to)
            self.loop.call_later(wait, self.insist, is_wanted, octets, to, min(wait * 2, 4), left - wait)


class Answerer(Party):
    """Rings at once; then is busy, or rings on, or answers, as the last digit of the number says."""

    media_port = 40000

    def __init__(self, host):
        super().__init__(host)
        # What is sent until it is acknowledged, by Call-ID.
        self.waiting = {}

    def response(self, status, found, body=""):
        to = found["to"][0]
        if "tag=" not in to:
            to += ";tag=a" + re.sub(r"\W", "", found["call-id"][0])[:16]
        lines = [f"Via: {via}" for via in found["via"]]
        lines += [f"Record-Route: {route}" for route in found.get("record-route", [])]
        return message(f"SIP/2.0 {status}", lines + [
            f"From: {found['from'][0]}", f"To: {to}", f"Call-ID: {found['call-id'][0]}",
            f"CSeq: {found['cseq'][0]}", f"Contact: <sip:{self.host}:{self.port}{self.contact_more}>"], body)

    def take(self, start, found, source):
        method, call = start.split(" ", 1)[0], found["call-id"][0]
        if method == "INVITE" and call not in self.waiting:
            digit = re.search(r"sip:\+?\d*(\d)", start)[1]
            kind = next((own for own, last in DIGIT.items() if last == digit), "answered")
            self.waiting[call] = found
            self.transport.sendto(self.response("180 Ringing", found), source)
            if kind == "busy":
                self.finish(call, "486 Busy Here", found, source)
            elif kind == "answered":
                self.loop.call_later(random.uniform(*RINGING_S), self.settle, call, found, source)
        elif method == "ACK":
            self.waiting.pop(call, None)
        elif method == "CANCEL":
            self.transport.sendto(self.response("200 OK", found), source)
            if invite := self.waiting.get(call):
                self.finish(call, "487 Request Terminated", invite, source)
        elif method != "SIP/2.0" and method != "INVITE":
            self.transport.sendto(self.response("200 OK", found), source)

    def settle(self, call, found, source):
        if call in self.waiting:
            self.finish(call, "200 OK", found, source, self.describe(call))

    def finish(self, call, status, found, to, body=""):
        self.insist(lambda: call in self.waiting, self.response(status, found, body), to)


class Caller(Party):
    """Places calls, and writes down what it hears."""

    media_port = 42000
    kinds = {0: "busy", 5: "cancelled"}

    def __init__(self, host, sbc, rate, talk, calls):
        super().__init__(host)
        self.sbc, self.rate, self.talk, self.calls = sbc, rate, talk, calls
        self.pending, self.is_placing = {}, False

    async def place(self):
        """At a pace that does not wait for what was late."""
        due = time.monotonic()
        while True:
            due = max(due + 1 / self.rate, time.monotonic() - 0.2)
            await asyncio.sleep(max(0, due - time.monotonic()))
            if self.is_placing:
                self.begin()

    def begin(self):
        number = len(self.calls)
        kind = self.kinds.get(number % 10, "answered")
        call = Call(number, kind, self.host)
        self.calls.append(call)
        self.pending[call.id] = call
        self.insist(lambda: call.state == "calling", self.request(call, "INVITE", 1), self.sbc)
        self.loop.call_later(PATIENCE_S, self.give_up, call)

    def give_up(self, call):
        if call.state == "calling":
            self.end(call, "no response to INVITE")

    def request(self, call, method, number):
        first = f"sip:{call.called}@{self.sbc[0]}:{self.sbc[1]}"
        # ACK of a refusal and CANCEL belong to the transaction of the INVITE.
        is_own = method == "BYE" or (method == "ACK" and call.answered)
        branch = f"{call.tag}{method if is_own else ''}{call.id[-20:].replace('@', '.')}"
        is_later = method == "BYE" or method == "ACK"
        body = self.describe(call.id) if method == "INVITE" else ""
        return message(f"{method} {call.target if is_own and call.target else first} SIP/2.0", [
            f"Via: SIP/2.0/{self.protocol} {self.host}:{self.port};branch=z9hG4bK{branch};rport", "Max-Forwards: 70",
            f"From: <sip:+49899999801@{self.host}>;tag={call.tag}",
            f"To: {call.to if is_later and call.to else f'<{first}>'}", f"Call-ID: {call.id}",
            f"CSeq: {number} {method}", f"Contact: <sip:gw@{self.host}:{self.port}{self.contact_more}>"], body)

    def take(self, start, found, source):
        call = self.pending.get(found["call-id"][0])
        words = start.split(" ")
        if words[0] != "SIP/2.0":
            # The daemon ends a call by itself only where something is wrong.
            if call and words[0] == "BYE":
                lines = [f"{name.title()}: {value}" for name in ("via", "from", "to", "call-id", "cseq")
                         for value in found[name]]
                self.transport.sendto(message("SIP/2.0 200 OK", lines), source)
                self.end(call, "the daemon has hung up")
            return
        if not call:
            return
        status, method, now = int(words[1]), found["cseq"][0].split()[-1], time.monotonic()
        if method == "INVITE":
            call.status = status
            call.heard = call.heard or now
            self.hear(call, status, found, now)
        elif method == "BYE" and call.state == "ending":
            self.end(call, "" if status == 200 else f"BYE: {start}")

    def hear(self, call, status, found, now):
        """A response to the INVITE."""
        if status < 200:
            if call.state == "calling":
                call.state = "ringing"
            if status == 180 and not call.ringing:
                call.ringing = now
                if call.kind == "cancelled":
                    self.loop.call_later(random.uniform(*RINGING_S), self.cancel, call)
            return
        call.to = found["to"][0]
        if status >= 300:
            self.transport.sendto(self.request(call, "ACK", 1), self.sbc)
            wanted = {"busy": 486, "cancelled": 487}.get(call.kind)
            self.end(call, "" if status == wanted else f"INVITE: {status}")
            return
        is_new = not call.answered
        call.answered = call.answered or now
        call.target = re.search(r"<([^>]+)>", found["contact"][0])[1]
        self.transport.sendto(self.request(call, "ACK", 1), self.sbc)
        if is_new:
            call.state = "talking"
            self.loop.call_later(random.uniform(*self.talk), self.hang_up, call)

    def cancel(self, call):
        if call.state == "ringing":
            call.state = "cancelling"
            self.insist(lambda: call.state == "cancelling", self.request(call, "CANCEL", 1), self.sbc)

    def hang_up(self, call):
        if call.state == "talking":
            call.state, call.hung_up = "ending", time.monotonic()
            self.insist(lambda: call.state == "ending", self.request(call, "BYE", 2), self.sbc)
            self.loop.call_later(PATIENCE_S, lambda: call.state == "ending" and self.end(call, "no response to BYE"))

    def end(self, call, fault):
        call.state, call.over, call.fault = "over", time.monotonic(), fault
        self.pending.pop(call.id, None)


class Generator(threading.Thread):
    """Both parties in a thread of their own; `calls` is the truth."""

    answerer_kind, caller_kind = Answerer, Caller

    def __init__(self, sbc, rate, talk):
        super().__init__(daemon=True)
        self.sbc, self.rate, self.talk, self.calls = sbc, rate, talk, []
        self.is_there = threading.Event()
        self.start()
        if not self.is_there.wait(10):
            raise SystemExit("the generator has not begun")

    def run(self):
        asyncio.run(self.live())

    async def live(self):
        self.loop, self.gone = asyncio.get_running_loop(), asyncio.Event()
        own = self.sbc
        self.answerer = self.answerer_kind(own.RIGHT)
        self.caller = self.caller_kind(own.LEFT, (own.address, own.port), self.rate, self.talk, self.calls)
        for party, port in ((self.answerer, own.right_port), (self.caller, own.left_port)):
            party.port = port
            await self.open(party)
        placing = asyncio.create_task(self.caller.place())
        self.is_there.set()
        await self.gone.wait()
        placing.cancel()

    async def open(self, party):
        """What it sends and hears goes over."""
        there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        there.setblocking(False)
        there.bind((party.host, party.port))
        await self.loop.create_datagram_endpoint(lambda: party, sock=there)

    def within(self, what):
        """Runs it in the loop, and says what it returns."""
        done, result = threading.Event(), []

        def now():
            result.append(what())
            done.set()

        self.loop.call_soon_threadsafe(now)
        if not done.wait(30):
            raise SystemExit("the generator stands still")
        return result[0]

    def place(self, is_placing):
        """Whether calls are placed from now on."""
        self.within(lambda: setattr(self.caller, "is_placing", is_placing))

    def cut(self, at):
        """What is going on has ended at that time, and nobody says so to the other side."""
        def now():
            for call in self.caller.pending.values():
                call.state, call.cut = "cut", at
            self.caller.pending.clear()
            self.answerer.waiting.clear()
        self.within(now)

    def pending(self):
        """Calls that are not over."""
        return self.within(lambda: len(self.caller.pending))

    def settle(self):
        """Places no more, and waits until all calls are over."""
        self.place(False)
        deadline = time.monotonic() + 2 * PATIENCE_S + self.talk[1]
        while self.pending() and time.monotonic() < deadline:
            time.sleep(0.1)

    def finish(self):
        """Settles, and ends."""
        self.settle()
        self.cut(time.monotonic())
        self.loop.call_soon_threadsafe(self.gone.set)
        self.join(10)
