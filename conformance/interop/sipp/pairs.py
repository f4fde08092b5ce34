"""What two or three parties do with each other through the daemon: hold, refreshed sessions, redirection,
transfers, replaced dialogs, provisionals that are acknowledged.

Each pair has trunks at addresses of its own, so all of them run at once: most of what they do is wait."""

import contextlib
import dataclasses

from checks import Capture, end, wait_until
from sbc import Sbc, is_bound, own_addresses
from scenario import Dialog, Party, value

NUMBER, THIRD = "+493023125456", "+493023125999"
PATIENCE = 70  # Seconds that a pair may take.


@dataclasses.dataclass
class Pair:
    """The scenarios of the parties, and what they need of their trunks."""

    name: str
    left: Party
    right: Party
    third: Party | None = None
    keys: str = ""
    # What the left and the right one need beside.
    left_keys: str = ""
    right_keys: str = ""
    # Keys that the right party must be sent as telephone events.
    events: str = ""
    # What the records of its calls must say.
    transfers: tuple = ()
    attempts: int = 1
    # Status of those calls of the left party that are refused, and how many are answered.
    refused: tuple = ()
    answered: int = 1
    # Who calls a third party as well.
    by: str = ""

    def parties(self):
        """Those that take part, by the names of their trunks."""
        sides = {"left": self.left, "right": self.right, "third": self.third}
        return {side: party for side, party in sides.items() if party}

    def calls(self):
        """How many records there are in the end."""
        return self.answered + len(self.refused) + bool(self.by)


def called(**more):
    """A caller and a called party who talk. Says both with their dialogs."""
    left, right = Party(**more), Party(**more)
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, answers=(180,))
    other.called()
    other.says("180 Ringing")
    other.answers()
    one.answered()
    return left, right, one, other


def hung_up(ending, ended, after=300):
    """One hangs up after some milliseconds, and the other hears of it."""
    ending.party.pause(after)
    ending.ends()
    ended.ended()


# Hold.

HELD = (("sendonly", "[media_ip]"), ("inactive", "[media_ip]"), ("", "0.0.0.0"), ("inactive", "0.0.0.0"))


def hold(is_callers, allow, method):
    """One side holds in every form and resumes; the other is told of each."""
    left, right, one, other = called(allow=allow)
    holding, held = (one, other) if is_callers else (other, one)
    for direction, address in HELD:
        is_quiet = direction != "sendonly" or address == "0.0.0.0"
        holding.party.pause(300)
        holding.asks(method, sdp=holding.party.describe(direction, address),
                     expected=[r"a=(inactive|recvonly)"])
        held.asked("INVITE", sdp=held.party.describe("inactive" if is_quiet else "recvonly"),
                   expected=[r"a=(inactive|sendonly)"])
        holding.party.pause(300)
        holding.asks(method, sdp=holding.party.describe(), expected=["a=sendrecv"])
        held.asked("INVITE", sdp=held.party.describe(), expected=["a=sendrecv"])
    hung_up(holding, held)
    return left, right


def holds():
    """Hold by re-INVITE and by UPDATE, of either side."""
    plain = "INVITE, ACK, CANCEL, BYE"
    for is_callers, who in ((True, "caller"), (False, "called")):
        for method, allow in (("INVITE", plain), ("UPDATE", f"{plain}, UPDATE")):
            yield Pair(f"the {who} holds and resumes in four forms by {method}", *hold(is_callers, allow, method))


# Session timers.


