"""Scenarios of SIPp for callers over a network that loses packets. Each request is a transaction with a name, so that an
answer that comes again is not taken for that to the next one."""

SDP = """v=0
o=- [pid] {version} IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio 6000 RTP/AVP 8
a=rtpmap:8 PCMA/8000
a={direction}"""
THIRD = "+493023125999"
FOUND = '<ereg regexp="{0}" search_in="{1}" check_it="true" assign_to="seen"/>'
DIALOG = """From: <sip:+498999998[call_number]@[local_ip]>;tag=[pid]c[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>{tag}
Call-ID: [call_id]
CSeq: {number} {method}
Contact: <sip:gw@[local_ip]:[local_port]>
Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, NOTIFY
Max-Forwards: 70"""


class Caller:
    """One scenario; each verb adds a step of it."""

    def __init__(self):
        self.steps, self.number, self.version, self.labels = [], 0, 0, 0

    def xml(self, name):
        """The whole as SIPp reads it, which wants that each variable is named where it is used."""
        body = "\n".join(self.steps)
        used = '<Reference variables="seen"/>\n' if '"seen"' in body else ""
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{name}">\n{body}\n{used}</scenario>\n'

    def describe(self, direction="sendrecv"):
        """The next description."""
        self.version += 1
        return SDP.format(version=self.version, direction=direction)

    def asks(self, method, *headers, sdp="", txn=None):
        """A request, repeated until its answer."""
        self.number += method != "ACK"
        is_first = method == "INVITE" and self.number == 1
        target = "sip:[service]@[remote_ip]:[remote_port]" if is_first else "[next_url]"
        named = f'ack_txn="{txn}"' if method == "ACK" else f'retrans="500" start_txn="{txn or method}"'
        lines = [f"{method} {target} SIP/2.0", "Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch];rport",
                 "" if is_first else "[routes]",
                 DIALOG.format(tag="" if is_first else "[peer_tag_param]", number=self.number, method=method),
                 *headers, "Content-Type: application/sdp" if sdp else "", "Content-Length: [len]"]
        head = "\n".join(line for line in lines if line)
        self.steps.append(f"<send {named}><![CDATA[\n{head}\n\n{sdp}\n]]></send>")

    def hears(self, status, txn, *found, more=""):
        """An answer."""
        finds = "".join(FOUND.format(*each) for each in found)
        action = f"<action>{finds}</action>" if finds else ""
        self.steps.append(f'<recv response="{status}" response_txn="{txn}" {more}>{action}</recv>')

    def offers(self, direction, answer):
        """A re-INVITE. Where the ACK of the last one was lost it crosses the answer that comes again, and is refused
        with 491; then it comes once more after a pause (RFC 3261, section 14.1)."""
        for is_last, label in ((False, self.label()), (True, None)):
            txn = f"offer{self.number}"
            self.asks("INVITE", sdp=self.describe(direction), txn=txn)
            asked_at = len(self.steps) - 1
            self.hears(100, txn, more='optional="true"')
            if not is_last:
                self.hears(491, txn, more=f'optional="true" next="{label}"')
            self.hears(200, txn, (f"a={answer}", "body"))
            self.asks("ACK", txn=txn)
            if not is_last:
                out = self.label()
                self.steps.append(f'<nop next="{out}"/>')
                self.here(label)
                self.asks("ACK", txn=txn)
                self.steps[-1] = self.steps[-1].replace("[branch]", f"[branch-{len(self.steps) - 1 - asked_at}]")
                self.pauses(2100)
        self.here(out)

    def label(self):
        """A place that steps can lead to, which `here` then makes."""
        self.labels += 1
        return self.labels

    def here(self, label):
        """Where a label stands."""
        self.steps.append(f'<label id="{label}"/>')

    def keeps(self, expression, header, name):
        """Keeps what is found in a header of what was heard last."""
        find = (f'<ereg regexp="{expression}" search_in="hdr" header="{header}:" check_it="true" assign_to="{name}"/>')
        self.steps[-1] = self.steps[-1].replace("</action>", f"{find}</action>")

    def is_told_until(self, last):
        """One NOTIFY after the other, until what is found in the last one."""
        again, done = self.label(), self.label()
        self.here(again)
        self.steps.append(f'<recv request="NOTIFY"><action><ereg regexp="{last}" search_in="msg" assign_to="last"/>'
                          "</action></recv>")
        self.answers()
        self.steps.append(f'<nop test="last" next="{done}"/>')
        self.steps.append(f'<nop next="{again}"/>')
        self.here(done)

    def answers(self):
        """200 to what came last."""
        self.steps.append("<send><![CDATA[\nSIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n"
                          "[last_CSeq:]\nContent-Length: 0\n\n]]></send>")

    def pauses(self, milliseconds):
        """Says nothing for a while."""
        self.steps.append(f'<pause milliseconds="{milliseconds}"/>')

    def ends(self, is_told=False):
        """Hangs up. Where it was told something the answer to that may have been lost, and it is told again."""
        self.asks("BYE")
        if not is_told:
            return self.hears(200, "BYE")
        again, late, done = self.label(), self.label(), self.label()
        self.here(again)
        self.steps.append(f'<recv request="NOTIFY" optional="true" next="{late}"/>')
        self.hears(200, "BYE", more=f'next="{done}"')
        self.here(late)
        self.answers()
        self.steps.append(f'<nop next="{again}"/>')
        self.here(done)


def dialogs():
    """A call with a reliable provisional, a change before the answer, and three changes after it."""
    one = Caller()
    one.asks("INVITE", "Require: 100rel", sdp=one.describe(), txn="call")
    one.hears(100, "call", more='optional="true"')
    one.hears(183, "call", ("m=audio", "body"), more='rrs="true"')
    one.keeps('[0-9]+', "RSeq", "rseq")
    one.asks("PRACK", "RAck: [$rseq] 1 INVITE")
    one.hears(200, "PRACK")
    one.asks("UPDATE", sdp=one.describe(), txn="early")
    # The called party answers after three seconds; SIPp does not go on asking then.
    answered = one.label()
    one.hears(200, "call", more=f'rrs="true" optional="true" next="{answered}"')
    one.hears(200, "early", ("m=audio", "body"))
    one.hears(200, "call", more='rrs="true"')
    one.here(answered)
    number, one.number = one.number, 1
    one.asks("ACK", txn="call")
    one.number = number
    one.pauses(300)
    one.offers("sendonly", "(recvonly|inactive)")
    one.pauses(300)
    one.offers("sendrecv", "sendrecv")
    one.pauses(300)
    one.asks("UPDATE", sdp=one.describe(), txn="late")
    one.hears(200, "late", ("a=sendrecv", "body"))
    one.pauses(300)
    one.ends()
    return one.xml("dialogs")


def transferor():
    """A caller that has the other party call somebody else, hears how that goes, and leaves."""
    one = Caller()
    one.asks("INVITE", sdp=one.describe(), txn="call")
    for status in (100, 180, 183):
        one.hears(status, "call", more='optional="true"')
    one.hears(200, "call", more='rrs="true"')
    one.asks("ACK", txn="call")
    one.pauses(300)
    one.asks("REFER", f"Refer-To: <sip:{THIRD}@[remote_ip]:[remote_port]>")
    # Where it is lost the first news says as much, and SIPp does not ask again then; it may come late, too.
    one.hears(202, "REFER", more='optional="global"')
    one.is_told_until("terminated;reason=noresource.*SIP/2.0 200")
    one.pauses(200)
    one.ends(is_told=True)
    return one.xml("transferor")
