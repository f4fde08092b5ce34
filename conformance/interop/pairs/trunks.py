"""Pairs about where calls go: hunting, peers that ask for a pause or are silent, registrations."""

import hashlib
import re

from pair import NUMBER, Pair, hung_up
from scenario import Dialog, Party, value

HEAD = "[[:cntrl:]]"


def parties(count):
    """So many, each with a dialog."""
    made = [Party() for _ in range(count)]
    return [*made, *map(Dialog, made)]


def calls_after(left, pauses):
    """One call after another of the same caller, each after a pause in milliseconds."""
    for n, pause in enumerate(pauses):
        one = Dialog(left, f"call{n}" if n else "")
        left.pause(pause)
        one.invite(to=NUMBER)
        one.answered()
        left.pause(200)
        one.ends()


def hunting():
    """The first of two trunks does not take the call."""
    for status in ("500 Server Internal Error", "503 Service Unavailable", "480 Not There"):
        left, right, third, one, other, last = parties(3)
        one.invite(to=NUMBER, answers=(180,))
        other.called()
        other.says(status, repeated=True)
        other.acknowledged()
        last.called()
        last.answers()
        one.answered()
        hung_up(one, last)
        yield Pair(f"a call that gets {status[:3]} goes on to the next trunk", left, right, third, goes_on=True, attempts=2,
                   right_keys="reroute_on = [480, 500, 503]")

    for status in (600, 603, 604):
        left, right, one, other = parties(2)
        one.invite(to=NUMBER)
        one.refused(status)
        other.called()
        other.says(f"{status} No", repeated=True)
        other.acknowledged()
        yield Pair(f"{status} ends the hunt", left, right, goes_on=True, answered=0, refused=(status,), attempts=(1,))

    left, right, third, one, other, last = parties(3)
    one.invite(to=NUMBER)
    one.refused(500, f"!{HEAD}Retry-After")
    for dialog in (other, last):
        dialog.called()
        dialog.says("503 Service Unavailable", "Retry-After: 7", repeated=True)
        dialog.acknowledged()
    yield Pair("503 of every trunk is none of ours, and neither is its pause", left, right, third, goes_on=True,
               answered=0, refused=(500,), attempts=(2,))

    # Whoever asks for a pause has it.
    left, right, third, one, other, last = parties(3)
    calls_after(left, (100, 100, 3500))
    other.called()
    other.says("503 Service Unavailable", "Retry-After: 3", repeated=True)
    other.acknowledged()
    last.called()
    last.answers()
    last.ended()
    yield Pair("whoever says 503 with Retry-After has no call meanwhile", left, right, third, goes_on=True, answered=3,
               attempts=(2, 1, 2), rounds={"right": 2, "third": 3}, takes=8)


def silent():
    """A target that says nothing, and wakes up too late."""
    left, right, third, one, other, last = parties(3)
    one.invite(to=NUMBER)
    other.called()
    right.pause(5000)
    other.says("200 OK", sdp=right.describe(), repeated=True)
    other.acknowledged()
    other.ended()
    last.called()
    last.answers()
    one.answered()
    hung_up(one, last, after=2500)
    yield Pair("a target that answers too late is acknowledged and let go", left, right, third, goes_on=True, attempts=2,
               takes=9)

    left, right, third, one, other, last = parties(3)
    one.invite(to=NUMBER)
    other.called()
    right.pause(5000)
    other.says("180 Ringing")
    other.asked("CANCEL")
    other.says("487 Request Terminated", repeated=True)
    other.acknowledged()
    last.called()
    last.answers()
    one.answered()
    hung_up(one, last, after=2500)
    yield Pair("a target that rings too late is cancelled", left, right, third, goes_on=True, attempts=2, takes=9)

    for second, is_domain in (("target", False), ("server of a domain", True)):
        left, right, one, other = parties(2)
        one.invite(to=NUMBER, answers=(180,))
        other.called()
        other.answers()
        one.answered()
        hung_up(one, other)
        yield Pair(f"a call finds the second {second} where nobody is at the first", left, right, attempts=1,
                   targets=("gone", "right"), is_domain=is_domain)

    # RFC 7339: whoever takes no more calls says so in our Via, and has them again when its time is over.
    left, right, third, one, other, last = parties(3)
    calls_after(left, (100, 100, 2500))
    right.hear('request="INVITE"', (), [("way", r'[[:cntrl:]]Via:[ ]*([^[:cntrl:]]*);oc;oc-algo=.loss.')]
               + [(name, value(header)) for name, header in (("from", "From"), ("us", "To"), ("cseq", "CSeq"))])
    right.send(["SIP/2.0 503 Service Unavailable", 'Via: [$way];oc=100;oc-algo="loss";oc-validity=2000;oc-seq=[call_number].0',
                "From: [$from]", "To: [$us];tag=[pid]a[call_number]", "Call-ID: [call_id]", "CSeq: [$cseq]"], "", True)
    other.acknowledged()
    last.called()
    last.answers()
    last.ended()
    yield Pair("whoever says that it is overloaded has no call meanwhile", left, right, third, goes_on=True, answered=3,
               attempts=(2, 1, 2), rounds={"right": 2, "third": 3}, takes=7, keys="overload_control = true")