def timers():
    """The ladder of 422 on both sides, and refreshes by each."""
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite("Supported: timer", "Session-Expires: 60", to=NUMBER)
    one.refused(422, "Min-SE: 90")
    one.invite("Supported: timer", "Session-Expires: 90;refresher=uac", "Min-SE: 90", to=NUMBER, answers=(180,))
    other.called("Session-Expires: 1800")
    other.says("422 Session Interval Too Small", "Min-SE: 2000")
    other.acknowledged()
    other.called("Session-Expires: 2000", "Min-SE: 2000")
    other.answers("Require: timer", "Session-Expires: 2000;refresher=uas")
    one.answered("Session-Expires: 90;refresher=uac", "Require: timer")
    for method in ("INVITE", "UPDATE"):
        # Each side refreshes its own session, so none hears of the other's.
        for dialog, interval in ((one, 90), (other, 2000)):
            dialog.party.pause(300)
            refreshed = f"Session-Expires: {interval};refresher=uac"
            dialog.asks(method, "Supported: timer", refreshed, expected=[refreshed],
                        sdp=dialog.party.describe() if method == "INVITE" else "")
    hung_up(one, other)
    yield Pair("sessions are refreshed by the peers, after 422 on both sides", left, right, refused=(422,))

    left, right = Party(), Party(allow="INVITE, ACK, CANCEL, BYE")
    one, other = Dialog(left), Dialog(right)
    one.invite("Supported: timer", "Session-Expires: 90;refresher=uas", to=NUMBER)
    other.called()
    other.answers("Require: timer", "Session-Expires: 90;refresher=uac")
    one.answered("Session-Expires: 90;refresher=uas")
    one.asked("UPDATE", "Require: timer", "Session-Expires: 90;refresher=uac",
              expected=["Session-Expires: 90;refresher=uac"])
    other.asked("INVITE", "Require: timer", "Session-Expires: 90;refresher=uac", sdp=right.describe(),
                expected=["Session-Expires: 90;refresher=uac"])
    hung_up(one, other)
    yield Pair("sessions are refreshed by us at half their time", left, right)


# Redirection.


def redirections():
    """A 302 is followed by us, and one is told to the caller."""
    left, right, third = Party(), Party(), Party()
    one, other, last = Dialog(left), Dialog(right), Dialog(third)
    one.invite(to=NUMBER, answers=(180, 181))
    other.called()
    moved = f"Contact: <sip:{THIRD}@[sbc]>"
    other.says("302 Moved Temporarily", moved)
    other.acknowledged()
    last.called()
    last.answers()
    one.answered()
    hung_up(one, last)
    yield Pair("a 302 is followed to the number that it names", left, right, third, attempts=2)

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER)
    one.refused(302, f"Contact:[^<]*<sip:[+]{THIRD[1:]}@")
    other.called()
    other.says("302 Moved Temporarily", moved)
    other.acknowledged()
    yield Pair("a 302 is told to the caller with the number that it names", left, right,
               keys='redirect = "pass"', refused=(302,), answered=0)


# Replaced dialogs and transfers.


def replacements():
    """The called party's other phone takes the call over."""
    left, right, one, other = called()
    newcomer = Dialog(right, "newcomer")
    right.pause(300)
    newcomer.invite("Replaces: [call_id];to-tag=[$tag];from-tag=[pid]a[call_number]", to=NUMBER)
    newcomer.answered(is_acked=False)
    # The one that it replaces is ended at once, which may overtake the ACK.
    other.ended()
    newcomer.acknowledges()
    hung_up(one, newcomer, after=1500)
    yield Pair("another phone of the called party replaces the one that answered", left, right,
               transfers=(("replaced", "completed"),))


def picked_up():
    """The called party's other phone takes the call while it rings."""
    left, right = Party(), Party()
    one, other, newcomer = Dialog(left), Dialog(right), Dialog(right, "newcomer")
    one.invite(to=NUMBER, answers=(180,))
    other.called()
    other.says("180 Ringing")
    right.pause(300)
    newcomer.invite("Replaces: [call_id];to-tag=[$tag];from-tag=[pid]a[call_number]", to=NUMBER)
    newcomer.answered(is_acked=False)
    other.asked("CANCEL")
    other.says("487 Request Terminated")
    other.acknowledged()
    newcomer.acknowledges()
    one.answered()
    hung_up(one, newcomer, after=1500)
    yield Pair("another phone of the called party picks up a call that rings", left, right,
               transfers=(("replaced", "completed"),))


def transfers():
    """Either calls a third party as well, and connects the two."""
    for is_callers, who, side in ((True, "caller", "left"), (False, "called", "right")):
        left, right, one, other = called()
        transferor, transferee = (one, other) if is_callers else (other, one)
        party, third = transferor.party, Party()
        target, second = Dialog(third), Dialog(party, "second")
        party.pause(300)
        second.invite(to=THIRD)
        target.called()
        target.answers()
        second.answered()
        party.pause(300)
        replaces = ("second%2F%2F%2F[call_id]%3Bto-tag%3D[$secondtag]%3B"
                    "from-tag%3D[pid]csecond[call_number]")
        transferor.asks("REFER", f"Refer-To: <sip:{THIRD}@[sbc]?Replaces={replaces}>", status=202)
        transferor.asked("NOTIFY", expected=["Subscription-State:[ ]*active", "SIP/2.0 100"])
        second.ended()
        # The transferee's media do not change, so it is told nothing.
        target.asked("INVITE", sdp=third.describe())
        transferor.asked("NOTIFY", expected=["Subscription-State:[ ]*terminated;reason=noresource", "SIP/2.0 200"])
        transferor.ends()
        hung_up(target, transferee, after=1500)
        yield Pair(f"the {who} connects the other with a third one", left, right, third, by=side,
                   # Both calls say so: one ended, and one goes on.
                   transfers=(("attended", "completed"),) * 2)


