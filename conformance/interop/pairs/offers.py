"""Pairs about offers and answers in all the places where they may stand, and about sessions that run out."""

import re

from pair import NUMBER, Pair, called, hung_up, ringing
from scenario import Dialog, Party, value

PLAIN = "INVITE, ACK, CANCEL, BYE"
RSEQ = [("rseq", value("RSeq"))]
MEDIA, NO_MEDIA = "m=audio", "!m=audio"


def late():
    """An INVITE without an offer."""
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(sdp="", to=NUMBER)
    other.called(NO_MEDIA)
    other.says("200 OK", sdp=right.describe(), repeated=True)
    one.answered(MEDIA, ack_sdp=left.describe())
    other.acknowledged(MEDIA)
    hung_up(one, other)
    yield Pair("the called party offers in its answer, and the caller answers in its ACK", left, right,
               keys='late_offer = "pass"')

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(sdp="", to=NUMBER)
    other.called(MEDIA)
    other.says("200 OK", sdp=right.describe(), repeated=True)
    one.answered(MEDIA, ack_sdp=left.describe())
    other.acknowledged(NO_MEDIA)
    hung_up(other, one)
    yield Pair("we offer on behalf of a caller that does not", left, right, keys='late_offer = "convert"')

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(sdp="", to=NUMBER)
    other.called(NO_MEDIA)
    other.says("200 OK", sdp=right.describe(), repeated=True)
    one.answered(MEDIA)
    one.ended()
    other.acknowledged(MEDIA)
    other.ended()
    yield Pair("a caller that does not answer an offer in its ACK ends the call", left, right,
               keys='late_offer = "pass"', causes=("media_incompatible",))

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite("Supported: 100rel", sdp="", to=NUMBER)
    other.called("100rel", NO_MEDIA)
    other.says("183 Session Progress", "Require: 100rel", "RSeq: 1", sdp=right.describe(), repeated=True)
    one.provisional(183, "Require: 100rel", MEDIA, saved=RSEQ)
    one.asks("PRACK", "RAck: [$rseq] 1 INVITE", sdp=left.describe())
    other.asked("PRACK", expected=["RAck: 1 1 INVITE", MEDIA])
    right.pause(300)
    other.answers(sdp="")
    one.answered(NO_MEDIA)
    hung_up(one, other)
    yield Pair("the called party offers in a reliable provisional, and the caller answers in its PRACK", left, right,
               keys='late_offer = "pass"')

    # Within the call.
    left, right, one, other = called(allow=PLAIN)
    for dialog in (one, other):
        dialog.party.pause(400)
        dialog.asks("INVITE", expected=[MEDIA, "a=sendrecv"], ack_sdp=dialog.party.describe())
    hung_up(one, other, after=600)
    yield Pair("a re-INVITE without an offer gets ours", left, right)