def probed():
    """A peer that is asked by OPTIONS whether it takes calls."""
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    left.pause(12_000)
    one.invite(to=NUMBER)
    one.refused(502)
    # It takes calls again once it has said so twice.
    left.pause(34_000)
    one.invite(to=NUMBER)
    one.answered()
    left.pause(300)
    one.ends()
    probe, busy, out = (right.label() for _ in range(3))
    other.hears("OPTIONS", f"{HEAD}Max-Forwards:", f"{HEAD}Contact:", f"{HEAD}Allow:", key="probe",
                more=f' optional="true" next="{probe}"')
    other.called()
    other.answers()
    other.ended()
    right.go(out)
    right.here(probe)
    right.count("probes", 2, busy)
    other.replies("probe", "200 OK")
    right.go(out)
    right.here(busy)
    other.replies("probe", "503 Service Unavailable")
    right.here(out)
    yield Pair("a peer that says 503 to OPTIONS has no call until it is back", left, right, takes=47,
               right_keys='options = { interval = "10s" }\nall_down = "fail"', refused=(502,),
               endless=("right",), rounds={"right": 1000})


# Registrations.

REALM, USER, PASSWORD = "telco.example", "contoso", "open sesame"
ACCOUNT = f"""digest = {{ username = "{USER}", password = {{ file = "[password]" }}, realms = ["{REALM}"] }}
mode = "register"
"""
CONTACT = [("bound", r"[[:cntrl:]]Contact:[ ]*(<[^>]*>)")]


def registering(**more):
    """Keys of a trunk that registers."""
    keys = {"aor": f'"sip:+4930231250@{REALM}"', "expires": '"10m"', "unregister": "false"} | more
    return ACCOUNT + f"register = {{ {', '.join(f'{key} = {text}' for key, text in keys.items())} }}\n"


def challenge(nonce, *more):
    """What asks for a digest, in two algorithms."""
    ask = f'WWW-Authenticate: Digest realm="{REALM}", nonce="{nonce}", qop="auth"'
    return [f"{ask}, algorithm={name}{''.join(more)}" for name in ("SHA-256", "MD5")]


def judge(side, wanted):
    """Says what is wrong with the digests that a registrar got: their nonces and counts, and whether the password is
    in them."""
    def judged(heard):
        found = []
        for message in heard[side]:
            header = re.search(r"(?mi)^Authorization: *Digest (.*)$", message)
            if not header:
                continue
            told = {name.lower(): text.strip('"') for name, text in re.findall(r'(\w+)=("[^"]*"|[^",\s]+)', header[1])}
            hash_of = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}[told.get("algorithm", "MD5")]
            # An ACK has the credentials of its INVITE.
            method = message.split(" ")[0].replace("ACK", "INVITE")
            first, second = (hash_of(text.encode()).hexdigest() for text in
                             (f"{USER}:{REALM}:{PASSWORD}", f"{method}:{told['uri']}"))
            whole = ":".join((first, told["nonce"], told["nc"], told["cnonce"], told["qop"], second))
            if told["response"] != hash_of(whole.encode()).hexdigest():
                return header[0]
            found.append((message.split(" ")[0], told.get("algorithm"), told["nonce"], int(told["nc"], 16)))
        # A datagram may have come twice.
        found = list(dict.fromkeys(found))
        return "" if found == wanted else found
    return judged


class Registrar(Dialog):
    """What a registrar hears and says."""

    def registers(self, *expected, key):
        """A REGISTER."""
        self.hears("REGISTER", *expected, key=key, saved=CONTACT)

    def accepts(self, key, seconds, *headers):
        """Its 200."""
        self.replies(key, "200 OK", f"Contact: [$bound];expires={seconds}", *headers, is_target=False)


