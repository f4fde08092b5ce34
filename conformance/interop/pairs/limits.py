"""Pairs about how many calls a trunk has: what one too many is told, and what no limit holds up."""

from pair import HELP, NUMBER, Pair, called
from scenario import Dialog, Party

HEAD = "[[:cntrl:]]"
# What a limit says, and which cause of ISDN that is.
REFUSALS = (("503", 503, 34), ("486", 486, 17), ("480", 480, 34), ("403", 403, 21))


def taken(other, after=0):
    """A call that is answered, and ended by its caller."""
    other.called()
    other.party.pause(after)
    other.answers()
    other.ended()


def places():
    """One call too many."""
    for side, direction in (("left", "in"), ("right", "out"), ("left", "")):
        for word, status, cause in REFUSALS if not direction else REFUSALS[:2]:
            left, right, one, other = called()
            second = Dialog(left, "second")
            second.invite(to=NUMBER)
            # It is no reason to stay away for a while: the next call may have a place.
            second.refused(status, f"!{HEAD}Retry-After:", f"{HEAD}Reason:[ ]*Q.850;[ ]*cause={cause}[^0-9]")
            one.ends()
            left.pause(300)
            third = Dialog(left, "third")
            third.invite(to=NUMBER, answers=(180,))
            third.answered()
            left.pause(300)
            third.ends()
            other.ended()
            limits = f'calls = 1, refuse = "{word}"'
            limits = f"{direction} = {{ {limits} }}" if direction else limits
            where = {"in": "from", "out": "to", "": "from and to"}[direction]
            yield Pair(f"one call too many {where} a trunk gets {status}, until another one ends", left, right,
                       answered=2, refused=(status,), rounds={"right": 2}, **{f"{side}_keys": f"limits = {{ {limits} }}"})

    # Whom one trunk has no place for another one takes.
    left, right, third = Party(), Party(), Party()
    one, second, other, last = Dialog(left), Dialog(left, "second"), Dialog(right), Dialog(third)
    for call in (one, second):
        call.invite(to=NUMBER, answers=(180,))
        call.answered()
        left.pause(300)
    second.ends()
    one.ends()
    taken(other)
    taken(last)
    yield Pair("a call that a trunk has no place for goes on to the next one", left, right, third, goes_on=True,
               answered=2, attempts=(1, 1), right_keys='limits = { out = { calls = 1, refuse = "486" } }')


def kept_free():
    """What is kept for calls for help, which nobody's call makes room for."""
    left, right = Party(), Party()
    one, second, help_, other = Dialog(left), Dialog(left, "second"), Dialog(left, "help"), Dialog(right)
    one.invite(to=NUMBER, answers=(180,))
    one.answered()
    second.invite(to=NUMBER)
    second.refused(503)
    help_.invite(to=HELP, answers=(180,))
    help_.answered()
    left.pause(300)
    # The first one is still there.
    one.asks("OPTIONS")
    help_.ends()
    one.ends()
    taken(other)
    yield Pair("a place that is kept free is there for a call for help", left, right, refused=(503,), answered=2,
               rounds={"right": 2}, left_keys="limits = { calls = 2, reserve = 1 }")


def rates():
    """New calls within a second, and calls that are not answered yet."""
    left, right = Party(), Party()
    one, second, help_, third, other = (*(Dialog(left, name) for name in ("", "second", "help", "third")), Dialog(right))
    one.invite(to=NUMBER, answers=(180,))
    one.answered()
    second.invite(to=NUMBER)
    second.refused(503, f"!{HEAD}Retry-After:", f"{HEAD}Reason:[ ]*Q.850;[ ]*cause=34[^0-9]")
    help_.invite(to=HELP, answers=(180,))
    help_.answered()
    left.pause(2500)
    third.invite(to=NUMBER, answers=(180,))
    third.answered()
    for call in (third, help_, one):
        left.pause(200)
        call.ends()
    taken(other)
    yield Pair("one call too many within a second gets 503, and one for help does not", left, right, refused=(503,),
               answered=3, rounds={"right": 3}, left_keys="limits = { cps = 1 }")

    left, right = Party(), Party()
    one, second, third, other = (*(Dialog(left, name) for name in ("", "second", "third")), Dialog(right))
    one.invite(to=NUMBER, until=180)
    second.invite(to=NUMBER)
    second.refused(503)
    one.answered()
    third.invite(to=NUMBER, answers=(180,))
    third.answered()
    for call in (third, one):
        left.pause(200)
        call.ends()
    other.called()
    other.says("180 Ringing")
    right.pause(800)
    other.answers()
    other.ended()
    yield Pair("one call too many that is not answered yet gets 503", left, right, refused=(503,), answered=2,
               rounds={"right": 2}, left_keys="limits = { setup = 1 }")


KINDS = (places, kept_free, rates)
