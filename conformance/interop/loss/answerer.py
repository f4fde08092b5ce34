#!/usr/bin/env python3
"""A called party that bears what a network does: `answerer.py ADDRESS PORT DIALOGS`.

It answers every INVITE with 180 and 200, however often it comes, or, where the caller knows of reliable provisionals,
with a 183 that it repeats until its PRACK and a 200 a little later; it repeats each 200 until its ACK, and confirms
whatever else it is asked as often as it is asked. Calls of a number that ends in 999 it ends by itself. It ends when
DIALOGS dialogs are over and nothing has come again for five seconds; it fails when that takes more than 40 s, or when
ACKs are missing. SIPp is no use here: it gives up calls whose INVITE comes a second time after both answers to the
first were lost."""

import json
import random
import re
import socket
import sys
import time

SDP = ("v=0\r\no=- 1 {version} IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8\r\n"
       "a=rtpmap:8 PCMA/8000\r\na={direction}\r\n")
MIRRORED = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
# Seconds: until something is repeated first, between repetitions at most, of ringing, and of talk.
FIRST, MOST, RINGS, TALKS = 0.5, 4, 3, 1.5


def value(message, name):
    """What a header says; empty if there is none."""
    found = re.search(rf"(?im)^{name} *: *([^\r\n]*)", message)
    return found[1] if found else ""


def response(request, status, tag, *headers, body=""):
    """What answers a request: its Via, From, To, Call-ID and CSeq, with our tag."""
    kept = [line for line in request.split("\r\n\r\n")[0].split("\r\n")[1:]
            if re.match(r"(?i)(via|from|to|call-id|cseq|record-route) *:", line)]
    kept = [line + f";tag={tag}" if re.match(r"(?i)to *:", line) and ";tag=" not in line else line for line in kept]
    kind = ["Content-Type: application/sdp"] if body else []
    head = [f"SIP/2.0 {status}", *kept, *headers, *kind, f"Content-Length: {len(body)}"]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


class Ear:
    """A socket and what is repeated over it until something comes."""

    def __init__(self, address, port):
        self.line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.line.bind((address, port))
        self.line.settimeout(0.05)
        # By the branch and method of a request, what it was answered last.
        self.answers = {}
        # By what ends it: a message, to whom it goes, when next, and the pause after that.
        self.repeated = {}
        self.came_again = 0

    def sends(self, octets, peer, until=None):
        """Sends it, and again until that comes."""
        self.line.sendto(octets, peer)
        if until:
            self.repeated[until] = octets, peer, time.monotonic() + FIRST, 2 * FIRST

    def comes(self, until):
        """Whatever was repeated until this is not any more."""
        return self.repeated.pop(until, None)

    def answer(self, request, peer, *what, until=None, **more):
        """Answers a request, now and whenever it comes again."""
        octets = response(request, *what, **more)
        self.answers[self.key(request)] = octets
        self.sends(octets, peer, until)

    def is_known(self, request, peer):
        """Whether a request has come before; then it is answered as it was."""
        before = self.answers.get(self.key(request))
        if before:
            self.came_again += 1
            self.line.sendto(before, peer)
        return before

    @staticmethod
    def key(request):
        return re.search(r"(?i)branch=([^;,\s]*)", value(request, "via"))[1], request.split(" ")[0]

    def hear(self):
        """Repeats what is due, and says what comes next, with its sender; nothing if nothing comes soon."""
        now = time.monotonic()
        for until, (octets, peer, at, pause) in list(self.repeated.items()):
            if at <= now:
                self.line.sendto(octets, peer)
                self.repeated[until] = octets, peer, now + pause, min(2 * pause, MOST)
        try:
            octets, peer = self.line.recvfrom(65536)
        except TimeoutError:
            return None
        return octets.decode(), peer


