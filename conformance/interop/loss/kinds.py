"""What is played over the network that loses packets: plain calls, changes within calls, transfers that we carry out, a
peer that registers with us, and registrars where we do. Each has trunks at addresses of its own, so that several can be
played at once."""

import json
import os
import pathlib
import subprocess
import sys

import callers
from checks import end, wait_until
from network import PORT, SIDES, address
from registrar import PASSWORD, REALM, USER
from sbc import binary

HERE = pathlib.Path(__file__).resolve().parent
NUMBER = "+493023125456"


def trunk(name, side, host, more=""):
    """A peer on one side."""
    target = "" if 'mode = "registrar"' in more else f'targets = ["{address(side, host)}:{PORT};udp"]'
    return f"""
[[trunk]]
name = "{name}"
preset = "carrier"
tenant = "interop"
realm = "{side}"
{target}
accept_from = ["{address(side, host)}/32"]
codecs = ["PCMA"]
options = false
# Not the usual 3 s, in which one INVITE of some thousand gets no answer here: this is about what repeats.
timers = {{ response_timeout = "16s" }}
{more}
"""


def two(name, host):
    """A peer on either side; what comes from the left one goes to the right one, and back."""
    text = ""
    for side, other in (("left", "right"), ("right", "left")):
        text += trunk(f"{name}-{side}", side, host) + f"""
[[route]]
name = "{name}-to-{other}"
match = {{ from_trunk = "{name}-{side}" }}
to = [{{ trunk = "{name}-{other}" }}]
"""
    return text


class Kind:
    """What is played, by whom, and how often."""

    name, host, count, rate = "", 0, 0, 0

    def __init__(self, sbc, network):
        self.sbc, self.network = sbc, network
        self.codes, self.told = (), {}

    def sipp(self, side, scenario, *arguments):
        """A program that calls, or registers, so many times."""
        file = self.sbc.path / f"{self.name}-{side}.xml"
        file.write_text(scenario)
        return self.network.start(side, file.with_suffix(".log"), "sipp", "-sf", file, "-t", "u1", "-i",
                                  address(side, self.host), "-p", PORT, "-nostdin", "-trace_err", "-error_file",
                                  file.with_suffix(".errors"), f"{SIDES[side][0]}:{PORT}", "-r", self.rate, "-m",
                                  self.count, "-timeout", 60, *arguments)

    def answerer(self, side, dialogs):
        """The called party."""
        there = address(side, self.host)
        process = self.network.start(side, self.sbc.path / f"{self.name}-answerer-{side}.log", sys.executable,
                                     HERE / "answerer.py", there, PORT, dialogs)
        wait_until(lambda: self.network.is_bound(side, there))
        return process

    def heard(self, side):
        """What the called party says of itself."""
        text = (self.sbc.path / f"{self.name}-answerer-{side}.log").read_text()
        return json.loads(text) if text.startswith("{") else {"none of it": text}

    def errors(self):
        """What went wrong, as the callers see it."""
        return "".join(path.read_text(errors="replace")[:1500] for path in self.sbc.path.glob(f"{self.name}-*.errors"))

    def again(self, trunk):
        """How often something was sent again to a peer, or came again."""
        return self.sbc.metric(f'sbc_sip_retransmissions_total{{trunk="{trunk}"}}')

    def calls(self, dialogs, scenario, caller="left", answerer="right", *arguments):
        """Calls from one side to the other."""
        uas = self.answerer(answerer, dialogs)
        try:
            uac = self.sipp(caller, scenario, "-s", NUMBER, *arguments)
            self.codes = uac.wait(), uas.wait()
        finally:
            end(uas)
        self.told = self.heard(answerer)

    def ours(self, caller):
        """Records of its calls."""
        return [record for record in self.sbc.records(0) if record["ingress"]["trunk"] == f"{self.name}-{caller}"]

    def check_calls(self, checks, what, caller="left"):
        """None failed, and the records say so."""
        checks.check(f"{self.count} {what}: none failed on either side", self.codes == (0, 0),
                     (self.codes, self.told, self.errors()))
        wait_until(lambda: len(self.ours(caller)) >= self.count, pause=0.2)
        records = self.ours(caller)
        good = [record for record in records if record["disposition"] == "answered"
                and record["cause"]["code"] == "normal_clearing"]
        others = [record for record in records if record not in good]
        checks.check("  each is on record as answered and hung up", len(good) == len(records) == self.count,
                     (len(good), len(records), others[:2]))
        return good

    def check_again(self, checks, *trunks):
        """Something was repeated, on every trunk."""
        counts = {name: self.again(name) for name in trunks}
        checks.check(f"  what was lost came again ({sum(counts.values()):.0f} messages)", all(counts.values()), counts)


class Plain(Kind):
    """Calls, and nothing within."""

    name, host, count, rate = "plain", 10, int(os.environ.get("CALLS", "150")), 30
    caller, called = "left", "right"

    @classmethod
    def config(cls, _):
        """Its trunks."""
        return two(cls.name, cls.host)

    def play(self):
        """All its calls."""
        self.calls(self.count, (HERE / "caller.xml").read_text(), self.caller, self.called, "-d", 1500)

    def check(self, checks):
        """What became of them."""
        self.check_calls(checks, f"calls from the {self.caller}", self.caller)
        self.check_again(checks, f"{self.name}-left", f"{self.name}-right")


class Back(Plain):
    """The same from the other side."""

    name, host, caller, called = "back", 14, "right", "left"


