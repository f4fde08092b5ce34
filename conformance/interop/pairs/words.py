"""Pairs about what headers and bodies say to the other side: identity, privacy, diversion, causes, user data,
and requests within a call."""

from pair import HELP, NUMBER, Pair, called, hung_up
from scenario import Dialog, Party

TRUSTED = "trusted = true"
ASSERTED = 'P-Asserted-Identity: "Ada" <sip:+498999998777@example.com>'
HEAD = "[[:cntrl:]]"


def carried(name, sent, *expected, number=NUMBER, sdp=None, kind="application/sdp", **keys):
    """A call whose INVITE says more, of which the called party must hear something."""
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(*sent, to=number, answers=(180,), sdp=sdp, kind=kind)
    other.called(*expected)
    other.answers()
    one.answered()
    hung_up(one, other)
    return Pair(name, left, right, **keys)


def identities():
    """Who calls, in the header that a trunk knows, and only to whom it may be told."""
    pai, rpid, ppi = (f"{HEAD}{name}:" for name in ("P-Asserted-Identity", "Remote-Party-ID", "P-Preferred-Identity"))
    yield carried("an asserted identity is told to a trusted peer", [ASSERTED], f"{pai}[^<]*<sip:[+]498999998777@",
                  f"!{rpid}", f"!{ppi}", keys=TRUSTED)
    yield carried("an asserted identity of a stranger counts for nothing", [ASSERTED], "![+]498999998777",
                  right_keys=TRUSTED)
    yield carried("a private identity stays within the trust domain", [ASSERTED, "Privacy: id"], "![+]498999998777",
                  f"!{pai}", left_keys=TRUSTED)
    yield carried("a trusted peer is told that an identity is private", [ASSERTED, "Privacy: id"],
                  f"{pai}[^<]*<sip:[+]498999998777@", f"{HEAD}Privacy:[ ]*id", keys=TRUSTED)
    yield carried("an identity becomes Remote-Party-ID", [ASSERTED],
                  f"{rpid}[^<]*<sip:[+]498999998777@[^>]*>;party=calling;screen=yes;privacy=off", f"!{pai}",
                  keys=TRUSTED, right_keys='identity = { egress = "rpid+from" }')
    yield carried("Remote-Party-ID becomes an identity",
                  ['Remote-Party-ID: "Ada" <sip:+498999998777@example.com>;party=calling;screen=yes;privacy=full'],
                  f"{pai}[^<]*<sip:[+]498999998777@", f"{HEAD}Privacy:[ ]*id",
                  f"{HEAD}From:[^<]*<sip:anonymous@anonymous.invalid", f"!{rpid}", keys=TRUSTED,
                  left_keys='identity = { source = ["pai-tel", "rpid", "from"] }')
    yield carried("a caller that hides has no name in From", ["Privacy: user"],
                  f"{HEAD}From:[^<]*<sip:anonymous@anonymous.invalid>", "![+]498999998", "!Privacy:")
    yield carried("a private caller that calls for help is not hidden", [ASSERTED, "Privacy: id"],
                  f"{pai}[^<]*<sip:[+]498999998777@", f"INVITE sip:{HELP}@", number=HELP, left_keys=TRUSTED,
                  right_keys=TRUSTED)


def diversions():
    """Who forwarded a call, in both forms."""
    diverted = ["Diversion: <sip:+498999998002@example.com>;reason=user-busy;counter=1;privacy=off",
                "Diversion: <sip:+498999998001@example.com>;reason=unconditional;counter=1;privacy=off"]
    told = ["<sip:[+]498999998001@[^>]*>;index=1[^.0-9]", "<sip:[+]498999998002@[^>]*cause=302[^>]*>;index=1[.]1[^.0-9]",
            "<sip:[+]493023125456@[^>]*cause=486[^>]*>;index=1[.]1[.]1[^.0-9]"]
    yield carried("Diversion becomes History-Info", diverted, *told, f"!{HEAD}Diversion:", keys=TRUSTED,
                  right_keys='identity = { diversion = "history-info" }')
    yield carried("both tell of a diversion where both are wanted", diverted, *told,
                  f"{HEAD}Diversion:[ ]*<sip:[+]498999998002@[^>]*>;reason=user-busy", keys=TRUSTED,
                  right_keys='identity = { diversion = "both" }')
    history = ["History-Info: <sip:+498999998001@example.com>;index=1,"
               " <sip:+498999998002@example.com;cause=302>;index=1.1;mp=1,"
               f" <sip:{NUMBER}@example.com;cause=486>;index=1.1.1;mp=1.1"]
    yield carried("History-Info becomes Diversion", history,
                  f"{HEAD}Diversion:[ ]*<sip:[+]498999998002@[^>]*>[^,]*reason=user-busy"
                  "[^<]*<sip:[+]498999998001@[^>]*>[^,]*reason=unconditional",
                  f"!{HEAD}History-Info:", keys=TRUSTED, right_keys='identity = { diversion = "diversion" }')
    yield carried("who forwarded a call privately is told to nobody outside",
                  ["Diversion: <sip:+498999998002@example.com>;reason=user-busy;counter=1;privacy=full"],
                  "![+]498999998002", left_keys=TRUSTED, right_keys='identity = { diversion = "both" }')
    yield carried("diversions in tel URIs are read", ["Diversion: <tel:+498999998002>;reason=no-answer;counter=1"],
                  "[+]498999998002[^>]*>;index=1[^.0-9]", "[+]493023125456@[^>]*cause=408", keys=TRUSTED,
                  right_keys='identity = { diversion = "history-info" }')