def reliable():
    """What a caller does with reliable provisionals."""
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite("Require: 100rel", to=NUMBER)
    other.called()
    other.says("183 Session Progress", sdp=right.describe())
    one.provisional(183, "Require: 100rel", MEDIA, saved=RSEQ)
    one.asks("PRACK", "RAck: [$rseq] 1 INVITE", sdp=left.describe(), expected=[MEDIA])
    right.pause(700)
    other.answers(sdp="")
    one.answered()
    hung_up(one, other)
    yield Pair("an offer in a PRACK is answered in its 200", left, right)

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite("Require: 100rel", to=NUMBER)
    other.called()
    other.says("183 Session Progress", sdp=right.describe())
    right.pause(50)
    other.answers(sdp="")
    one.provisional(183, "Require: 100rel", MEDIA, saved=RSEQ)
    # Nothing may come before it, and not so long that the 183 comes again.
    left.pause(400)
    one.asks("PRACK", "RAck: [$rseq] 1 INVITE")
    one.answered()
    hung_up(one, other)
    yield Pair("the answer waits for the PRACK", left, right)

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite("Require: 100rel", to=NUMBER)
    other.called()
    other.says("180 Ringing")
    one.provisional(180, "Require: 100rel", saved=RSEQ)
    one.asks("PRACK", "RAck: [$rseq] 7 INVITE", status=481)
    one.asks("PRACK", "RAck: [$rseq] 1 INVITE")
    right.pause(700)
    other.answers()
    one.answered()
    hung_up(one, other)
    yield Pair("a PRACK of nothing gets 481", left, right)

    for is_stream in (False, True):
        left, right = Party(), Party()
        one, other = Dialog(left), Dialog(right)
        one.invite("Require: 100rel", to=NUMBER)
        other.called()
        other.says("183 Session Progress", sdp=right.describe())
        one.provisional(183, "Require: 100rel", MEDIA)
        # At 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s.
        for _ in range(6 * is_stream):
            left.hear('response="183"', (), within=16_400)
        one.refused(504)
        other.asked("CANCEL")
        other.says("487 Request Terminated", repeated=True)
        other.acknowledged()
        yield Pair("a provisional that nobody confirms fails the call", left, right, answered=0, refused=(504,), takes=33,
                   but=("udp",) if is_stream else ("tcp", "tls"))

    # Early UPDATE of the called party.
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, answers=(183,))
    other.called("100rel")
    other.says("183 Session Progress", "Require: 100rel", "RSeq: 4711", sdp=right.describe(), repeated=True)
    other.asked("PRACK", expected=["RAck: 4711 1 INVITE"])
    other.target = "[$target]"
    other.asks("UPDATE", sdp=right.describe(), expected=[MEDIA])
    other.asks("UPDATE", expected=[NO_MEDIA])
    right.pause(300)
    other.answers(sdp="")
    one.answered(MEDIA)
    hung_up(one, other)
    yield Pair("the called party renews its description before its answer", left, right)

    # A gap: the second one counts only once the first has come.
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, answers=(180, 183))
    other.called("100rel")
    other.says("183 Session Progress", "Require: 100rel", "RSeq: 10", repeated=True)
    other.asked("PRACK", expected=["RAck: 10 1 INVITE"])
    other.says("180 Ringing", "Require: 100rel", "RSeq: 12")
    right.pause(700)
    other.says("180 Ringing", "Require: 100rel", "RSeq: 11", repeated=True)
    other.asked("PRACK", expected=["RAck: 11 1 INVITE"])
    other.says("180 Ringing", "Require: 100rel", "RSeq: 12", repeated=True)
    other.asked("PRACK", expected=["RAck: 12 1 INVITE"])
    other.answers()
    one.answered()
    hung_up(one, other)
    yield Pair("a reliable provisional that came too early is confirmed in its turn", left, right)

    # The called party cannot do what the caller requires.
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite("Require: 100rel", to=NUMBER)
    other.called("100rel", "![[:cntrl:]]Require:")
    other.says("180 Ringing")
    one.provisional(180, "Require: 100rel", saved=RSEQ)
    one.asks("PRACK", "RAck: [$rseq] 1 INVITE")
    right.pause(600)
    other.answers()
    one.answered()
    hung_up(one, other)
    yield Pair("what the caller requires is ours to do", left, right)


def refused():
    """Offers that are not wanted."""
    for status, what in (("488 Not Acceptable Here", "488"), ("491 Request Pending", "491")):
        left, right, one, other = called(allow=PLAIN)
        left.pause(300)
        one.requests("INVITE", sdp=left.describe("sendonly"))
        left.hear('response="100"', ())
        one.refused(int(what), "CSeq:[ ]*2 INVITE")
        other.asked("INVITE", status=status, expected=["a=sendonly"])
        left.pause(2500)
        one.asks("INVITE", sdp=left.describe(), expected=["a=sendrecv"])
        other.asked("INVITE", sdp=right.describe(), expected=["a=sendrecv"])
        hung_up(one, other)
        yield Pair(f"an offer that the other party refuses with {what} is refused and changes nothing", left, right,
                   keys='reinvite = "always_relay"')

    left, right, one, other = called(allow=PLAIN)
    left.pause(300)
    one.asks("INVITE", sdp=left.describe(codecs=["G729"]), status=488)
    left.pause(300)
    one.asks("INVITE", sdp=left.describe(), expected=["a=sendrecv"])
    hung_up(one, other, after=600)
    yield Pair("an offer of a codec that nobody has gets 488 and changes nothing", left, right)

    left, right, one, other = called(allow=PLAIN)
    left.pause(300)
    one.asks("INVITE", sdp=left.describe())
    one.cseq -= 2
    one.asks("INVITE", sdp=left.describe(), status=500)
    one.cseq += 1
    left.pause(300)
    one.asks("OPTIONS")
    hung_up(one, other, after=600)
    yield Pair("a request whose number went backwards gets 500 and the call goes on", left, right)


