#!/usr/bin/env python3
"""A called party that bears what a network does: `answerer.py ADDRESS PORT CALLS`.

It answers every INVITE with 180 and 200, however often it comes, repeats the 200 until its ACK, and confirms
every BYE as often as it is asked. It ends when CALLS calls have had their BYE and nothing has come again for
five seconds; it fails when that takes more than 40 s, or when ACKs are missing. SIPp is no use here: it gives
up calls whose INVITE comes a second time after both answers to the first were lost."""

import re
import socket
import sys
import time

SDP = ("v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8\r\n"
       "a=rtpmap:8 PCMA/8000\r\n")


def response(request, status, tag, contact, body=""):
    """What answers a request: its Via, From, To, Call-ID and CSeq, with our tag."""
    kept = [line for line in request.split("\r\n\r\n")[0].split("\r\n")[1:]
            if re.match(r"(?i)(via|from|to|call-id|cseq|record-route) *:", line)]
    kept = [line + f";tag={tag}" if re.match(r"(?i)to *:", line) and ";tag=" not in line else line for line in kept]
    kind = ["Content-Type: application/sdp"] if body else []
    head = [f"SIP/2.0 {status}", *kept, f"Contact: <sip:{contact}>", *kind, f"Content-Length: {len(body)}"]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def main():
    address, port, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((address, port))
    line.settimeout(0.05)
    contact, body = f"{address}:{port}", SDP.format(address)
    waiting, acknowledged, ended = {}, set(), set()  # By Call-ID; what waits: answer, to whom, when, how long.
    deadline, quiet = time.monotonic() + 40, None
    while (now := time.monotonic()) < deadline and (quiet is None or now < quiet):
        for call, (answer, peer, at, pause) in list(waiting.items()):
            if at <= now:
                line.sendto(answer, peer)
                waiting[call] = answer, peer, now + pause, min(2 * pause, 4)
        try:
            octets, peer = line.recvfrom(65536)
        except TimeoutError:
            continue
        request = octets.decode()
        method = request.split(" ")[0]
        call = re.search(r"(?im)^call-id *: *(\S+)", request)[1]
        tag = f"a{abs(hash(call))}"
        if method == "INVITE" and call not in acknowledged:
            answer = response(request, "200 OK", tag, contact, body)
            line.sendto(response(request, "180 Ringing", tag, contact), peer)
            line.sendto(answer, peer)
            waiting[call] = answer, peer, now + 0.5, 1
        elif method == "ACK":
            acknowledged.add(call)
            waiting.pop(call, None)
        elif method == "BYE":
            ended.add(call)
            # Nobody acknowledges an answer whose call is over (RFC 3261, section 15.1.2).
            waiting.pop(call, None)
            line.sendto(response(request, "200 OK", tag, contact), peer)
        if len(ended) == calls:
            quiet = now + 5
    print(f"{len(acknowledged)} calls with ACK, {len(ended)} with BYE")
    # A call lasts for two repetitions of its 200: hardly one ends before its ACK has come.
    return int(len(ended) != calls or len(acknowledged) < 0.98 * calls)


if __name__ == "__main__":
    sys.exit(main())
