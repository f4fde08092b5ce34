#!/usr/bin/env python3
"""How long a scrape takes (OPS-010): of a node with TRUNKS carriers (default 500) each of which has had a call, which makes
20,000 series and more, in both forms, SCRAPES times (default 20) each, from the request to its last octet.

What it prints is judged: it fails where there are fewer series, where a call failed, or where one scrape takes longer
than 200 ms. Both sides of the calls are here, each carrier on a loopback address of its own."""

import os
import re
import socket
import statistics
import sys
import threading
import time
import urllib.request

from bench import machine
from sbc import Daemon, free_port, own_addresses

TRUNKS = int(os.environ.get("TRUNKS", "500"))
SCRAPES = int(os.environ.get("SCRAPES", "20"))
# What the issue asks for.
LEAST_SERIES, LONGEST_MS = 20_000, 200
# An answer that takes longer is a failed call.
PATIENCE_S = 5
FORMS = {"Prometheus": "text/plain", "OpenMetrics": "application/openmetrics-text; version=1.0.0"}
SDP = "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"


class Node(Daemon):
    """So many carriers of whom each may call, and one that takes all calls."""

    def __init__(self):
        self.address, self.exit, *self.carriers = own_addresses(TRUNKS + 2)
        self.port = free_port(self.address)
        self.taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.taker.bind((self.exit, 0))
        super().__init__()

    def config(self):
        def trunk(name, address, port):
            return (f'[[trunk]]\nname = "{name}"\npreset = "carrier"\ntenant = "*"\nrealm = "all"\n'
                    f'targets = ["{address}:{port};udp"]\naccept_from = ["{address}/32"]\noptions = false\n')
        return (f'[[realm]]\nname = "all"\naddresses = ["{self.address}"]\nports = "20000-29999"\n'
                f'[[listen]]\nrealm = "all"\ntransport = "udp"\nport = {self.port}\n'
                '[[tenant]]\nname = "contoso"\nnumbers = ["+15550100-+15550199"]\n'
                + trunk("exit", self.exit, self.taker.getsockname()[1])
                + "".join(trunk(f"carrier-{n}", address, 5060) for n, address in enumerate(self.carriers))
                + '[[route]]\nname = "all"\nmatch = { called = "" }\nto = [{ trunk = "exit" }]\n')


def message(start, lines, body=""):
    kind = ["Content-Type: application/sdp"] if body else []
    return "\r\n".join([start, *lines, *kind, f"Content-Length: {len(body)}", "", body]).encode()


def values(text, name):
    return re.findall(rf"^{name}: *(.*?)\r$", text, re.M | re.I)


def take_calls(taker):
    """200 to whatever comes."""
    address, port = taker.getsockname()
    while True:
        data, source = taker.recvfrom(65536)
        text = data.decode(errors="replace")
        if text.startswith(("ACK ", "SIP/2.0 ")):
            continue
        to, = values(text, "To")
        to += "" if "tag=" in to else ";tag=taker"
        lines = [f"{name}: {value}" for name in ("Via", "Record-Route", "From", "Call-ID", "CSeq")
                 for value in values(text, name)]
        body = SDP.format(address) if text.startswith("INVITE ") else ""
        taker.sendto(message("SIP/2.0 200 OK", [*lines, f"To: {to}", f"Contact: <sip:{address}:{port}>"], body), source)


def call(node, number, address):
    """One call of a carrier, from its INVITE to the 200 to its BYE."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind((address, 0))
        own.settimeout(PATIENCE_S)
        port = own.getsockname()[1]
        called = f"sip:+15550100@{node.address}:{node.port}"

        def send(method, cseq, to, target, body=""):
            own.sendto(message(f"{method} {target} SIP/2.0", [
                f"Via: SIP/2.0/UDP {address}:{port};branch=z9hG4bK{number}{method}", "Max-Forwards: 70",
                f"From: <sip:+15550142@{address}>;tag=c{number}", f"To: {to}", f"Call-ID: scrape-{number}",
                f"CSeq: {cseq} {method}", f"Contact: <sip:{address}:{port}>"], body), (node.address, node.port))

        def final(method):
            while True:
                text = own.recv(65536).decode(errors="replace")
                status = re.match(r"SIP/2.0 ([2-6]\d\d)", text)
                if status and values(text, "CSeq")[0].endswith(method):
                    return status[1], text

        try:
            send("INVITE", 1, f"<{called}>", called, SDP.format(address))
            status, text = final("INVITE")
            if status != "200":
                return f"{address}: {text.splitlines()[0]}"
            to, = values(text, "To")
            target = re.search(r"<([^>]+)>", values(text, "Contact")[0])[1]
            send("ACK", 1, to, target)
            send("BYE", 2, to, target)
            status, text = final("BYE")
            return None if status == "200" else f"{address}: {text.splitlines()[0]}"
        except TimeoutError:
            return f"{address}: nothing came within {PATIENCE_S} s"


def scrape(node, accept):
    """Milliseconds, and how many series there are."""
    asked = urllib.request.Request(f"http://127.0.0.1:{node.metrics}/metrics", headers={"Accept": accept})
    begun = time.perf_counter()
    with urllib.request.urlopen(asked, timeout=30) as page:
        text = page.read()
    took = 1000 * (time.perf_counter() - begun)
    return took, sum(not line.startswith(b"#") for line in text.splitlines())


def main():
    node = Node()
    wrong = []
    try:
        print(f"{TRUNKS} carriers with a call each; {machine()}", flush=True)
        threading.Thread(target=take_calls, args=(node.taker,), daemon=True).start()
        failed = [why for number, address in enumerate(node.carriers) if (why := call(node, number, address))]
        for why in failed[:3]:
            print(f"  {why}")
        if failed:
            wrong.append(f"{len(failed)} calls failed")
        # The last records are counted.
        time.sleep(1)
        for form, accept in FORMS.items():
            scrape(node, accept)
            told = [scrape(node, accept) for _ in range(SCRAPES)]
            series = min(count for _, count in told)
            times = sorted(took for took, _ in told)
            print(f"{form}: {series} series in {statistics.median(times):.1f} ms (median), {times[-1]:.1f} ms (longest of "
                  f"{SCRAPES}); asked for: {LEAST_SERIES} in {LONGEST_MS} ms", flush=True)
            if series < LEAST_SERIES:
                wrong.append(f"{form}: there are fewer than {LEAST_SERIES} series")
            if times[-1] > LONGEST_MS:
                wrong.append(f"{form}: a scrape takes longer than {LONGEST_MS} ms")
    finally:
        node.stop()
        node.clean_up()
    for what in wrong:
        print(f"not as asked for: {what}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
