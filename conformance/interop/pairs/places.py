"""The daemon of the pairs: trunks for each at addresses of its own, over UDP, TCP or TLS."""

import dataclasses
import socket

from names import A, SRV
from pair import HELP, THIRD, Pair
from sbc import Daemon, free_port, own_addresses

CUT = "cut"  # TLS, where no connection lasts.
TRANSPORTS = ("udp", "tcp", "tls", CUT)
PORT, TLS_PORT, WAY_OUT, GONE = 5062, 5061, 5063, 9  # The addresses are nobody else's.
PEER, DOMAIN, OWN = "peer.example.com", "domain.example.com", "sbc.example.com"
SERVICES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}


@dataclasses.dataclass
class Place:
    """A pair that is played over one transport, and the addresses of its parties."""

    number: int
    pair: Pair
    transport: str
    addresses: dict
    is_cut: bool = False

    def name(self):
        """What is said of it."""
        return f"{self.pair.name} ({self.transport.upper()}{', cut' if self.is_cut else ''})"

    def entry(self):
        """The port where a party is called."""
        return TLS_PORT if self.transport == "tls" else PORT


class Places(Daemon):
    """What the left one of a pair calls goes to the right one, and calls of a third number to the third."""

    def __init__(self, pairs, transports, certificates, names):
        self.certificates, self.names = certificates, names
        chosen = [(pair, transport) for pair in pairs for transport in transports
                  if transport not in pair.but and (transport != CUT or pair.bears_cuts)]
        self.address, *free = own_addresses(1 + 3 * len(chosen))
        self.places = [Place(n, pair, "tls" if transport == CUT else transport,
                             dict(zip(("left", "right", "third"), free[3 * n:])), transport == CUT)
                       for n, (pair, transport) in enumerate(chosen)]
        self.ports = {transport: free_port(self.address, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
                      for transport in SERVICES}
        super().__init__()

    def config(self):
        secret = self.path / "password"
        secret.touch(mode=0o600)
        secret.write_text("open sesame\n")
        text = f"""
# SIPp sends no media.
[limits]
media_timeout = "0s"

[dns]
servers = ["{self.names.at}"]

[[tls]]
name = "sbc"
cert = "{self.certificates}/sbc.pem"
key = {{ file = "{self.certificates}/sbc.key" }}
client_ca = "{self.certificates}/ca.pem"
verify_client = "require"

[[tenant]]
name = "interop"
numbers = ["+493023125000-+493023125999"]
emergency = ["{HELP}"]

[[realm]]
name = "loopback"
addresses = ["{self.address}"]
ports = "20000-29999"
"""
        for transport, port in self.ports.items():
            text += f"""
[[listen]]
realm = "loopback"
transport = "{transport}"
port = {port}
{'tls = "sbc"' if transport == "tls" else ""}
"""
        return text + "".join(self.of_place(place, secret) for place in self.places)

    def target(self, place, where):
        """A target of a trunk; where nobody is there, a port that nobody has."""
        address = place.addresses.get(where, self.address)
        port = {"tls": TLS_PORT}.get(place.transport, PORT) if where in place.addresses else GONE
        if place.transport != "tls":
            return f'"{address}:{port};{place.transport}"'
        return f'{{ address = "{PEER}:{TLS_PORT};tls", connect_to = ["{address}:{port}"] }}'

    def domain(self, place):
        """A domain as the target of a trunk, whose servers are in the order of the targets of the pair."""
        service = f"{SERVICES[place.transport]}.{DOMAIN}"
        for priority, where in enumerate(place.pair.targets):
            server = f"{where}-{place.number}.{DOMAIN}"
            is_there = where in place.addresses
            self.names.records[server, A] = [place.addresses.get(where, self.address)]
            self.names.records.setdefault((service, SRV), []).append(
                (priority, 1, place.entry() if is_there else GONE, server))
        return f'"{DOMAIN};{place.transport}"'

    def of_place(self, place, secret):
        """Trunks and routes of one pair."""
        n, pair = place.number, place.pair
        text = pair.rules.replace("[n]", str(n))
        sides = {*pair.parties(), *(["third"] if pair.goes_on else [])} - ({*pair.targets} - {"right"})
        for side in sides:
            at = pair.targets if side == "right" else (side,)
            sources = ", ".join(f'"{place.addresses[where]}/32"' for where in at if where in place.addresses)
            is_domain = side == "right" and pair.is_domain
            target = ", ".join(self.target(place, where) for where in at)
            if is_domain:
                target = self.domain(place)
            names = ""
            if place.transport == "tls":
                names = f'tls = "sbc"\nfqdn = "{OWN}"\naccept_names = ["{DOMAIN if is_domain else PEER}"]'
            own = f"{pair.keys}\n{getattr(pair, f'{side}_keys')}".replace("[password]", str(secret))
            text += f"""
[[trunk]]
name = "{side}-{n}"
preset = "carrier"
tenant = "interop"
realm = "loopback"
targets = [{target}]
accept_from = [{sources}]
{"" if "codecs" in own else 'codecs = ["PCMA"]'}
{"" if "options" in own else "options = false"}
{names}
{own}
"""
        for side in ("left", "right"):
            for match, others in ((f', called = "^\\\\{THIRD}$"', ["third"]),
                                  ("", ["right", "third"] if pair.goes_on else ["right"])):
                if set(others) <= sides:
                    to = ", ".join(f'{{ trunk = "{other}-{n}" }}' for other in others)
                    text += f"""
[[route]]
name = "{side}-to-{others[0]}-{n}"
match = {{ from_trunk = "{side}-{n}"{match} }}
to = [{to}]
"""
        return text
