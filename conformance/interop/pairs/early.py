"""Pairs about P-Early-Media (RFC 5009): what a called side may do before it answers, and who is believed that."""

from pair import NUMBER, Pair, hung_up
from scenario import Dialog, Party

HEAD = "[[:cntrl:]]"
MEDIA, NO_MEDIA = "m=audio", "!m=audio"
KNOWS = "trusted = true\np_early_media = true"
SUPPORTED, SAYS = "P-Early-Media: supported", f"{HEAD}P-Early-Media:[ ]*"
NOTHING = f"!{HEAD}P-Early-Media:"


def progressed(*steps, asks=(SUPPORTED,), invite=(), **keys):
    """A call whose called party says by and by what it may do, and what the caller hears of each."""
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(*asks, to=NUMBER)
    other.called(*invite)
    for said, heard in steps:
        # A provisional is told at once only where none was just before.
        right.pause(1200)
        other.says("183 Session Progress", *([f"P-Early-Media: {said}"] if said else []), sdp=right.describe())
        right.version -= 1
        one.provisional(183, *heard)
    right.pause(300)
    other.answers()
    one.answered(MEDIA, NOTHING)
    hung_up(one, other)
    return {"left": left, "right": right, **keys}


def authorised():
    """Trusted peers that know of it."""
    yield Pair("a called party that may not be heard yet is not, and then it is",
               **progressed(("inactive", (NO_MEDIA, f"{SAYS}inactive")), ("sendrecv", (MEDIA, f"{SAYS}sendrecv")),
                            invite=(f"{SAYS}supported",), keys=KNOWS))
    yield Pair("a caller that knows nothing of it does not hear who may not be heard",
               **progressed(("inactive", (NO_MEDIA, NOTHING)), ("sendonly", (MEDIA, NOTHING)), asks=(),
                            right_keys=KNOWS))


def unbelieved():
    """Peers that it is not believed of."""
    yield Pair("a stranger's word on its early media counts for nothing",
               **progressed(("inactive", (MEDIA, NOTHING)), left_keys=KNOWS, invite=(NOTHING,)))
    yield Pair("a trusted peer that does not take part is not told, and not believed",
               **progressed(("inactive", (MEDIA, NOTHING)), left_keys=KNOWS, right_keys="trusted = true",
                            invite=(NOTHING,)))


KINDS = (authorised, unbelieved)
