"""What the interop scripts share: counted checks, waiting for conditions, captures that tshark reads."""

import os
import re
import signal
import socket
import subprocess
import time


EXPERT_ERROR = 8388608  # PI_ERROR of Wireshark, as the field's number.


class Checks:
    """Counts what holds and what does not."""

    def __init__(self, title):
        self.title = title
        self.passed = self.failed = 0

    def check(self, what, holds, detail=""):
        self.passed += bool(holds)
        self.failed += not holds
        print(f"  {'ok  ' if holds else 'FAIL'} {what}{'' if holds else ': ' + str(detail)}", flush=True)

    def exit_code(self):
        """Says the totals; 0 only if every check held."""
        print(f"{self.title}: {self.passed} passed, {self.failed} failed")
        return int(self.failed != 0 or self.passed == 0)


def wait_until(condition, patience=10, pause=0.02):
    """The first true value of `condition()`, or its last value after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(pause)
    return value


def end(process, kind=signal.SIGKILL):
    """Ends a process and waits until it is gone."""
    if process.poll() is None:
        process.send_signal(kind)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Capture:
    """Packets of some loopback addresses, from `with` to the end of its block."""

    MARKER_PORT = 9  # Discard: nobody else's packets go there.

    def __init__(self, folder, addresses, ports=()):
        """`ports`, as the filter language writes them, tell our packets where the address does not."""
        self.file = folder / "capture.pcapng"
        self.address = addresses[0]
        self.filter = "(udp or tcp) and (" + " or ".join(f"host {a}" for a in addresses) + ")"
        if ports:
            self.filter += " and (" + " or ".join((f"port {self.MARKER_PORT}", *ports)) + ")"
        self.log = folder / "dumpcap.log"
        self.process = None

    def __enter__(self):
        command = ["dumpcap", "-q", "-i", "lo", "-B", "256", "-w", str(self.file), "-f", self.filter]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        # It names the file once the interface is open.
        if not wait_until(lambda: "File:" in self.log.read_text(errors="replace")):
            end(self.process)
            raise SystemExit("dumpcap does not capture:\n" + self.log.read_text(errors="replace"))
        return self

    def __exit__(self, *_):
        # What is in the file after our last packet is complete before it.
        marker = os.urandom(16)
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(marker, (self.address, self.MARKER_PORT))
        wait_until(lambda: marker in self.file.read_bytes()[-65536:])
        end(self.process, signal.SIGINT)

    def lost(self):
        """Packets that the kernel had no room for, as dumpcap counts them at its end."""
        counts = re.search(r"received/dropped on interface .*?: (\d+)/(\d+)", self.log.read_text())
        return int(counts[2]) if counts else -1

    def frames(self, condition, fields=("frame.number", "_ws.col.Info"), options=()):
        """Fields of every frame that tshark shows for `condition`, as lists of texts."""
        command = ["tshark", "-n", "-r", str(self.file), "--enable-heuristic", "rtp_udp",
                   "--enable-heuristic", "rtcp_udp", *options,
                   "-Y", f"({condition}) && !(udp.port == {self.MARKER_PORT})", "-T", "fields"]
        for field in fields:
            command += ["-e", field]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"tshark ended with {done.returncode}: {done.stderr}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def check_decodes(self, checks, options, least_sip, least_rtp):
        """Every datagram is SIP, RTP or RTCP, and no packet is malformed."""
        # One reading for all questions: the captures are large.
        fields = ("frame.number", "frame.protocols", "_ws.malformed", "_ws.expert.severity",
                  "udp.payload", "_ws.col.Info")
        sip = rtp = 0
        malformed, unknown = [], []
        for number, protocols, broken, severities, payload, info in self.frames("frame", fields, options):
            names = set(protocols.split(":"))
            sip += "sip" in names
            rtp += "rtp" in names
            # By the number of a port that the kernel has chosen, tshark takes a segment for what it is not at times.
            is_ours = "udp" in names or names & {"sip", "tls"}
            if is_ours and (broken or str(EXPERT_ERROR) in severities.split(",")):
                malformed.append((number, info))
            # Encrypted RTCP that comes before the description of its stream is known by its type alone.
            is_early = "80" <= payload[:2] <= "bf" and "c8" <= payload[2:4] <= "cf"
            if "udp" in names and not names & {"sip", "rtp", "rtcp", "srtcp", "icmp"} and not is_early:
                unknown.append((number, protocols, info))
        checks.check(f"tshark sees {sip} SIP and {rtp} RTP packets", sip >= least_sip and rtp >= least_rtp,
                     f"fewer than {least_sip} and {least_rtp}")
        checks.check("none of them is malformed", not malformed, malformed[:5])
        checks.check("every datagram is SIP, RTP or RTCP", not unknown, unknown[:5])
        lost = self.lost()
        checks.check("the capture is complete", lost == 0, f"{lost} packets were not captured")
