"""A call of two parties through the daemon, message by message: SIP over UDP on one socket each, RTP on another."""

import random
import re
import socket

NUMBER = "+493023125456"


class Ear:
    """Whoever hears SIP on a socket, its `line`."""

    def receive(self, wanted):
        """The next message whose first line begins so, and its sender."""
        while True:
            octets, peer = self.line.recvfrom(65536)
            text = octets.decode()
            if text.startswith(wanted):
                return text, peer


class Party(Ear):
    """One side of the call: SIP on one socket, RTP on another."""

    def __init__(self, address, port):
        self.line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.line.bind((address, port))
        self.line.settimeout(5)
        self.media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.media.bind((address, 0))
        self.contact = f"{address}:{port}"
        self.sdp = (f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
                    f"m=audio {self.media.getsockname()[1]} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n")
        self.to = None
        self.ssrc = random.getrandbits(32)

    def listen_to(self, message):
        """Takes over where the description in a message wants audio."""
        address = re.search(r"c=IN IP4 (\S+)", message)[1]
        self.to = address, int(re.search(r"m=audio (\d+)", message)[1])

    def speak(self, number):
        """Sends one packet of 20 ms that is no silence."""
        head = bytes([0x80, 8]) + (number % 65536).to_bytes(2, "big") + (number * 160).to_bytes(4, "big")
        payload = bytes((number * 7 + n) % 256 for n in range(160))
        self.media.sendto(head + self.ssrc.to_bytes(4, "big") + payload, self.to)


class Call:
    """A call from the left to the right, and back if asked."""

    def __init__(self, sbc):
        self.sbc = sbc
        self.caller = Party(sbc.LEFT, sbc.left_port)
        self.called = Party(sbc.RIGHT, sbc.right_port)
        self.id = f"{random.getrandbits(64):x}@example.net"
        self.cseq = 1
        self.to_tag = ""

    def request(self, method, body=""):
        """Sends a request of the caller."""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (f"{method} sip:{NUMBER}@{self.sbc.address}:{self.sbc.port} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {self.caller.contact};branch=z9hG4bK{random.getrandbits(48):x}\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:+441632960123@example.net>;tag=q\r\n"
                f"To: <sip:{NUMBER}@example.net>{self.to_tag}\r\nCall-ID: {self.id}\r\n"
                f"CSeq: {self.cseq} {method}\r\nContact: <sip:{self.caller.contact}>\r\n{kind}"
                f"Content-Length: {len(body)}\r\n\r\n{body}")
        self.caller.line.sendto(text.encode(), (self.sbc.address, self.sbc.port))

    def answer(self, request, peer, body=""):
        """Answers a request at the called side with 200."""
        kept = [line for line in request.split("\r\n\r\n")[0].split("\r\n")[1:]
                if re.match(r"(?i)(via|from|to|call-id|cseq|record-route) *:", line)]
        kept = [line + ";tag=b" if re.match(r"(?i)to *:", line) and ";tag=" not in line else line for line in kept]
        kind = ["Content-Type: application/sdp"] if body else []
        head = ["SIP/2.0 200 OK", *kept, f"Contact: <sip:{self.called.contact}>", *kind,
                f"Content-Length: {len(body)}"]
        self.called.line.sendto(("\r\n".join(head) + "\r\n\r\n" + body).encode(), peer)

    def begin(self):
        """Sets the call up."""
        self.request("INVITE", self.caller.sdp)
        invite, peer = self.called.receive("INVITE")
        self.called.listen_to(invite)
        self.answer(invite, peer, self.called.sdp)
        answer, _ = self.caller.receive("SIP/2.0 200")
        self.caller.listen_to(answer)
        self.to_tag = re.search(r"(?im)^to *:.*(;tag=[^;\r\n]+)", answer)[1]
        self.request("ACK")
        self.called.receive("ACK")

    def end(self):
        """Ends the call."""
        self.cseq += 1
        self.request("BYE")
        bye, peer = self.called.receive("BYE")
        self.answer(bye, peer)
        self.caller.receive("SIP/2.0 200")