# Provisionals that are acknowledged.


def provisionals():
    """Each side's PRACK is its own: one of the two speaks of it, and the other does not."""
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, answers=(180, 183))
    other.called("100rel")
    other.says("183 Session Progress", "Require: 100rel", "RSeq: 4711", sdp=right.describe(), repeated=True)
    other.asked("PRACK", expected=["RAck: 4711 1 INVITE"])
    other.says("180 Ringing", "Require: 100rel", "RSeq: 4712", repeated=True)
    other.asked("PRACK", expected=["RAck: 4712 1 INVITE"])
    other.answers(sdp="")
    one.answered("m=audio")
    hung_up(one, other)
    yield Pair("reliable provisionals of the called party, to a caller that knows none", left, right)

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite("Supported: 100rel", "Require: 100rel", to=NUMBER)
    other.called()
    other.says("183 Session Progress", sdp=right.describe())
    one.provisional(183, "Require: 100rel", "m=audio", saved=[("rseq", value("RSeq"))])
    one.asks("PRACK", "RAck: [$rseq] 1 INVITE")
    one.asks("UPDATE", sdp=left.describe(), expected=["m=audio"])
    other.party.pause(1000)
    other.answers(sdp="")
    one.answered()
    hung_up(one, other)
    yield Pair("reliable provisionals to the caller, which renews its description before the answer", left, right)


# Keys.

def keys():
    """One side tells of keys in INFO, the other is told by telephone events."""
    left, right, one, other = called(allow="INVITE, ACK, CANCEL, BYE, INFO")
    for key in "5#D5":
        left.pause(300)
        one.presses(key)
    hung_up(one, other, after=1500)
    yield Pair("keys in INFO become telephone events", left, right, left_keys='dtmf = "info"', events="5#D5")

    left, right, one, other = called(allow="INVITE, ACK, CANCEL, BYE, INFO")
    for key in "5#D5":
        left.pause(300)
        one.presses(key)
    hung_up(one, other, after=2500)
    yield Pair("keys in INFO alone become telephone events where both have agreed those", left, right,
               left_keys='dtmf = "auto"', events="5#D5")

    left, right = Party(events=96), Party(allow="INVITE, ACK, CANCEL, BYE, INFO")
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, answers=(180,))
    other.called()
    other.answers()
    one.answered("telephone-event")
    left.pause(300)
    left.plays_keys("147*")
    for key in "147*":
        other.asked("INFO", expected=["application/dtmf-relay", f"Signal=[{key}]"])
    hung_up(other, one)
    yield Pair("telephone events become INFO", left, right, right_keys='dtmf = "info"')


class Pairs(Sbc):
    """Trunks for each pair at addresses of its own: what the left one calls goes to the right one, and
    calls of a third number to the third."""

    PORT = 5062  # The addresses are nobody else's.

    def __init__(self, pairs):
        self.pairs = pairs
        self.places = {}
        places = iter(own_addresses(3 * len(pairs)))
        for n, pair in enumerate(pairs):
            for side in ("left", "right", "third"):
                self.places[n, side] = next(places)
        super().__init__()

    def config(self):
        text = super().config().partition("[[trunk]]")[0]
        for n, pair in enumerate(self.pairs):
            for side in pair.parties():
                address = self.places[n, side]
                text += f"""
[[trunk]]
name = "{side}-{n}"
preset = "carrier"
tenant = "interop"
realm = "{self.realms["left"]}"
targets = ["{address}:{self.PORT};udp"]
accept_from = ["{address}/32"]
codecs = ["PCMA"]
options = false
{pair.keys}
{getattr(pair, f"{side}_keys", "")}
"""
            for side in ("left", "right"):
                for match, other in ((f', called = "^\\\\{THIRD}$"', "third"), ("", "right")):
                    if other in pair.parties():
                        text += f"""
[[route]]
name = "{side}-to-{other}-{n}"
match = {{ from_trunk = "{side}-{n}"{match} }}
to = [{{ trunk = "{other}-{n}" }}]
"""
        return text


