"""Phones behind a proxy, message by message: SIP over UDP on one socket, media on another."""

import random
import re
import select
import socket
import struct
import time

from call import Ear

PCMA, EVENTS = 8, 101
AUDIO = f"RTP/AVP {PCMA} {EVENTS}\r\na=rtpmap:{PCMA} PCMA/8000\r\na=rtpmap:{EVENTS} telephone-event/8000\r\na=fmtp:{EVENTS} 0-15\r\n"
SILENCE = b"\xd5" * 160


def header(message, name):
    """Value of a header of a message."""
    found = re.search(rf"(?im)^{name} *: *(.*?)\r$", message)
    return found[1] if found else ""


def body(message):
    return message.split("\r\n\r\n", 1)[1]


class Phone(Ear):
    """One end of a call."""

    def __init__(self, address, proxy):
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.address, self.proxy = address, proxy
        # It signals over IPv4 in any case.
        self.line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.line.bind((proxy[0] if ":" in address else address, 0))
        self.line.settimeout(5)
        self.media = socket.socket(self.family, socket.SOCK_DGRAM)
        self.media.bind((address, 0))
        self.contact = "%s:%d" % self.line.getsockname()[:2]
        self.tag, self.version, self.number = f"{random.getrandbits(40):x}", 0, 0
        self.to, self.dialog, self.cseq = None, {}, random.randrange(1, 1000)
        self.ssrc = random.getrandbits(32)

    def describe(self, media=f"m=audio PORT {AUDIO}", more=""):
        """A description of its media."""
        self.version += 1
        kind = "IP6" if self.family == socket.AF_INET6 else "IP4"
        port = self.media.getsockname()[1]
        media = media.replace("PORT", str(port)).replace("ADDRESS", self.address)
        return (f"v=0\r\no=- 1 {self.version} IN {kind} {self.address}\r\ns=-\r\nc=IN {kind} {self.address}\r\nt=0 0\r\n"
                f"{media}{more}")

    def send(self, start, lines, text="", to=None):
        lines = [line for line in lines if line]
        if text:
            lines.append("Content-Type: application/sdp")
        message = "\r\n".join([start, *lines, f"Content-Length: {len(text)}", "", text])
        self.line.sendto(message.encode(), to or self.proxy)

    def invite(self, text, flags, *lines):
        """Begins a call."""
        self.dialog = {"id": f"{random.getrandbits(64):x}@example.net", "to": "<sip:called@example.net>",
                       "from": f"<sip:caller@example.net>;tag={self.tag}", "route": "",
                       "target": "sip:called@example.net"}
        self.request("INVITE", text, flags, *lines)

    def request(self, method, text="", flags="replace-origin", *lines):
        """A request, in its call if there is one."""
        if method != "ACK":
            self.cseq += 1
        own = self.dialog
        self.send(f"{method} {own['target']} SIP/2.0",
                  [f"Via: SIP/2.0/UDP {self.contact};branch=z9hG4bK{random.getrandbits(48):x}", "Max-Forwards: 70",
                   f"From: {own['from']}", f"To: {own['to']}", f"Call-ID: {own['id']}", f"CSeq: {self.cseq} {method}",
                   f"Contact: <sip:{self.contact}>", own["route"] and f"Route: {own['route']}", f"X-Flags: {flags}", *lines],
                  text)

    def answered(self):
        """The answer to its INVITE, which it acknowledges."""
        final, _ = self.receive("SIP/2.0 2")
        self.dialog["to"] = header(final, "To")
        self.dialog["route"] = self.dialog["route"] or header(final, "Record-Route")
        self.dialog["target"] = re.search("<(.*?)>", header(final, "Contact"))[1]
        self.request("ACK")
        self.hear(final)
        return final

    def called(self):
        """The INVITE that comes."""
        invite, self.peer = self.receive("INVITE")
        self.asked = invite
        if "tag=" not in header(invite, "To"):
            self.dialog = {"id": header(invite, "Call-ID"), "to": header(invite, "From"),
                           "from": header(invite, "To") + f";tag={self.tag}", "route": header(invite, "Record-Route"),
                           "target": re.search("<(.*?)>", header(invite, "Contact"))[1]}
        self.hear(invite)
        return invite

    def respond(self, status, text="", flags="replace-origin", request=None):
        """Responds to the INVITE that came, or to another request."""
        request = request or self.asked
        kept = re.findall(r"(?im)^(?:via|record-route|from|call-id|cseq) *:.*(?=\r$)", request)
        to = header(request, "To")
        to = to if "tag=" in to or status == "100" else to + f";tag={self.tag}"
        self.send(f"SIP/2.0 {status} Own", [*kept, f"To: {to}", f"Contact: <sip:{self.contact}>", f"X-Flags: {flags}"], text,
                  self.peer)

    def answer(self, text, flags="replace-origin"):
        """Takes the call; the ACK is not waited for."""
        self.respond("200", text, flags)

    def hear(self, message):
        """Takes over where a description wants media."""
        media = re.search(r"(?m)^m=\w+ (\d+) .*?\r\n(?:(?!m=).*\r\n)*?c=IN IP[46] (\S+)", body(message))
        if media and int(media[1]):
            self.to = media[2], int(media[1])

    def packet(self, payload, kind=PCMA, marker=False, timestamp=None):
        self.number += 1
        timestamp = self.number * 160 if timestamp is None else timestamp
        return struct.pack("!BBHII", 0x80, kind | 0x80 * marker, self.number & 0xFFFF, timestamp, self.ssrc) + payload

    def say(self, datagram):
        self.media.sendto(datagram, self.to)

    def speak(self):
        """20 ms of something that is no silence."""
        self.say(self.packet(bytes((self.number * 7 + n) & 0x7F for n in range(160))))

    def press(self, digit, times=4):
        """A key as an event: so many packets, of which the last three are its end."""
        timestamp = (self.number + 1) * 160
        for step in range(times + 3):
            event = struct.pack("!BBH", digit, 10 | 0x80 * (step >= times), 160 * min(step + 1, times + 1))
            self.say(self.packet(event, EVENTS, step == 0, timestamp))
            time.sleep(0.02)

    def heard(self, patience=0.3, longest=3.0):
        """What has come, until nothing comes any more, or for so many seconds."""
        came, until = [], time.monotonic() + longest
        while time.monotonic() < until and select.select([self.media], [], [], patience)[0]:
            came.append(self.media.recv(2048))
        return came

    def close(self):
        self.line.close()
        self.media.close()


def converse(one, other, packets=10):
    """Both speak; how many packets of speech each has heard, and how many of silence."""
    one.heard(0.05), other.heard(0.05)
    for _ in range(packets):
        one.speak(), other.speak()
        time.sleep(0.02)
    counts = []
    for phone in (one, other):
        came = [own[12:] for own in phone.heard() if own[1] & 0x7F == PCMA]
        counts.append((sum(own != SILENCE for own in came), sum(own == SILENCE for own in came)))
    return counts
