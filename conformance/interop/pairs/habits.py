"""Pairs about how peers write and route what they say: proxies between, compact headers, new contacts, phones behind one
number, and requests outside of calls."""

from pair import NUMBER, THIRD, Pair, called, hung_up
from scenario import Dialog, Party

HEAD = "[[:cntrl:]]"
PLAIN = "INVITE, ACK, CANCEL, BYE"


def routes():
    """Proxies that stay on the way, which SIPp plays as well."""
    ways = [f"<sip:[entry];lr;hop={n};transport=[transport]>" for n in (1, 2)]
    recorded = "Record-Route: " + ", ".join(ways)
    nearest_first = f"{HEAD}Route:[ ]*<sip:[^>]*hop=1[^>]*>(,|{HEAD}+Route:)[ ]*<sip:[^>]*hop=2"
    nearest_last = f"{HEAD}Route:[ ]*<sip:[^>]*hop=2[^>]*>(,|{HEAD}+Route:)[ ]*<sip:[^>]*hop=1"
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(recorded, to=NUMBER, answers=(180, 183))
    other.called(f"!{HEAD}Route:", f"!{HEAD}Record-Route:", "!hop=")
    other.says("183 Session Progress", "Require: 100rel", "RSeq: 1", recorded, sdp=right.describe(), repeated=True)
    other.asked("PRACK", expected=[nearest_last, "PRACK sip:gw@"])
    other.says("200 OK", recorded, repeated=True)
    other.acknowledged(nearest_last, "ACK sip:gw@")
    one.answered(f"{HEAD}Record-Route:[^[:cntrl:]]*hop=1[^[:cntrl:]]*hop=2")
    left.pause(300)
    # Offers of ours go the same way.
    one.asks("INVITE", sdp=left.describe("sendonly"))
    other.asked("INVITE", sdp=right.describe("recvonly"), expected=[nearest_last])
    right.pause(300)
    other.asks("BYE")
    one.asked("BYE", expected=[nearest_first, "BYE sip:gw@"])
    yield Pair("requests within a call go by the proxies that recorded themselves", left, right)


def contacts():
    """Who moves within a call."""
    left, right, one, other = called(allow=f"{PLAIN}, UPDATE")
    for dialog, method in ((one, "UPDATE"), (other, "INVITE")):
        dialog.party.pause(500)
        dialog.contact = dialog.contact.replace("sip:gw@", "sip:moved@")
        dialog.asks(method, sdp="" if method == "UPDATE" else dialog.party.describe())
    # An INFO moves nobody.
    one.contact = one.contact.replace("sip:moved@", "sip:elsewhere@")
    left.pause(800)
    one.asks("OPTIONS")
    right.pause(1200)
    other.asks("BYE")
    one.asked("BYE", expected=["BYE sip:moved@"])
    yield Pair("a party that moves is found where it is", left, right)

    left, right, one, other = called(allow=PLAIN)
    right.pause(300)
    other.contact = other.contact.replace("sip:gw@", "sip:moved@")
    other.asks("INVITE", sdp=right.describe())
    left.pause(800)
    one.asks("BYE")
    other.asked("BYE", expected=["BYE sip:moved@"])
    yield Pair("a called party that moves is found where it is", left, right)


def forms():
    """Headers as they may be written, too."""
    left, right = Party(is_compact=True), Party(is_compact=True)
    one, other = Dialog(left), Dialog(right)
    one.invite("Supported: timer", "Session-Expires: 90;refresher=uac", to=NUMBER, answers=(180,))
    other.called()
    other.says("180 Ringing")
    other.answers("Require: timer", "Session-Expires: 1800;refresher=uac")
    one.answered("Session-Expires: 90;refresher=uac")
    left.pause(300)
    one.asks("INVITE", sdp=left.describe("sendonly"), expected=["a=(recvonly|inactive)"])
    other.asked("INVITE", sdp=right.describe("recvonly"), expected=["a=(sendonly|inactive)"])
    hung_up(other, one, after=500)
    yield Pair("two parties write compact headers", left, right)


def phones():
    """Phones behind one number whose provisionals are reliable, with the same numbers."""
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER, answers=(180, 183))
    other.called("100rel")
    second = other.fork("two")
    for phone, name in ((other, "gw"), (second, "two")):
        way = f"Record-Route: <sip:[entry];lr;phone={name};transport=[transport]>"
        phone.says("183 Session Progress", "Require: 100rel", "RSeq: 1", way, sdp=right.describe(), repeated=True)
        own_tag = ";tag=[0-9]+a1" if name == "gw" else ";tag=[0-9]+atwo1"
        phone.asked("PRACK", expected=["RAck: 1 1 INVITE", f"PRACK sip:{name}@", f"{HEAD}To:[^;]*{own_tag}",
                                       f"Route:[ ]*<sip:[^>]*phone={name}"])
        right.pause(200)
    second.answers(way, sdp="")
    one.answered()
    hung_up(one, second)
    yield Pair("reliable provisionals of two phones are confirmed each on its own", left, right)

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite("Expires: 2", to=NUMBER, until=180)
    one.refused(487)
    other.called()
    other.says("180 Ringing")
    right.pause(1500)
    other.asked("CANCEL", within=2500)
    other.says("487 Request Terminated", repeated=True)
    other.acknowledged()
    yield Pair("a call rings no longer than its INVITE says", left, right, answered=0, refused=(487,))


