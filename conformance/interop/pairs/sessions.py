"""Pairs about what goes on within a call: hold, refreshed sessions, provisionals that are acknowledged, keys."""

from pair import NUMBER, Pair, called, hung_up
from scenario import Dialog, Party, value

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


KINDS = (holds, timers, provisionals, keys)