BOTH = 'codecs = ["PCMA", "PCMU"]\ntranscode = false'
VIDEO = "m=video 7000 RTP/AVP 31\na=rtpmap:31 H261/90000\n"


def changes():
    """Codecs and lines that change within a call."""
    both = ["PCMA", "PCMU"]
    for method, status in (("INVITE", 200), ("UPDATE", 200), ("INVITE", 488), ("UPDATE", 488)):
        left, right = (Party(allow=f"{PLAIN}, UPDATE") for _ in range(2))
        one, other = Dialog(left), Dialog(right)
        one.invite(sdp=left.describe(codecs=both), to=NUMBER)
        other.called("RTP/AVP 8 0 101")
        other.answers()
        one.answered("RTP/AVP 8 101")
        left.pause(300)
        one.requests(method, sdp=left.describe(codecs=["PCMU"]))
        if method == "INVITE":
            left.hear('response="100"', (), more=' optional="true"')
        if status == 200:
            left.hear('response="200"', ["RTP/AVP 0 101"])
            if method == "INVITE":
                one.acknowledges()
            other.asked("INVITE", sdp=right.describe(codecs=["PCMU"]), expected=["RTP/AVP 0 101"])
        else:
            if method == "INVITE":
                one.refused(488)
            else:
                left.hear('response="488"', ())
            other.asked("INVITE", status="488 Not Acceptable Here", expected=["RTP/AVP 0 101"])
        left.pause(500)
        one.asks("OPTIONS")
        hung_up(one, other)
        yield Pair(f"another codec by {method} is asked of the other party, which says {status}", left, right, keys=BOTH)

    # An UPDATE that waits for the other party, and what comes meanwhile.
    left, right = (Party(allow=f"{PLAIN}, UPDATE") for _ in range(2))
    one, other = Dialog(left), Dialog(right)
    one.invite(sdp=left.describe(codecs=both), to=NUMBER)
    other.called()
    other.answers()
    one.answered()
    left.pause(300)
    one.requests("UPDATE", sdp=left.describe(codecs=["PCMU"]))
    other.hears("INVITE", key="asked")
    other.replies("asked", "100 Trying")
    # SIPp repeats a request until the next thing that it hears.
    left.steps[-1] = left.steps[-1].replace(' retrans="500"', "")
    left.pause(300)
    one.asks("UPDATE", sdp=left.describe(), status=500, expected=["[[:cntrl:]]Retry-After:[ ]*([0-9]|10)[^0-9]"])
    right.pause(1200)
    other.asks("UPDATE", sdp=right.describe(), status=491)
    other.replies("asked", "200 OK", sdp=right.describe(codecs=["PCMU"]), repeated=True)
    other.acknowledged()
    left.hear('response="200"', ["CSeq:[ ]*2 UPDATE", "RTP/AVP 0 101"])
    hung_up(one, other)
    yield Pair("an UPDATE that waits for the other party holds further ones up", left, right, keys=BOTH)

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(sdp=left.describe(more=VIDEO), to=NUMBER)
    other.called("m=audio [1-9]")
    other.answers()
    one.answered("m=audio [1-9].*m=video 0 ")
    left.pause(300)
    one.asks("INVITE", sdp=left.describe(more=VIDEO), expected=["m=audio [1-9].*m=video 0 "])
    left.pause(300)
    one.asks("INVITE", sdp=left.describe("sendonly", more=VIDEO), expected=["m=audio [1-9].*m=video 0 "])
    other.asked("INVITE", sdp=right.describe("recvonly"))
    hung_up(one, other)

    def lines(heard):
        descriptions = [(re.search(r"(?m)^o=- (\d+) (\d+)", message), message.partition("\r\n\r\n")[2])
                        for message in heard["left"] if "o=-" in message]
        ids = {found[1] for found, _ in descriptions}
        versions = [int(found[2]) for found, _ in descriptions]
        is_stable = len(ids) == 1 and versions[0] == versions[1] == versions[2] - 1
        return "" if is_stable and descriptions[0][1] == descriptions[1][1] else descriptions

    yield Pair("lines keep their places, and a description its version until it changes", left, right, judge=lines)

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(sdp=left.describe(codecs=["G729"]), to=NUMBER)
    one.refused(488, "Warning:[ ]*30[45] ")
    left.pause(300)
    one.invite(to=NUMBER)
    other.called()
    other.answers()
    one.answered()
    hung_up(one, other)
    yield Pair("a call with a codec that nobody has gets 488 and a warning", left, right, refused=(488,))