def provider():
    """A provider whose first dialog is a registration, and another one a call."""
    party = Party()
    registrar, other = Registrar(party), Dialog(party)
    registers, out = party.label(), party.label()
    registrar.hears("REGISTER", key="r0", more=f' optional="true" next="{registers}"', saved=CONTACT)
    return party, registrar, other, registers, out


def registrations():
    """Digests, nonces that change, refreshes, and what the registrar wants of our requests."""
    left = Party()
    one = Dialog(left)
    one.invite(to=NUMBER)
    one.answered()
    left.pause(500)
    one.ends()
    right, registrar, other, registers, out = provider()
    other.called(f"{HEAD}Route:[ ]*<sip:[^>]*;x=1", f"{HEAD}Authorization:[ ]*Digest")
    other.answers()
    other.ended()
    right.go(out)
    right.here(registers)
    registrar.replies("r0", "401 Unauthorized", *challenge("n1"))
    registrar.registers("algorithm=SHA-256", "nonce=.n1.", "nc=00000001", key="r1")
    registrar.replies("r1", "401 Unauthorized", *challenge("n2", ", stale=true"))
    registrar.registers("algorithm=SHA-256", "nonce=.n2.", "nc=00000001", key="r2")
    registrar.accepts("r2", 60, 'Authentication-Info: nextnonce="n3"',
                      "Service-Route: <sip:[entry];lr;x=1;transport=[transport]>",
                      "P-Associated-URI: <sip:+4930231250@telco.example>", "Path: <sip:edge.example.com;lr>")
    # Half of so short a time.
    right.pause(25_000)
    registrar.registers("nonce=.n3.", f"!{HEAD}Route:", key="r3")
    registrar.accepts("r3", 600)
    right.here(out)
    yield Pair("a registration with a stale nonce, a next one, and Service-Route", left, right, right_keys=registering(),
               rounds={"right": 2}, takes=32,
               judge=judge("right", [("REGISTER", "SHA-256", "n1", 1), ("REGISTER", "SHA-256", "n2", 1),
                                     ("INVITE", "SHA-256", "n3", 1), ("ACK", "SHA-256", "n3", 1),
                                     ("BYE", "SHA-256", "n3", 2), ("REGISTER", "SHA-256", "n3", 3)]))

    left = Party()
    one = Dialog(left)
    one.invite(to=NUMBER)
    one.answered()
    left.pause(500)
    one.ends()
    right = Party()
    registrar = Registrar(right)
    registrar.registers(f"{HEAD}Expires:[ ]*600[^0-9]", key="r0")
    registrar.replies("r0", "503 Service Unavailable", "Retry-After: 600")
    third, registrar, other, registers, out = provider()
    other.called()
    other.answers()
    other.ended()
    third.go(out)
    third.here(registers)
    registrar.replies("r0", "423 Interval Too Brief", "Min-Expires: 1200")
    registrar.registers(f"{HEAD}Expires:[ ]*1200[^0-9]", f"{HEAD}Supported:[^[:cntrl:]]*path", key="r1")
    registrar.accepts("r1", 1200)
    third.here(out)
    yield Pair("a registrar that is not available leads to the next one, and calls with it", left, right, third,
               right_keys=registering(), targets=("right", "third"), rounds={"third": 2}, takes=6)

    # All numbers of an account.
    left = Party()
    one = Dialog(left)
    one.invite(to=NUMBER)
    one.answered()
    left.pause(300)
    one.ends()
    right, registrar, other, registers, out = provider()
    other.called("INVITE sip:[+]493023125456@")
    other.answers()
    other.ended()
    right.go(out)
    right.here(registers)
    registrar.replies("r0", "401 Unauthorized", *challenge("n1"))
    registrar.registers(f"{HEAD}Require:[ ]*gin", f"{HEAD}Proxy-Require:[ ]*gin", f"{HEAD}Supported:[^[:cntrl:]]*path",
                        f"{HEAD}Contact:[ ]*<sip:[^@>]*;bnc>", key="r1")
    registrar.accepts("r1", 600)
    right.here(out)
    yield Pair("a registration of all numbers", left, right, right_keys=registering(gin='"require"'), rounds={"right": 2})


KINDS = (hunting, silent, probed, registrations)
