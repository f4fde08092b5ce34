#!/usr/bin/env python3
"""A provider that bears what a network does: `registrar.py PORT ADDRESS...`.

It wants a digest with every REGISTER, at each of its addresses with a nonce of its own, and accepts the right one. It
goes on until it is told to end by its standard input, and then says what has come."""

import hashlib
import json
import re
import select
import sys

from answerer import Ear, value

REALM, USER, PASSWORD = "telco.example", "contoso", "open sesame"


def is_right(request):
    """Whether a REGISTER has the right digest."""
    told = {name.lower(): text.strip('"') for name, text in
            re.findall(r'(\w+)=("[^"]*"|[^",\s]+)', value(request, "authorization"))}
    if not {"uri", "nonce", "nc", "cnonce", "qop", "response"} <= told.keys():
        return False
    first, second = (hashlib.md5(text.encode()).hexdigest() for text in
                     (f"{USER}:{REALM}:{PASSWORD}", f"REGISTER:{told['uri']}"))
    whole = ":".join((first, told["nonce"], told["nc"], told["cnonce"], told["qop"], second))
    return told["response"] == hashlib.md5(whole.encode()).hexdigest()


class Registrar(Ear):
    """One address of it."""

    def __init__(self, address, port):
        super().__init__(address, port)
        self.line.settimeout(0)
        self.counts = {"challenged": 0, "accepted": 0, "taken back": 0}

    def hears(self):
        """Answers one REGISTER."""
        request, peer = (octets := self.line.recvfrom(65536))[0].decode(), octets[1]
        if self.is_known(request, peer):
            return
        if not is_right(request):
            self.counts["challenged"] += 1
            self.answer(request, peer, "401 Unauthorized", "r",
                        f'WWW-Authenticate: Digest realm="{REALM}", nonce="n{self.counts["challenged"]}", qop="auth"')
            return
        contact = re.search(r"<[^>]*>", value(request, "contact"))[0]
        seconds = value(request, "expires") or re.search(r"expires=(\d+)", value(request, "contact"))[1]
        is_end = int(seconds) == 0
        self.counts["taken back" if is_end else "accepted"] += 1
        self.answer(request, peer, "200 OK", "r", *([] if is_end else [f"Contact: {contact};expires={seconds}"]))


def main():
    port, addresses = int(sys.argv[1]), sys.argv[2:]
    registrars = {each.line: each for each in (Registrar(address, port) for address in addresses)}
    while sys.stdin not in (ready := select.select([sys.stdin, *registrars], [], [])[0]):
        for line in ready:
            registrars[line].hears()
    print(json.dumps([each.counts | {"came again": each.came_again} for each in registrars.values()]))


if __name__ == "__main__":
    sys.exit(main())
