"""Pairs about what crosses on its way, comes too late, or never comes."""

import re

from pair import NUMBER, Pair, called, hung_up, ringing
from scenario import Dialog, Party

PLAIN = "INVITE, ACK, CANCEL, BYE"
LATER = r"[[:cntrl:]]Retry-After:[ ]*([0-9]|10)[^0-9]"


def glare():
    """Each side's own offer crosses ours: both get 491, and ours comes again after the pause of whoever owns the
    Call-ID."""
    for is_callers, who, quiet in ((True, "called", 2050), (False, "caller", 0)):
        left, right, one, other = called(allow=PLAIN)
        holding, held = (one, other) if is_callers else (other, one)
        holding.party.pause(300)
        holding.asks("INVITE", sdp=holding.party.describe("sendonly"), expected=["a=(recvonly|inactive)"])
        held.hears("INVITE", "a=(sendonly|inactive)", key="first")
        held.asks("INVITE", sdp=held.party.describe(), status=491)
        held.replies("first", "491 Request Pending", repeated=True)
        held.acknowledged()
        if quiet:
            held.party.pause(quiet)
        held.hears("INVITE", "a=(sendonly|inactive)", key="again", within=2400)
        held.replies("again", "200 OK", sdp=held.party.describe("recvonly"), repeated=True)
        held.acknowledged()
        held.asks("INVITE", sdp=held.party.describe(), expected=["a=(sendonly|inactive)"])
        hung_up(held, holding)
        yield Pair(f"an offer of the {who} crosses ours, which comes again", left, right, takes=8)

        left, right, one, other = called(allow=f"{PLAIN}, UPDATE")
        holding, held = (one, other) if is_callers else (other, one)
        holding.party.pause(300)
        holding.asks("UPDATE", sdp=holding.party.describe("sendonly"), expected=["a=(recvonly|inactive)"])
        held.hears("INVITE", "a=(sendonly|inactive)", key="first")
        held.asks("UPDATE", sdp=held.party.describe(), status=491)
        held.replies("first", "200 OK", sdp=held.party.describe("recvonly"), repeated=True)
        held.acknowledged()
        hung_up(held, holding)
        yield Pair(f"an UPDATE of the {who} crosses our offer", left, right)


def overlapping():
    """A second offer before the answer to the first one."""
    left, right, one, other = called(allow=PLAIN)
    left.pause(300)
    one.requests("INVITE", sdp=left.describe("sendonly"))
    other.hears("INVITE", key="first")
    other.replies("first", "100 Trying")
    left.hear('response="100"', ())
    left.pause(300)
    one.asks("INVITE", sdp=left.describe(), status=500, expected=[LATER])
    right.pause(1500)
    other.replies("first", "200 OK", sdp=right.describe("recvonly"), repeated=True)
    other.acknowledged()
    # The answer is that to the first request.
    left.hear('response="200"', ["CSeq:[ ]*2 INVITE", "a=recvonly"])
    one.acknowledges(cseq=2)
    hung_up(one, other)
    yield Pair("a second INVITE before the answer to the first one gets 500", left, right,
               keys='reinvite = "always_relay"')


def offers_taken_back():
    """A change that is cancelled while the other party is asked."""
    left, right, one, other = called(allow=PLAIN)
    left.pause(300)
    one.requests("INVITE", sdp=left.describe("sendonly"))
    left.hear('response="100"', ())
    other.hears("INVITE", key="first")
    other.replies("first", "180 Ringing")
    left.pause(500)
    one.cancels()
    one.refused(487, "CSeq:[ ]*2 INVITE")
    other.asked("CANCEL")
    other.replies("first", "487 Request Terminated", repeated=True)
    other.acknowledged()
    left.pause(500)
    one.asks("INVITE", sdp=left.describe(), expected=["a=sendrecv"])
    other.asked("INVITE", sdp=right.describe(), expected=["a=sendrecv"])
    hung_up(one, other)
    yield Pair("an offer that is cancelled while the other party is asked changes nothing", left, right,
               keys='reinvite = "always_relay"')


