"""`causeway media --ng`: the relay of a SIP proxy, asked in JSON."""

import json
import secrets
import signal
import socket
import subprocess

from checks import end, wait_until
from sbc import binary, free_port


class Relay:
    """The relay on one address, or on several."""

    def __init__(self, address, folder, *arguments, interfaces=()):
        """Media are received at `interfaces`, or at this address; `arguments` are of its command line."""
        self.control = (address, free_port(address))
        self.log = folder / f"relay-{address}.log"
        command = [binary(), "media", "--ng", "%s:%d" % self.control, "--ports", "30000-31999", "--workers", "1"]
        for own in interfaces or (address,):
            command += ["--address", own]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*command, *arguments], stdout=log, stderr=log)
        if not wait_until(lambda: "requests are heard" in self.log.read_text()):
            raise SystemExit("the relay does not start:\n" + self.log.read_text())

    def ask(self, kind=socket.SOCK_DGRAM, **request):
        """The answer to one request, in JSON. Keys may be written with underscores."""
        request = {key.replace("_", "-"): value for key, value in request.items()}
        with socket.socket(socket.AF_INET, kind) as control:
            control.settimeout(5)
            control.connect(self.control)
            # Who asks twice under one cookie is answered as the first time.
            cookie = secrets.token_hex(8).encode()
            control.sendall(cookie + b" " + json.dumps(request).encode())
            told, body = control.recv(65536).split(b" ", 1)
            assert told == cookie
            return json.loads(body)

    def statistics(self):
        return self.ask(command="statistics")["statistics"]

    def pings(self):
        """How often a proxy has looked whether we are there."""
        return self.statistics()["controlstatistics"]["pingcount"]

    def calls(self):
        """The calls that it has."""
        return self.ask(command="list")["calls"]

    def stop(self):
        end(self.process, signal.SIGTERM)
        return self.process.returncode