class Dialogs(Kind):
    """Reliable provisionals on either side, UPDATE before and after the answer, and re-INVITEs that we pass on."""

    name, host, count, rate = "dialogs", 11, 30, 15

    @classmethod
    def config(cls, _):
        """Its trunks."""
        return two("dialogs", cls.host)

    def play(self):
        """All its calls."""
        self.calls(self.count, callers.dialogs())

    def check(self, checks):
        """What became of them."""
        self.check_calls(checks, "calls with PRACK, UPDATE and re-INVITE")
        # Once each, however often they came. Who is slow to answer a hold, as few are, is not told of it once it is over.
        pracks, offers = (self.told.get(name, 0) for name in ("PRACK", "re-INVITE"))
        checks.check("  the called party has had a PRACK and at most two offers in each, once",
                     pracks == self.count and 2 * self.count - 3 <= offers <= 2 * self.count, self.told)
        self.check_again(checks, "dialogs-left", "dialogs-right")


class Transfers(Kind):
    """REFERs that we carry out."""

    name, host, count, rate = "transfers", 12, 20, 10

    @classmethod
    def config(cls, _):
        """Its trunks."""
        return two("transfers", cls.host)

    def play(self):
        """All its calls, each of which ends as two dialogs of the called party."""
        self.calls(2 * self.count, callers.transferor())

    def check(self, checks):
        """What became of them."""
        good = self.check_calls(checks, "calls that their caller transfers")
        done = [record for record in good if [(own["kind"], own["outcome"], own["status"])
                                              for own in record.get("transfers", [])] == [("blind", "completed", 200)]]
        checks.check("  each is transferred, to a second leg", len(done) == self.count and
                     all(len(record["egress"]) == 2 for record in done), (len(done), good[:1]))
        self.check_again(checks, "transfers-left", "transfers-right")


class Exchange(Kind):
    """A peer that registers with us, with a digest, again and again."""

    name, host, count, rate = "exchange", 13, 120, 30

    @classmethod
    def config(cls, folder):
        """Its trunk."""
        password = folder / "exchange-password"
        password.touch(mode=0o600)
        password.write_text("sesame\n")
        return trunk("exchange", "left", cls.host, f"""mode = "registrar"
authenticate = {{ username = "pbx1", password = {{ file = "{password}" }}, realm = "sip.example.com", algorithms = ["MD5"] }}
registrar = {{ aor = "sip:pbx1@sip.example.com" }}""")

    def play(self):
        """All its REGISTERs."""
        scenario = (HERE.parent / "registrar/exchange.xml").read_text()
        values = {"CONTACT": f"sip:pbx1@{address('left', self.host)}:{PORT}", "LIFE": 600, "LINES": "X-Run: 1",
                  "PASSWORD": "sesame", "STATUS": 200}
        for name, text in values.items():
            scenario = scenario.replace(f"@{name}@", str(text))
        self.codes = self.sipp("left", scenario, "-auth_uri", "sip.example.com").wait()

    def check(self, checks):
        """What became of them."""
        checks.check(f"{self.count} REGISTERs with a digest: all are accepted", self.codes == 0,
                     (self.codes, self.errors()))
        stands = self.sbc.metric('sbc_registered_contacts{trunk="exchange"}')
        checks.check("  one contact is registered", stands == 1, stands)
        self.check_again(checks, "exchange")


class Providers(Kind):
    """Registrars where we are registered, with a digest."""

    name, host, count, refreshes = "provider", 20, 10, 3
    process = None

    @classmethod
    def names(cls):
        """The trunks."""
        return [f"provider-{n}" for n in range(cls.count)]

    @classmethod
    def config(cls, folder):
        """Its trunks."""
        password = folder / "provider-password"
        password.touch(mode=0o600)
        password.write_text(f"{PASSWORD}\n")
        return "".join(trunk(name, "right", cls.host + n, f"""mode = "register"
digest = {{ username = "{USER}", password = {{ file = "{password}" }}, realms = ["{REALM}"] }}
register = {{ aor = "sip:+4930231250{n}@{REALM}", expires = "10m" }}""") for n, name in enumerate(cls.names()))

    def stand(self):
        """How many registrations stand."""
        return sum(self.sbc.metric(f'sbc_registration_state{{trunk="{name}"}}') == 1 for name in self.names())

    def play(self):
        """All register, and are told to do so again."""
        log = self.sbc.path / "provider.log"
        self.process = self.network.start("right", log, sys.executable, HERE / "registrar.py", PORT,
                                          *(address("right", self.host + n) for n in range(self.count)),
                                          stdin=subprocess.PIPE)
        wait_until(lambda: self.stand() == self.count, 60)
        for _ in range(self.refreshes):
            before = self.sent()
            for name in self.names():
                subprocess.run([binary(), "reg", "refresh", name, "--socket", self.sbc.path / "api.sock"], check=True,
                               stdout=subprocess.DEVNULL)
            wait_until(lambda: self.sent() >= before + self.count, 40)
        self.standing = self.stand()

    def sent(self):
        """REGISTERs so far, repetitions included."""
        return sum(self.sbc.metric(f'sbc_sip_responses_total{{code="200",dir="in",method="REGISTER",trunk="{name}"}}')
                   for name in self.names())

    def check(self, checks):
        """What became of them."""
        checks.check(f"{self.count} registrations of ours stand, with a digest each", self.standing == self.count,
                     (self.standing, self.sbc.log_text()[-800:]))
        again = sum(map(self.again, self.names()))
        checks.check(f"  what was lost came again ({again:.0f} messages)", again)

    def check_end(self, checks):
        """After the daemon's end: what the registrars have had, each of our requests once."""
        self.process.stdin.close()
        self.process.wait(10)
        told = json.loads((self.sbc.path / "provider.log").read_text())
        wanted = {"accepted": 1 + self.refreshes, "taken back": 1}
        wrong = [each for each in told if {name: each[name] for name in wanted} != wanted]
        checks.check(f"  each was renewed {self.refreshes} times, and taken back at the end", not wrong, wrong)
