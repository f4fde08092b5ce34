"""Pairs about who talks to whom: redirection, transfers, replaced dialogs."""

from pair import NUMBER, THIRD, Pair, called, hung_up
from scenario import Dialog, Party

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


TOLD = (["Subscription-State:[ ]*active", "SIP/2.0 100"],
        ["Subscription-State:[ ]*terminated;reason=noresource", "SIP/2.0 200"])


def told_beside(dialog, second):
    """The NOTIFYs of one dialog, the second of which waits for the answer to the first, and the BYE of another dialog,
    which comes before, between or after them."""
    party, told, done, out = dialog.party, *(dialog.party.label() for _ in range(3))
    first, last = (dict(zip(("key", "expected"), each)) for each in zip(("told", "done"), TOLD))

    def notified(key, expected, label=None):
        dialog.hears("NOTIFY", *expected, key=key, more=f' optional="true" next="{label}"' if label else "")

    notified(**first, label=told)
    second.hears("BYE", key="bye")
    notified(**first)
    dialog.replies("told", "200 OK")
    notified(**last)
    party.go(out)
    party.here(told)
    dialog.replies("told", "200 OK")
    notified(**last, label=done)
    second.hears("BYE", key="bye")
    notified(**last)
    party.go(out)
    party.here(done)
    second.hears("BYE", key="bye")
    party.here(out)
    second.replies("bye", "200 OK")
    dialog.replies("done", "200 OK")


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
        transferor.requests("REFER", f"Refer-To: <sip:{THIRD}@[sbc]?Replaces={replaces}>")
        # On a connection of their own the news may overtake it.
        party.hear('response="202"', (), more=' optional="global"')
        told_beside(transferor, second)
        # The transferee's media do not change, so it is told nothing.
        target.asked("INVITE", sdp=third.describe())
        transferor.ends()
        hung_up(target, transferee, after=1500)
        yield Pair(f"the {who} connects the other with a third one", left, right, third, by=side,
                   # Two requests in one segment SIPp reads at once, before it has answered the first.
                   but=("tcp", "tls", "cut"),
                   # Both calls say so: one ended, and one goes on.
                   transfers=(("attended", "completed"),) * 2)


TRYING = ["Subscription-State:[ ]*active", "SIP/2.0 100"]
REFER = f"Refer-To: <sip:{THIRD}@[sbc]>"


def told(status):
    """The last NOTIFY of a transfer."""
    return ["Subscription-State:[ ]*terminated;reason=noresource", f"SIP/2.0 {status}"]


def blind():
    """Transfers to somebody who was not asked before."""
    for is_callers, who in ((True, "caller"), (False, "called")):
        left, right, one, other = called()
        transferor, transferee = (one, other) if is_callers else (other, one)
        third = Party()
        target = Dialog(third)
        transferor.party.pause(300)
        transferor.asks("REFER", REFER, "Refer-Sub: false", "Supported: norefersub", status=202,
                        expected=["Refer-Sub:[ ]*false"])
        target.called(f"INVITE sip:[+]{THIRD[1:]}@")
        third.pause(300)
        target.answers()
        # It leaves by itself, or is sent away after a while; and hears of nothing else.
        transferor.asked("BYE", within=5000)
        hung_up(target, transferee, after=1500)
        yield Pair(f"the {who} transfers and wants to hear nothing of it", left, right, third,
                   transfers=(("blind", "completed"),), attempts=2)

    left, right, one, other = called()
    third, outside = Party(), Dialog(left, "refer")
    target = Dialog(third)
    left.pause(300)
    outside.begin("REFER", REFER, "Require: tdialog",
                  "Target-Dialog: [call_id];local-tag=[pid]c[call_number];remote-tag=[$tag]", to=NUMBER)
    outside.accepted(TRYING)
    target.called()
    third.pause(300)
    target.answers()
    # Which comes first is nobody's business: they belong to two dialogs.
    outside.asked("NOTIFY", expected=told(200))
    one.ends()
    hung_up(target, other, after=1500)
    yield Pair("a REFER outside of the call names it in Target-Dialog", left, right, third,
               transfers=(("blind", "completed"),), attempts=2)

    for status, name in ((486, "Busy Here"), (603, "Decline"), (404, "Not Found")):
        left, right, one, other = called()
        third = Party()
        target = Dialog(third)
        left.pause(300)
        one.refers(REFER, told=TRYING)
        target.called()
        third.pause(300)
        target.says(f"{status} {name}", repeated=True)
        target.acknowledged()
        one.asked("NOTIFY", expected=told(status))
        left.pause(300)
        # Everything is as it was.
        one.asks("INVITE", sdp=left.describe("sendonly"), expected=["a=(recvonly|inactive)"])
        other.asked("INVITE", sdp=right.describe("recvonly"), expected=["a=(sendonly|inactive)"])
        left.pause(300)
        one.asks("INVITE", sdp=left.describe(), expected=["a=sendrecv"])
        other.asked("INVITE", sdp=right.describe(), expected=["a=sendrecv"])
        hung_up(other, one, after=600)
        yield Pair(f"a target that says {status} leaves the call as it was", left, right, third,
                   transfers=(("blind", "failed"),), attempts=2)

    # The transferor holds first, and leaves while the target rings.
    left, right, one, other = called()
    third = Party()
    target = Dialog(third)
    left.pause(300)
    one.asks("INVITE", sdp=left.describe("sendonly"), expected=["a=(recvonly|inactive)"])
    other.asked("INVITE", sdp=right.describe("recvonly"), expected=["a=(sendonly|inactive)"])
    left.pause(300)
    one.refers(REFER, "Referred-By: <sip:ada@example.com>", told=TRYING)
    one.ends()
    one.asked("NOTIFY", expected=told(200))
    target.called()
    target.says("180 Ringing")
    # It rings for less than the second after which that is told.
    third.pause(300)
    target.answers()
    # Who was held is taken back.
    other.asked("INVITE", sdp=right.describe(), expected=["a=sendrecv"])
    hung_up(other, target, after=800)
    yield Pair("a transferor that holds leaves while the target rings", left, right, third,
               transfers=(("blind", "completed"),), attempts=2)

    left, right, one, other = called()
    left.pause(300)
    for line, status in (("Refer-To: <mailto:ada@example.com>", 416), ("X-None: 1", 400)):
        one.asks("REFER", line, status=status)
    hung_up(one, other)
    # The record has the last of those that are refused at once.
    yield Pair("a transfer to nowhere is refused, and the call goes on", left, right, keys="",
               transfers=(("blind", "refused"),))

    left, right, one, other = called()
    left.pause(300)
    one.asks("REFER", REFER, status=405, expected=["!REFER,", "!, REFER"])
    hung_up(one, other)
    yield Pair("a trunk may refuse all transfers", left, right, keys='refer = "refuse"')