CAUSES = ((404, 1), (408, 102), (410, 22), (480, 18), (484, 28), (486, 17), (500, 41), (502, 38), (600, 17), (603, 21))


def causes():
    """Why a call ended, in both directions."""
    said = ("Reason: Q.850;cause=20",)
    for form, sent, table in (("q850", (), CAUSES), ("pass", said, ((486, 20),)), ("none", said, ((486, 0),))):
        for status, cause in table:
            left, right = Party(), Party()
            one, other = Dialog(left), Dialog(right)
            one.invite(to=NUMBER)
            one.refused(status, f"{HEAD}Reason:[ ]*Q.850;[ ]*cause={cause}[^0-9]" if cause else f"!{HEAD}Reason:")
            other.called()
            other.says(f"{status} No", *sent, repeated=True)
            other.acknowledged()
            yield Pair(f"a refusal with {status} has the cause that \"{form}\" asks for", left, right,
                       left_keys=f'reason = "{form}"', answered=0, refused=(status,))

    for is_callers, who in ((True, "caller"), (False, "called")):
        left, right, one, other = called()
        ending, ended = (one, other) if is_callers else (other, one)
        ending.party.pause(300)
        ending.asks("BYE", "Reason: Q.850;cause=31;text=Normal", "User-to-User: 56a390F3;encoding=hex")
        ended.asked("BYE", expected=["Reason:[ ]*Q.850;[ ]*cause=31", "User-to-User:[ ]*56a390F3;[ ]*encoding=hex"])
        yield Pair(f"the {who} says why it hangs up, and more", left, right,
                   keys='reason = "pass"\nheaders = { pass = ["User-to-User"] }')


def data():
    """User-to-User, where it is listed."""
    uui = "User-to-User: 56a390F3d2b7310023;encoding=hex;purpose=isdn-uui;content=isdn-uui"
    listed = 'headers = { pass = ["User-to-User"] }'
    yield carried("user data reach a peer that wants them", [uui], "User-to-User:[ ]*56a390F3d2b7310023;encoding=hex",
                  keys=listed)
    yield carried("user data stay here where they are not listed", [uui], "!User-to-User:")
    yield carried("two user data for ISDN are none", [uui, uui], "!User-to-User:", keys=listed)


def hops():
    """Hops, and what nobody knows."""
    yield carried("each hop is counted", ["X-Any: 1"], f"{HEAD}Max-Forwards: 69[^0-9]", "!X-Any", "![0-9]+-[0-9]+-127")
    for line, status, expected in (("Require: nothing-known", 420, f"{HEAD}Unsupported:[ ]*nothing-known"),
                                   ("Require: precondition", 420, f"{HEAD}Unsupported:[ ]*precondition"),
                                   ("Content-Encoding: gzip", 415, f"{HEAD}Accept-Encoding:")):
        left, right = Party(), Party()
        one, other = Dialog(left), Dialog(right)
        one.invite(line, to=NUMBER)
        one.refused(status, expected)
        left.pause(300)
        one.invite(to=NUMBER, answers=(180,))
        other.called()
        other.answers()
        one.answered()
        hung_up(one, other)
        # What is no call yet has no record.
        yield Pair(f"\"{line}\" is refused with {status}", left, right)

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, hops=0)
    one.refused(483)
    left.pause(300)
    one.invite(to=NUMBER, answers=(180,), hops=1)
    other.called(f"{HEAD}Max-Forwards: 0[^0-9]")
    other.answers()
    one.answered()
    hung_up(one, other)
    yield Pair("a call without a hop left is refused with 483", left, right, refused=(483,))

    # The same request by another way.
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, until=100)
    one.cseq -= 1
    one.invite(to=NUMBER)
    one.refused(482)
    other.called()
    other.says("100 Trying")
    right.pause(700)
    other.answers()
    one.answered()
    hung_up(one, other)
    yield Pair("an INVITE that comes by two ways is refused by the second one", left, right)