@contextlib.contextmanager
def running(checks, sipp):
    """All pairs while the block runs; what became of them is checked at its end."""
    pairs = [pair for kind in (holds, timers, redirections, replacements, picked_up, transfers,
                             provisionals, keys)
             for pair in kind()]
    sbc = Pairs(pairs)
    processes = {}

    def start(n, side, *arguments):
        file = sbc.path / f"{side}-{n}.xml"
        file.write_text(pairs[n].parties()[side].xml(file.stem))
        processes[n, side] = sipp(sbc.path, file, "u1", sbc.places[n, side], sbc.PORT, *arguments, "-m", 1,
                                  # Without "@", so that it can stand in a URI.
                                  "-cid_str", "%u-%p-%s", "-key", "sbc", f"{sbc.address}:{sbc.port}",
                                  "-timeout", PATIENCE, "-timeout_error")

    try:
        with Capture(sbc.path, [sbc.address]) as capture:
            for n, pair in enumerate(pairs):
                for side in pair.parties().keys() - {"left"}:
                    start(n, side)
            for n, side in processes:
                wait_until(lambda: is_bound(sbc.places[n, side], sbc.PORT))
            for n, _ in enumerate(pairs):
                start(n, "left", f"{sbc.address}:{sbc.port}", "-s", NUMBER)
            yield
            for process in processes.values():
                process.wait()
        records = sbc.records(sum(pair.calls() for pair in pairs))
        for n, pair in enumerate(pairs):
            check(checks, sbc, n, pair, {side: processes[n, side].returncode for side in pair.parties()}, records)
        for n, pair in enumerate(pairs):
            if pair.events:
                check_events(checks, capture, sbc.places[n, "right"], pair.events)
        capture.check_decodes(checks, ["-d", f"udp.port=={sbc.PORT},sip", "-d", f"udp.port=={sbc.port},sip"],
                              least_sip=12 * len(pairs), least_rtp=0)
        checks.check("the daemon of the pairs ends in order", sbc.stop() == 0, sbc.log_text()[-500:])
    finally:
        for process in processes.values():
            end(process)
        sbc.stop()
        sbc.clean_up()


def check_events(checks, capture, address, keys):
    """The telephone events that a party was sent, as tshark reads them: each has one timestamp, and its end
    is said three times."""
    rows = capture.frames(f"rtpevent && ip.dst=={address}", EVENT_FIELDS, ["-o", "rtpevent.event_payload_type_value:101",
                                                                           "-o", "rtp.heuristic_rtp:TRUE"])
    names = {}
    for timestamp, event, end in rows:
        names.setdefault(timestamp, []).append((int(event), end in ("1", "True")))
    told = "".join("0123456789*#ABCD"[packets[0][0]] for packets in names.values())
    checks.check("  and tshark reads the same keys", told == keys, rows)
    ends = [sum(end for _, end in packets) for packets in names.values()]
    checks.check("  each with an end that is said three times", ends == [3] * len(keys), ends)


EVENT_FIELDS = ("rtp.timestamp", "rtpevent.event_id", "rtpevent.end_of_event")


def check(checks, sbc, n, pair, codes, records):
    """One pair: its parties heard what they should, and its record says what happened."""
    errors = "".join(file.read_text(errors="replace")[:1500] for file in sbc.path.glob(f"*-{n}.xml*.errors"))
    checks.check(pair.name, not any(codes.values()), (codes, errors))
    own = [record for record in records if record["ingress"]["trunk"] in (f"left-{n}", f"{pair.by}-{n}")]
    answered = [record for record in own if record["disposition"] == "answered"]
    refused = tuple(record["cause"]["status"] for record in own if record["disposition"] == "rejected")
    told = [(transfer["kind"], transfer["outcome"]) for record in own for transfer in record.get("transfers", [])]
    attempts = [len(record["egress"]) for record in answered]
    checks.check("  and the records of its calls say so",
                 len(own) == len(answered) + len(refused) == pair.calls()
                 and refused == pair.refused and told == list(pair.transfers)
                 and max(attempts, default=1) == pair.attempts, own)
