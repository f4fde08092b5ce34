"""Pairs about offers and answers in all the places where they may stand, and about sessions that run out."""

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
    one.asks("INVITE", sdp=left.describe().replace("RTP/AVP 8", "RTP/AVP 18").replace("8 PCMA", "18 G729"), status=488)
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


KINDS = (late, reliable, refused, running_out)
