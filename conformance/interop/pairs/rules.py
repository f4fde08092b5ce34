"""Pairs about the rules of trunks: which numbers the called party gets, and which headers."""

from pair import NUMBER, Pair, hung_up
from scenario import Dialog, Party

HEAD = "[[:cntrl:]]"

NATIONAL = """
[[transform]]
name = "from-left-[n]"
when = { trunk = "left-[n]", dir = "in" }
called = [{ match = '^00([1-9]\\d+)$', set = '+$1' }, { match = '^0([1-9]\\d+)$', set = '+49$1' }]
calling = [{ match = '^0([1-9]\\d+)$', set = '+49$1' }]

[[transform]]
name = "to-right-[n]"
when = { trunk = "right-[n]", dir = "out" }
called = [{ prefix = "+49", replace = "0" }]
calling = [{ prefix = "+49", replace = "0049" }]
"""


def numbers():
    """Numbers as each side writes them, and one form of them inside."""
    for form, dialled in (("national", f"0{NUMBER[3:]}"), ("international", f"00{NUMBER[1:]}")):
        left, right = Party(), Party()
        # SIPp writes the number of a call behind it.
        one, other = Dialog(left, number="08999999[call_number]"), Dialog(right)
        one.invite(to=dialled, answers=(180,))
        other.called(f"INVITE sip:0{NUMBER[3:]}@", f"{HEAD}To:[^<]*<sip:0{NUMBER[3:]}@",
                     f"{HEAD}From:[^<]*<sip:00498999999[0-9]+@", "![+]49")
        other.answers()
        one.answered()
        hung_up(one, other)
        yield Pair(f"a number that is dialled in its {form} form reaches the other side in its own", left, right,
                   rules=NATIONAL)

    # A number that no rule is about stays as it is, and nothing is called that nobody can be.
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, answers=(180,))
    other.called(f"INVITE sip:0{NUMBER[3:]}@", f"{HEAD}From:[^<]*<sip:00498999998[0-9]+@")
    other.answers()
    one.answered()
    hung_up(one, other)
    yield Pair("a number in the form of the inside passes the rules of the first side", left, right, rules=NATIONAL)


SAID = ("X-Ticket: 4711", "X-Desk: 7", "X-Ours: forged", "Subject: Delivery", "Date: Mon, 30 Nov 2026 12:00:00 GMT")
CHOSEN = 'headers = { pass = ["X-Ticket", "Subject"], strip = ["Date"], set = { "X-Ours" = "ours" } }'


def headers():
    """Headers that a trunk lists, in either direction."""
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(*SAID, to=NUMBER, until=180)
    other.called(f"{HEAD}X-Ticket:[ ]*4711", f"{HEAD}Subject:[ ]*Delivery", f"!{HEAD}X-Desk:", f"!{HEAD}Date:",
                 f"{HEAD}X-Ours:[ ]*ours", "!forged")
    other.says("180 Ringing", "X-Ticket: 4712")
    other.answers("X-Ticket: 4713", "X-Desk: 8", "Server: inner/1.0")
    one.answered(f"{HEAD}X-Ticket:[ ]*4713", f"!{HEAD}X-Desk:", "!inner/1.0")
    hung_up(one, other)
    yield Pair("a trunk lists headers that pass, those that do not, and says its own", left, right, keys=CHOSEN)

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(*SAID, to=NUMBER, answers=(180,))
    other.called(*(f"!{HEAD}{name}:" for name in ("X-Ticket", "X-Desk", "X-Ours", "Subject")), f"{HEAD}Date:")
    other.answers("X-Ticket: 4713")
    one.answered(f"!{HEAD}X-Ticket:")
    hung_up(one, other)
    yield Pair("nobody's header passes that no trunk lists", left, right)


KINDS = (numbers, headers)