def within():
    """Requests within a call that are no offers."""
    allow = "INVITE, ACK, CANCEL, BYE, INFO, MESSAGE, OPTIONS"
    left, right, one, other = called(allow=allow)
    for dialog, peer in ((one, other), (other, one)):
        dialog.party.pause(500)
        dialog.asks("MESSAGE", sdp="Hello", kind="text/plain")
        peer.asked("MESSAGE", expected=["Content-Type:[ ]*text/plain", "Hello"])
    hung_up(one, other, after=800)
    yield Pair("texts reach the other party", left, right, keys='message = "relay"')

    left, right, one, other = called(allow=allow)
    left.pause(300)
    one.asks("MESSAGE", status=405, sdp="Hello", kind="text/plain", expected=[f"{HEAD}Allow:"])
    one.asks("OPTIONS", expected=[f"{HEAD}Allow:", f"{HEAD}Accept:", f"{HEAD}Supported:"])
    one.asks("INFO", status=405, sdp="x", kind="text/plain", expected=[f"{HEAD}Allow:", f"!{HEAD}Allow:[^[:cntrl:]]*INFO"])
    one.asks("SUBSCRIBE", "Event: kpml", status=489, expected=[f"{HEAD}Allow-Events:[ ]*refer"])
    one.asks("NOTIFY", "Event: refer", "Subscription-State: active", status=481)
    one.asks("UNHEARD", status=501)
    one.asks("UPDATE", "Require: nothing-known", status=420)
    hung_up(one, other)
    yield Pair("what a party may not ask is refused, and the call goes on", left, right)

    left, right, one, other = called(allow=allow)
    for dialog in (one, other):
        dialog.party.pause(300)
        dialog.asks("INFO", "Info-Package: nothing-known", status=469, sdp="x", kind="text/plain",
                    expected=[f"{HEAD}Recv-Info:"])
    hung_up(one, other, after=800)
    yield Pair("a package that nobody takes is refused with 469, and the call goes on", left, right, keys='dtmf = "info"')


PLACE = """<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:ada@example.com"><tuple id="a"><status/></tuple></presence>"""


def parts(sdp):
    """A body of a description and a place."""
    return (f"--frontier\nContent-Type: application/sdp\n\n{sdp}\n--frontier\nContent-Type: application/pidf+xml\n"
            f"Content-ID: <place@example.com>\n\n{PLACE}\n--frontier--\n")


def bodies():
    """Bodies of several parts, and calls for help."""
    mixed = "multipart/mixed;boundary=frontier"
    located = ["MIME-Version: 1.0", "Geolocation: <cid:place@example.com>", "Geolocation-Routing: yes"]
    yield carried("of a body of several parts a called party gets the description", located,
                  "Content-Type:[ ]*application/sdp", "m=audio", "!pidf", "!Geolocation", sdp=parts(Party().describe()),
                  kind=mixed)
    yield carried("a call for help takes its place along", located, f"INVITE sip:{HELP}@", "m=audio",
                  "Content-Type:[ ]*multipart/mixed", "application/pidf[+]xml", "entity=.pres:ada@example.com",
                  "Geolocation:[ ]*<cid:place@example.com>", "Geolocation-Routing:[ ]*yes",
                  sdp=parts(Party().describe()), kind=mixed, number=HELP, right_keys="location = true")

    # The newest ordinary call makes room.
    left, right = Party(), Party()
    one, two, three, other = Dialog(left), Dialog(left, "two"), Dialog(left, "three"), Dialog(right)
    one.invite(to=NUMBER, answers=(180,))
    one.answered()
    two.invite(to=NUMBER)
    two.refused(503)
    three.invite(to=HELP)
    one.ended()
    three.answered()
    three.ends()
    other.called()
    right.pause(400)
    other.answers()
    other.ended()
    yield Pair("an ordinary call makes room for one for help", left, right, left_keys="limits = { calls = 1 }",
               refused=(503,), answered=2, causes=("normal_clearing", "preempted"), rounds={"right": 2})


KINDS = (identities, diversions, causes, data, hops, within, bodies)