class Answerer(Ear):
    """All dialogs of the called party, by their Call-IDs."""

    def __init__(self, address, port):
        super().__init__(address, port)
        self.address, self.contact = address, f"Contact: <sip:{address}:{port}>"
        self.later = []  # What is due, and when.
        self.invites, self.versions = {}, {}
        self.acknowledged, self.ended = set(), set()
        self.asked = {}  # How often what was asked within dialogs.

    def describe(self, call, offer=""):
        """Our next description in a dialog."""
        self.versions[call] = self.versions.get(call, 0) + 1
        held = re.search(r"(?m)^a=(sendonly|recvonly|inactive)\b", offer)
        return SDP.format(address=self.address, version=self.versions[call],
                          direction=MIRRORED[held[1]] if held else "sendrecv")

    def says(self, request, peer, status, *headers, **more):
        """Answers within a dialog."""
        self.answer(request, peer, status, self.tag(value(request, "call-id")), self.contact, *headers, **more)

    @staticmethod
    def tag(call):
        return f"a{abs(hash(call))}"

    def requested(self, request, peer):
        """A request that has not come before, or an ACK."""
        method, call, body = request.split(" ")[0], value(request, "call-id"), request.partition("\r\n\r\n")[2]
        number = value(request, "cseq").split()[0]
        if method == "ACK":
            self.comes((call, number, "ACK"))
            if call in self.invites and call not in self.acknowledged:
                self.acknowledged.add(call)
                if re.match(r"INVITE sip:[^@]*999@", self.invites[call]):
                    self.later.append((time.monotonic() + TALKS, lambda: self.hangs_up(call, peer)))
        elif method == "INVITE" and call in self.invites:
            self.count("re-INVITE")
            self.says(request, peer, "200 OK", body=self.describe(call, body), until=(call, number, "ACK"))
        elif method == "INVITE":
            self.invites[call] = request
            self.rings(request, peer, (call, number))
        elif method == "PRACK":
            self.count(method)
            self.says(request, peer, "200 OK")
            # It names the INVITE; what is due is the answer to that.
            if self.comes((call, value(request, "rack").split()[1], "PRACK")):
                invite = self.invites[call]
                answers = (invite, peer, "200 OK")
                until = call, value(invite, "cseq").split()[0], "ACK"
                self.later.append((time.monotonic() + RINGS, lambda: self.says(*answers, until=until)))
        else:
            self.count(method)
            self.says(request, peer, "200 OK", body=self.describe(call, body) if body and method == "UPDATE" else "")
            if method == "BYE":
                self.ends(call)

    def rings(self, invite, peer, whose):
        """Answers a call at once, or after a reliable provisional with the description."""
        body = self.describe(whose[0])
        if "100rel" in value(invite, "supported") + value(invite, "require"):
            self.says(invite, peer, "183 Session Progress", "Require: 100rel", "RSeq: 1", body=body,
                      until=(*whose, "PRACK"))
        else:
            self.says(invite, peer, "180 Ringing")
            self.says(invite, peer, "200 OK", body=body, until=(*whose, "ACK"))

    def count(self, what):
        self.asked[what] = self.asked.get(what, 0) + 1

    def hangs_up(self, call, peer):
        """A BYE of our own, if the dialog still lives."""
        if call in self.ended:
            return
        invite = self.invites[call]
        target = re.search(r"<([^>]*)>", value(invite, "contact"))[1]
        lines = [f"BYE {target} SIP/2.0",
                 f"Via: SIP/2.0/UDP {self.contact[14:-1]};branch=z9hG4bK{random.getrandbits(64):x}",
                 f"From: {value(invite, 'to')};tag={self.tag(call)}", f"To: {value(invite, 'from')}",
                 f"Call-ID: {call}", "CSeq: 1 BYE", "Max-Forwards: 70", "Content-Length: 0"]
        self.sends(("\r\n".join(lines) + "\r\n\r\n").encode(), peer, until=(call, "1", "BYE"))

    def responded(self, answer):
        """Whatever answers a request of ours: there is only BYE."""
        call = value(answer, "call-id")
        number, method = value(answer, "cseq").split()
        if self.comes((call, number, method)):
            self.ends(call)

    def ends(self, call):
        """Nobody acknowledges an answer whose call is over (RFC 3261, section 15.1.2)."""
        self.ended.add(call)
        for until in [until for until in self.repeated if until[0] == call and until[2] != "BYE"]:
            self.comes(until)

    def play(self, dialogs):
        """Until so many dialogs are over and nothing more comes, or it takes too long."""
        deadline, quiet = time.monotonic() + 40, None
        while (now := time.monotonic()) < deadline and (quiet is None or now < quiet):
            due, self.later = [do for at, do in self.later if at <= now], [each for each in self.later if each[0] > now]
            for do in due:
                do()
            if heard := self.hear():
                message, peer = heard
                if message.startswith("SIP/2.0"):
                    self.responded(message)
                elif message.startswith("ACK") or not self.is_known(message, peer):
                    self.requested(message, peer)
                if len(self.ended) == dialogs:
                    quiet = now + 5


def main():
    party = Answerer(sys.argv[1], int(sys.argv[2]))
    dialogs = int(sys.argv[3])
    party.play(dialogs)
    print(json.dumps({"dialogs": len(party.invites), "acknowledged": len(party.acknowledged), "ended": len(party.ended),
                      "came again": party.came_again} | party.asked))
    # A call lasts for two repetitions of its 200: hardly one ends before its ACK has come.
    return int(len(party.ended) != dialogs or len(party.acknowledged) < 0.98 * dialogs)


if __name__ == "__main__":
    sys.exit(main())