def early():
    """What a caller hears of the ringing."""
    for name, keys, first, second in (
            ("blocked", {"right_keys": 'early_media = "block"'}, (180, NO_MEDIA), (180, NO_MEDIA)),
            ("told as they are", {}, (183, MEDIA), (180, MEDIA)),
            ("told as ringing", {"left_keys": 'ringing = "180"'}, (180, MEDIA), (180, MEDIA)),
            ("told as progress", {"left_keys": 'ringing = "183"'}, (183, MEDIA), (183, MEDIA))):
        left, right = Party(), Party()
        one, other = Dialog(left), Dialog(right)
        one.invite(to=NUMBER)
        other.called()
        other.says("183 Session Progress", sdp=right.describe())
        one.provisional(first[0], first[1])
        right.pause(1200)
        other.says("180 Ringing")
        if name == "blocked":
            # It is the same again, which SIPp does not show of datagrams.
            left.hear('response="180"', [NO_MEDIA], more=' optional="true"')
        else:
            one.provisional(second[0])
        right.pause(300)
        right.version -= 1
        other.answers()
        one.answered(MEDIA)
        hung_up(one, other)

        def same(heard):
            told = {message.partition("\r\n\r\n")[2] for message in heard["left"] if "m=audio" in message}
            return "" if len(told) == 1 else told

        yield Pair(f"early media are {name}", left, right, judge=same, **keys)


def running_out():
    """Sessions that nobody refreshes, or that cannot be refreshed."""
    left, right, one, other = ringing("Supported: timer", "Session-Expires: 90;refresher=uac")
    other.answers()
    one.answered("Session-Expires: 90;refresher=uac")
    left.pause(57_000)
    one.asked("BYE", expected=["Reason:[ ]*Q.850;[ ]*cause=102"], within=5000)
    right.pause(57_000)
    other.asked("BYE", expected=["Reason:[ ]*Q.850;[ ]*cause=102"], within=6000)
    yield Pair("a session that its peer does not refresh is ended before it expires", left, right, takes=61,
               causes=("in_call_failure",))

    left, right, one, other = ringing("Supported: timer", "Session-Expires: 90;refresher=uas",
                                      allow="INVITE, ACK, CANCEL, BYE, UPDATE")
    other.answers()
    one.answered("Session-Expires: 90;refresher=uas")
    left.pause(43_000)
    one.asked("UPDATE", status="481 Call/Transaction Does Not Exist", within=4000)
    one.asked("BYE", expected=["Reason:[ ]*Q.850;[ ]*cause=102"])
    other.party.hear('request="BYE"', ["Reason:[ ]*Q.850;[ ]*cause=102"])
    right.answer_last()
    yield Pair("a session whose peer knows it no more is ended", left, right, takes=46, causes=("in_call_failure",))


KINDS = (late, reliable, refused, changes, early, running_out)
