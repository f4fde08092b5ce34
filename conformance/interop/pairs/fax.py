"""Pairs about faxes: a call of two machines that turns to T.38, or may not."""

from pair import Pair, called, hung_up

PLAIN = "INVITE, ACK, CANCEL, BYE"
T38 = """v=0
o=- [pid] {version} IN IP[media_ip_type] [media_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=image [media_port] udptl t38
a=T38FaxVersion:{fax_version}
a=T38MaxBitRate:{rate}
a=T38FaxRateManagement:transferredTCF
a=T38FaxMaxDatagram:400
a=T38FaxUdpEC:t38UDPRedundancy
"""
IMAGE = "m=image [1-9][0-9]* udptl t38"
NO_AUDIO = "!m=audio [1-9]"


def fax(party, fax_version=0, rate=14400):
    """A machine's next description."""
    party.version += 1
    return T38.format(version=party.version, fax_version=fax_version, rate=rate)


def talks_on(one, other):
    """The audio is what it was: a hold and its end reach the other side, of the same ports."""
    one.party.pause(300)
    for own, direction, seen, answer in ((one, "sendonly", "a=(sendonly|inactive)", "recvonly"),
                                         (one, "sendrecv", "a=sendrecv", "sendrecv")):
        own.asks("INVITE", sdp=own.party.describe(direction), expected=["m=audio [1-9]", "!m=image [1-9]"])
        other.asked("INVITE", sdp=other.party.describe(answer), expected=["m=audio [1-9]", "!m=image [1-9]", seen])


def switches():
    """The machine that is called hears a fax first, and usually asks for the change; either may."""
    for is_callers, who in ((False, "called"), (True, "caller")):
        left, right, one, other = called(allow=PLAIN)
        asking, asked = (one, other) if is_callers else (other, one)
        asking.party.pause(300)
        asking.asks("INVITE", sdp=fax(asking.party), expected=[IMAGE, NO_AUDIO, "T38FaxVersion:3", "T38MaxBitRate:9600"])
        asked.asked("INVITE", sdp=fax(asked.party, 3, 9600),
                    expected=[IMAGE, NO_AUDIO, "T38FaxVersion:0", "T38MaxBitRate:14400", "T38FaxUdpEC:t38UDPRedundancy"])
        # Once the pages are there they talk again.
        asking.party.pause(300)
        asking.asks("INVITE", sdp=asking.party.describe(), expected=["m=audio [1-9]", "!m=image [1-9]"])
        asked.asked("INVITE", sdp=asked.party.describe(), expected=["m=audio [1-9]", "!m=image [1-9]"])
        hung_up(asking, asked)
        yield Pair(f"the {who} turns the call to T.38 and back", left, right)


def refusals():
    """A fax stays in the audio where the other side, or its trunk, has no T.38."""
    left, right, one, other = called(allow=PLAIN)
    right.pause(300)
    other.asks("INVITE", sdp=fax(right), status=488)
    one.asked("INVITE", status="488 Not Acceptable Here", expected=[IMAGE])
    talks_on(one, other)
    hung_up(one, other)
    yield Pair("a machine that has no T.38 says 488, and the audio goes on", left, right)

    left, right, one, other = called(allow=PLAIN)
    right.pause(300)
    other.asks("INVITE", sdp=fax(right), status=488)
    left.pause(800)
    talks_on(one, other)
    hung_up(one, other)
    yield Pair("a trunk without T.38 is not asked for it, and the audio goes on", left, right, left_keys='fax = "g711"')


KINDS = (switches, refusals)