def byes():
    """Both hang up."""
    for is_callers, who in ((True, "called"), (False, "caller")):
        left, right, one, other = called()
        ending, ended = (one, other) if is_callers else (other, one)
        ending.party.pause(300)
        ending.ends()
        ended.hears("BYE", key="bye")
        ended.ends()
        ended.replies("bye", "200 OK")
        yield Pair(f"a BYE of the {who} crosses ours, and both are answered", left, right)

    left, right, one, other = called()
    left.pause(300)
    one.ends()
    other.ended()
    right.pause(300)
    other.asks("OPTIONS", status=481)
    left.pause(300)
    one.asks("INFO", status=481)
    yield Pair("what comes after the end gets 481", left, right)

    # The called party leaves before the caller has acknowledged.
    left, right, one, other = ringing()
    other.answers()
    one.answered(is_acked=False)
    other.ends()
    # Not so long that the answer is repeated.
    left.pause(350)
    one.acknowledges()
    one.ended()
    yield Pair("a caller that was slow to acknowledge gets its BYE after that", left, right)


def cancelled():
    """CANCEL against what is on its way."""
    left, right, one, other = ringing()
    left.pause(500)
    one.cancels('Reason: SIP;cause=200;text="Call completed elsewhere"')
    one.refused(487)
    other.asked("CANCEL", expected=["SIP;[ ]*cause=200;[ ]*text=.Call completed elsewhere"])
    other.says("487 Request Terminated", repeated=True)
    other.acknowledged()
    yield Pair("a CANCEL takes its reason along", left, right, answered=0, cancelled=1)

    for is_first, when in ((True, "before"), (False, "after")):
        left, right, one, other = ringing()
        left.pause(500)
        one.cancels()
        one.refused(487)
        other.hears("CANCEL", key="cancel")
        if not is_first:
            other.replies("cancel", "200 OK")
            right.pause(400)
        other.says("200 OK", sdp=right.describe(), repeated=True)
        other.acknowledged()
        other.hears("BYE", key="bye")
        if is_first:
            other.replies("cancel", "200 OK")
        other.replies("bye", "200 OK")
        yield Pair(f"an answer that crosses our CANCEL, {when} the answer to that, is acknowledged and ended", left, right,
                   answered=0, cancelled=1)

    # Nothing of the called party is there yet.
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, until=100)
    left.pause(300)
    one.cancels()
    one.refused(487)
    other.called()
    right.pause(1200)
    other.says("180 Ringing")
    other.asked("CANCEL")
    other.says("487 Request Terminated", repeated=True)
    other.acknowledged()
    yield Pair("a CANCEL waits for the first provisional", left, right, answered=0, cancelled=1)

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, until=100)
    left.pause(300)
    one.cancels()
    one.refused(487)
    other.called()
    right.pause(1200)
    other.says("200 OK", sdp=right.describe(), repeated=True)
    other.acknowledged()
    other.ended()
    yield Pair("an answer without any provisional after the caller has gone is acknowledged and ended", left, right,
               answered=0, cancelled=1)

    left, right, one, other = ringing()
    other.answers()
    one.answered(is_acked=False)
    one.cancels()
    left.pause(300)
    one.acknowledges()
    left.pause(300)
    one.asks("OPTIONS")
    hung_up(other, one, after=1500)
    yield Pair("a CANCEL after the answer changes nothing", left, right)