def digits():
    """More and more digits of one number."""
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    whole, out = right.label(), right.label()
    one.invite(to=NUMBER[:-2], until=180)
    first = one.kept()
    left.pause(400)
    one.invite(to=NUMBER)
    one.refused(484, "CSeq:[ ]*1 INVITE", of=first, then=100)
    one.answered("CSeq:[ ]*2 INVITE")
    left.pause(500)
    one.ends()
    other.called()
    right.when("INVITE sip:[+]493023125456@", whole)
    other.says("180 Ringing")
    other.asked("CANCEL", expected=["CANCEL sip:[+]4930231254@"])
    other.says("487 Request Terminated", repeated=True)
    other.acknowledged()
    right.go(out)
    right.here(whole)
    right.pause(300)
    other.answers()
    other.ended()
    right.here(out)
    yield Pair("a number with more digits replaces the one before", left, right, left_keys="overlap = true",
               answered=1, cancelled=1, rounds={"right": 2})

    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    whole, out = right.label(), right.label()
    one.invite(to=NUMBER[:-2])
    one.refused(484)
    left.pause(300)
    one.invite(to=NUMBER)
    one.answered()
    left.pause(500)
    one.ends()
    other.called()
    right.when("INVITE sip:[+]493023125456@", whole)
    other.says("484 Address Incomplete", repeated=True)
    other.acknowledged()
    right.go(out)
    right.here(whole)
    other.answers()
    other.ended()
    right.here(out)
    yield Pair("a number that is too short is asked for again, and not of another trunk", left, right, goes_on=True,
               left_keys="overlap = true", refused=(484,), rounds={"right": 2}, attempts=(1, 1))


def challenges():
    """A called party that wants a digest which we have not, and who may not be asked for one."""
    for status in (401, 407):
        left, right = Party(), Party()
        one, other = Dialog(left), Dialog(right)
        one.invite(to=NUMBER)
        one.refused(403, "!Authenticate:")
        other.called()
        name = "WWW" if status == 401 else "Proxy"
        other.says(f"{status} Unauthorized", f'{name}-Authenticate: Digest realm="telco.example", nonce="n", qop="auth"',
                   repeated=True)
        other.acknowledged()
        yield Pair(f"{status} of a peer that we have no password for is 403 to the caller", left, right, answered=0,
                   refused=(403,))

    # A password is for the realm that it is for.
    left, right = Party(), Party()
    one, other = Dialog(left), Dialog(right)
    one.invite(to=NUMBER)
    one.refused(403)
    other.called()
    other.says("407 Proxy Authentication Required",
               'Proxy-Authenticate: Digest realm="fabrikam.example", nonce="n", qop="auth"', repeated=True)
    other.acknowledged()
    yield Pair("a password is not told to another realm", left, right, answered=0, refused=(403,),
               right_keys='digest = { username = "contoso", password = { file = "[password]" }, '
                          'realms = ["telco.example"] }')


def outside():
    """Requests that belong to no call."""
    left, right, one, other = called()
    for n, (method, status, expected) in enumerate((
            ("OPTIONS", 200, [f"{HEAD}Allow:[^[:cntrl:]]*INVITE", f"{HEAD}Accept:", f"{HEAD}Supported:",
                              f"{HEAD}Contact:"]),
            ("MESSAGE", 405, [f"{HEAD}Allow:"]), ("PUBLISH", 405, [f"{HEAD}Allow:"]), ("REGISTER", 405, [f"{HEAD}Allow:"]),
            ("SUBSCRIBE", 489, [f"{HEAD}Allow-Events:"]), ("NOTIFY", 481, []), ("BYE", 481, []), ("UNHEARD", 501, []),
            ("REFER", 603, []))):
        stranger = Dialog(left, f"out{n}")
        stranger.begin(method, "Event: dialog", f"Refer-To: <sip:{THIRD}@[sbc]>" if method == "REFER" else "", to=NUMBER,
                       is_new=method not in ("NOTIFY", "BYE"))
        left.hear(f'response="{status}"', expected)
    hung_up(one, other)
    yield Pair("requests outside of calls are answered as they deserve", left, right)


def choices():
    """Several contacts of a redirection."""
    left, right, third = Party(), Party(), Party()
    one, other, last = Dialog(left), Dialog(right), Dialog(third)
    one.invite(to=NUMBER, answers=(180, 181))
    other.called()
    other.says("300 Multiple Choices", f"Contact: <sip:+4989999980001@[sbc]>;q=0.2, <sip:{THIRD}@[sbc]>;q=0.9",
               repeated=True)
    other.acknowledged()
    last.called(f"INVITE sip:[+]{THIRD[1:]}@")
    last.answers()
    one.answered()
    hung_up(one, last)
    yield Pair("of several contacts the one that is liked best is called", left, right, third, attempts=2)


KINDS = (routes, contacts, forms, phones, digits, challenges, outside, choices)