def beside():
    """A second wish while the first one is carried out, and dialogs that are not there."""
    left, right, one, other = called()
    third = Party()
    target = Dialog(third)
    left.pause(300)
    one.refers(REFER, told=TRYING)
    one.asks("REFER", REFER, status=500, expected=["Retry-After:[ ]*[0-9]"])
    # It is busy once, and not the next time.
    busy, out = third.label(), third.label()
    target.called()
    third.count("calls", 1, busy)
    target.answers()
    target.ended()
    third.go(out)
    third.here(busy)
    third.pause(1000)
    target.says("486 Busy Here", repeated=True)
    target.acknowledged()
    third.here(out)
    one.asked("NOTIFY", expected=told(486))
    # The next one has a number.
    one.refers(REFER, told=[*TRYING, f"Event:[ ]*refer;id={one.cseq + 1}"])
    one.asked("NOTIFY", expected=told(200))
    one.ends()
    right.pause(3000)
    other.ends()
    yield Pair("one transfer at a time, and each has its own news", left, right, third, attempts=3, rounds={"third": 2},
               transfers=(("blind", "failed"), ("blind", "completed")))

    left, right, one, other = called()
    newcomer = Dialog(right, "newcomer")
    known = "Replaces: [call_id];to-tag=[$tag];from-tag=[pid]a[call_number]"
    right.pause(300)
    for status, lines in ((481, ["Replaces: nobody;to-tag=a;from-tag=b"]), (486, [f"{known};early-only"]),
                          (400, [known, known]), (400, ["Replaces: nonsense"]),
                          (400, [known, "Join: nobody;to-tag=a;from-tag=b"])):
        newcomer.invite(*lines, to=NUMBER)
        newcomer.refused(status)
    other.asks("OPTIONS", known, status=400)
    hung_up(other, one)
    yield Pair("who would replace nobody is refused, and the call goes on", left, right)


def relayed():
    """The other party does it itself."""
    for status in ("200 OK", "486 Busy Here"):
        left, right, one, other = called()
        left.pause(300)
        one.refers(REFER, told=TRYING)
        other.asked("REFER", status="202 Accepted", expected=[f"Refer-To:[ ]*<sip:[+]{THIRD[1:]}@", "!127[.]0"])
        other.asks("NOTIFY", "Event: refer", "Subscription-State: active;expires=60", sdp="SIP/2.0 100 Trying\n",
                   kind="message/sipfrag")
        right.pause(500)
        other.asks("NOTIFY", "Event: refer", "Subscription-State: terminated;reason=noresource",
                   sdp=f"SIP/2.0 {status}\n", kind="message/sipfrag")
        one.asked("NOTIFY", expected=told(status[:3]))
        hung_up(one, other)
        yield Pair(f"a REFER that is relayed ends with {status[:3]}", left, right, keys='refer = "relay"',
                   transfers=(("relayed", "completed" if status == "200 OK" else "failed"),))


def caps():
    """A number that is redirected again and again."""
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, answers=(181,))
    one.refused(480)
    other.called()
    other.says("302 Moved Temporarily", "Contact: <sip:+4989999981[call_number]@[sbc]>", repeated=True)
    other.acknowledged()
    yield Pair("a number is redirected five times at most", left, right, answered=0, refused=(480,), rounds={"right": 6})


KINDS = (redirections, replacements, picked_up, transfers, blind, beside, relayed, caps)