def never_acknowledged():
    """A 2xx is repeated, over every transport, and in the end both sides are let go."""
    for is_stream in (False, True):
        left, right, one, other = ringing()
        other.answers()
        one.answered(is_acked=False)
        # At 0.5, 1.5, 3.5 s and then every 4 s until 32 s. SIPp hides repetitions of datagrams.
        for _ in range(10 * is_stream):
            left.hear('response="200"', (), within=4400)
        left.hear('request="BYE"', (), within=34_000)
        left.answer_last()
        right.hear('request="BYE"', (), within=36_000)
        right.answer_last()
        yield Pair("an answer that nobody acknowledges is repeated and then ended", left, right, takes=33,
                   causes=("no_ack",), judge=lambda heard: times(heard["left"], 11),
                   but=("udp",) if is_stream else ("tcp", "tls"))

        # An ACK that comes late ends the repetitions, and not the call.
        left, right, one, other = ringing()
        other.answers()
        one.answered(is_acked=False)
        if is_stream:
            left.hear('response="200"', (), within=700)
            left.pause(500)
        else:
            left.pause(1200)
        one.acknowledges()
        hung_up(one, other, after=3000)
        yield Pair("an answer is repeated until its ACK", left, right, judge=lambda heard: times(heard["left"], 2),
                   but=("udp",) if is_stream else ("tcp", "tls"))


def overtaken():
    """A change that overtakes the ACK of an answer, which was lost or is late (RFC 5407 section 3.1.4)."""
    left, right, one, other = ringing()
    other.answers()
    one.answered(is_acked=False)
    one.asks("INVITE", sdp=left.describe(), expected=["CSeq:[ ]*2 INVITE", "a=sendrecv"])
    one.acknowledges(cseq=1)
    hung_up(one, other)
    yield Pair("a re-INVITE that overtakes the ACK of the answer is answered", left, right)


def times(heard, wanted):
    """What is wrong with how often the answer to the first INVITE came."""
    answers = [message for message in heard if message.startswith("SIP/2.0 200") and "CSeq: 1 INVITE" in message]
    return "" if len(answers) == wanted else f"the answer came {len(answers)} times, not {wanted}"


def forks():
    """Phones behind the called party."""
    left, right, one, other = ringing()
    second = other.fork("two")
    second.says("183 Session Progress", sdp=right.describe())
    right.pause(300)
    second.answers()
    third = other.fork("three")
    third.says("200 OK", sdp=right.describe())
    right.hear('request="ACK"', [";tag=[0-9]+athree"])
    third.asked("BYE", expected=[";tag=[0-9]+athree", "BYE sip:three@"])
    left.hear('response="183"', (), more=' optional="true"')
    one.answered()
    second.asks("OPTIONS")
    hung_up(one, second, after=1000)
    yield Pair("of two phones that answer the second one is let go", left, right)

    # Each early dialog on its own, and the end of one.
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite("Supported: 199", to=NUMBER, until=180)
    other.called()
    other.says("180 Ringing")
    second = other.fork("two")
    right.pause(300)
    second.says("180 Ringing")
    left.hear('response="180"', ())
    right.pause(300)
    other.says("199 Early Dialog Terminated", "Reason: SIP;cause=486")
    left.hear('response="199"', ["!m=audio", "!Require:", r"[[:cntrl:]]Reason:[ ]*SIP;[ ]*cause=486"])
    right.pause(300)
    second.answers()
    one.answered()
    hung_up(one, second)

    def judge(heard):
        tags = {}
        for message in heard["left"]:
            tags.setdefault(message[8:11], []).append(re.search(r"(?mi)^To:.*;tag=([^;\s]+)", message))
        first, second = (found[1] for found in tags["180"])
        is_right = first != second and [found[1] for found in tags["199"]] == [first] and tags["200"][0][1] == second
        return "" if is_right else tags

    yield Pair("199 ends the early dialog that it names", left, right, keys='early_dialogs = "transparent"', judge=judge)

    left, right, one, other = ringing()
    second = other.fork("two")
    right.pause(300)
    second.says("180 Ringing")
    other.says("199 Early Dialog Terminated", "Reason: SIP;cause=486")
    left.hear('response="180"', (), more=' optional="true"')
    right.pause(1500)
    second.answers()
    one.answered()
    hung_up(one, second)
    yield Pair("199 is nobody else's business where phones are told as one", left, right)


KINDS = (glare, overlapping, offers_taken_back, byes, cancelled, never_acknowledged, overtaken, forks)
