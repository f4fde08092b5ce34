"""Scenarios of SIPp, written as what one party says and hears.

A party may be in several dialogs: each but the first of a party has a Call-ID of its own, which SIPp finds
by what stands behind `///` in it."""

import copy
import re
from xml.sax.saxutils import quoteattr

AUDIO = """v=0
o=- [pid] {version} IN IP[media_ip_type] [media_ip]
s=-
c=IN IP[media_ip_type] {address}
t=0 0
m=audio [media_port] RTP/AVP {codecs} {events}
{mappings}a=rtpmap:{events} telephone-event/8000
a=fmtp:{events} 0-15
a=ptime:20
{direction}"""

def value(header):
    """Finds what a header of this name says."""
    return rf"[[:cntrl:]]{header}:[ ]*([^[:cntrl:]]*)"


def tag(header):
    """Finds its tag."""
    return rf"[[:cntrl:]]{header}:[^[:cntrl:]]*;tag=([^;[:cntrl:]]*)"


CODECS = {"PCMU": 0, "PCMA": 8, "G729": 18}
KEPT = ("Via", "From", "To", "Call-ID", "CSeq")  # What an answer repeats.
COMPACT = {"Call-ID": "i", "Contact": "m", "From": "f", "Supported": "k", "To": "t", "Via": "v", "Session-Expires": "x"}
CONTACT = r"[[:cntrl:]]Contact:[^<]*<([^>]*)>"


class Party:
    """One side's scenario; each verb adds a step of it."""

    def __init__(self, allow="INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, REFER, NOTIFY", events=101,
                 is_compact=False):
        self.is_compact = is_compact
        self.steps, self.variables, self.version, self.allow = [], [], 0, allow
        self.events, self.labels, self.counts = events, 0, []

    def xml(self, name, transport, port):
        """The whole as SIPp reads it, for a party that speaks this transport and is called at this port."""
        # Of a variable that nobody reads SIPp asks that somebody says so.
        names = ",".join(dict.fromkeys(self.variables))
        counted = [f"<Global variables={quoteattr(','.join(self.counts))}/>"] if self.counts else []
        body = "\n".join(counted + self.steps + ([f"<Reference variables={quoteattr(names)}/>"] if names else []))
        # SIPp does not know that a bridge stands before it.
        body = body.replace("[transport]", transport.upper()).replace("[entry]", f"[local_ip]:{port}")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name={quoteattr(name)}>\n{body}\n</scenario>\n'

    def describe(self, direction="sendrecv", address="[media_ip]", codecs=("PCMA",), more=""):
        """The next description of this party; `more` are further lines of media."""
        self.version += 1
        line = f"a={direction}\n" if direction else ""
        mappings = "".join(f"a=rtpmap:{CODECS[codec]} {codec}/8000\n" for codec in codecs)
        return AUDIO.format(version=self.version, address=address, direction=line, events=self.events, mappings=mappings,
                            codecs=" ".join(str(CODECS[codec]) for codec in codecs)) + more

    def send(self, lines, sdp="", is_repeated=False, kind="application/sdp"):
        """A message, repeated until what comes next."""
        if self.is_compact:
            lines = [re.sub(r"^[\w-]+(?=:)", lambda name: COMPACT.get(name[0], name[0]), line) for line in lines]
        head = "\n".join(line for line in lines if line)
        kind = f"Content-Type: {kind}\n" if sdp else ""
        repeated = ' retrans="500"' if is_repeated else ""
        self.steps.append(f"<send{repeated}><![CDATA[\n{head}\n{kind}Content-Length: [len]\n\n{sdp}\n]]></send>")

    def answer_last(self, status="200 OK", *headers):
        """Answers what was heard last."""
        self.send([f"SIP/2.0 {status}", "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]",
                   *headers])

    def label(self):
        """A place that steps can lead to, which `here` then makes."""
        self.labels += 1
        return self.labels

    def here(self, label):
        """Where a label stands."""
        self.steps.append(f'<label id="{label}"/>')

    def when(self, expression, label):
        """Goes on at a label if this is found in what was heard last."""
        name = f"is{label}"
        last = self.steps[-1]
        assert last.startswith("<recv"), last
        find = f'<ereg regexp={quoteattr(expression)} search_in="msg" assign_to="{name}"/>'
        self.steps[-1] = last.replace("</action>", f"{find}</action>")
        self.steps.append(f'<nop next="{label}" test="{name}"/>')

    def count(self, name, most, label):
        """Counts how often all calls of the party have come here, and goes on at a label unless it was more often."""
        self.counts.append(name)
        self.steps.append(f'<nop><action><add assign_to="{name}" value="1"/><test assign_to="is{label}" variable="{name}" '
                          f'compare="less_than_equal" value="{most}"/></action></nop>')
        self.steps.append(f'<nop next="{label}" test="is{label}"/>')

    def go(self, label):
        """Goes on at a label."""
        self.steps.append(f'<nop next="{label}"/>')

    def broken(self):
        """Copies of this party, of which each expects one thing that does not come, and what that is."""
        chosen = "".join(step for step in self.steps if 'optional="true"' in step)
        done = set()
        for n, step in enumerate(self.steps):
            for find in re.findall(r'<ereg [^>]*assign_to="seen[^>]*/>', step):
                # What stands on several ways is expected on that which is taken.
                places = [n] if find not in chosen else [at for at, other in enumerate(self.steps) if find in other]
                if (find, *places) in done:
                    continue
                done.add((find, *places))
                told = re.search(r"regexp=(.*?) search_in", find)[1]
                wrong = find.replace(told, '"SIP"' if "inverse" in find else '"nobody says that"')
                party = copy.copy(self)
                party.steps = [other.replace(find, wrong, 1) if at in places else other
                               for at, other in enumerate(self.steps)]
                yield party, told

    def plays_keys(self, keys):
        """Sends them as telephone events, whose payload type SIPp always says is 96."""
        self.steps.append(f'<nop><action><exec play_dtmf={quoteattr(keys)}/></action></nop>')

    def pause(self, milliseconds):
        """Says nothing for a while."""
        self.steps.append(f'<pause milliseconds="{milliseconds}"/>')

    def hear(self, what, expected, saved=(), more="", within=None):
        """Waits for a message, for so many milliseconds at most. `expected` are expressions that must be found in it,
        or must not where "!" stands before one, `saved` are names and the expressions whose first group is kept
        under them."""
        finds = []
        if within:
            more += f' timeout="{within}"'
        for n, expression in enumerate(expected):
            if expression.startswith("!"):
                finds.append(self._find(expression[1:], [f"seen{n}"]).replace("check_it", "check_it_inverse"))
            else:
                finds.append(self._find(expression, [f"seen{n}"]))
        for name, expression in saved:
            finds.append(self._find(expression, [f"whole_{name}", name]))
        actions = f"<action>{''.join(finds)}</action>" if finds else ""
        self.steps.append(f"<recv {what}{more}>{actions}</recv>")

    def _find(self, expression, names):
        self.variables += names
        return (f'<ereg regexp={quoteattr(expression)} search_in="msg" check_it="true" '
                f'assign_to="{",".join(names)}"/>')


class Dialog:
    """One dialog of a party, which called or was called."""

    # SIPp writes the number of a call into it, so all its calls differ.
    def __init__(self, party, name="", number="+498999998[call_number]"):
        self.party, self.name, self.number, self.cseq, self.is_caller = party, name, number, 0, True
        self.call_id = f"{name}///[call_id]" if name else "[call_id]"
        self.contact = f"Contact: <sip:gw@[entry];transport=[transport]>\nAllow: {party.allow}"

    # As the caller.

    def begin(self, method, *headers, to, is_new=True):
        """A request outside of all dialogs other than INVITE, or one that claims to be within one."""
        self._calls(to)
        self.peer += "" if is_new else ";tag=gone"
        self.party.send(self._head(method, self.contact, *headers), is_repeated=True)

    def _calls(self, to):
        self.cseq += 1
        self.request_uri = f"sip:{to}@[sbc]"
        self.asked_at = len(self.party.steps)
        self.own = f"<sip:{self.number}@[local_ip]>;tag=[pid]c{self.name}[call_number]"
        self.peer = f"<{self.request_uri}>"
        self.target = self.request_uri

    def invite(self, *headers, to="[service]", sdp=None, answers=(), until=None, kind="application/sdp", hops=70):
        """Calls; `answers` are the numbers of provisionals that may come, `until` that of one which must."""
        self._calls(to)
        self.party.send(self._head("INVITE", self.contact, *headers, hops=hops),
                        self.party.describe() if sdp is None else sdp, is_repeated=True, kind=kind)
        for status in (100, *answers):
            if status != until:
                self.party.hear(f'response="{status}"', (), more=' optional="true"')
        if until:
            self.party.hear(f'response="{until}"', ())

    def cancels(self, *headers, status=200):
        """Takes its call, or the last offer of its own, back."""
        back = len(self.party.steps) - self.asked_at
        self.party.send([line for line in self._head("CANCEL", *headers, branch=f"[branch-{back}]")], is_repeated=True)
        self.party.hear(f'response="{status}"', ["CSeq:[ ]*[0-9]+ CANCEL"])

    def kept(self):
        """What an ACK needs of an INVITE that another one follows before its answer."""
        return {"target": self.target, "asked_at": self.asked_at, "cseq": self.cseq, "peer": self.peer}

    def refused(self, status, *expected, saved=(), of=None, then=None):
        """A final failure, and its ACK; `of` an INVITE that is not the last one, whose provisional comes with it."""
        to = f"{self.name}refused{self.cseq}"  # The ACK repeats its tag, which is none of the next call's.
        self.party.hear(f'response="{status}"', expected, [(to, value("To")), *saved])
        if then:
            self.party.hear(f'response="{then}"', ())
        now = self.kept()
        self.__dict__.update(of or {}, peer=f"[${to}]")
        self._refusal_acknowledged()
        self.__dict__.update(now)

    def answered(self, *expected, ack_sdp="", is_acked=True):
        """A 2xx that begins the dialog, and its ACK."""
        self._learn('response="200"', expected)
        if is_acked:
            self.acknowledges(ack_sdp)

    def acknowledges(self, sdp="", cseq=None):
        """The ACK of a 2xx."""
        self.party.send(self._head("ACK", cseq=cseq or self.cseq), sdp)

    def provisional(self, status, *expected, saved=()):
        """A provisional that begins the dialog."""
        self._learn(f'response="{status}"', expected, saved)

    def fork(self, name):
        """Another phone that the same INVITE has reached."""
        other = copy.copy(self)
        other.own = self.own.replace(f";tag=[pid]a{self.name}", f";tag=[pid]a{name}")
        other.contact = self.contact.replace("sip:gw@", f"sip:{name}@")
        return other

    def _learn(self, what, expected, saved=()):
        to, target = f"{self.name}to", f"{self.name}target"
        self.party.hear(what, expected, [(to, value("To")), (target, CONTACT),
                                         (f"{self.name}tag", tag("To")), *saved])
        self.peer, self.target = f"[${to}]", f"[${target}]"

    # As the called.

    def called(self, *expected):
        """The INVITE that begins the dialog."""
        self.is_caller = False
        name = self.name
        self.party.hear('request="INVITE"', expected, [
            (f"{name}from", value("From")), (f"{name}us", value("To")), (f"{name}via", value("Via")),
            (f"{name}cseq", value("CSeq")), (f"{name}target", CONTACT), (f"{name}tag", tag("From"))])
        self.target = f"[${name}target]"
        self.own, self.peer = f"[${name}us];tag=[pid]a{name}[call_number]", f"[${name}from]"

    def says(self, status, *headers, sdp="", repeated=False):
        """A response to the INVITE that began the dialog, whatever has come since."""
        name = self.name
        self.party.send([f"SIP/2.0 {status}", f"Via: [${name}via]", f"From: {self.peer}", f"To: {self.own}",
                         "Call-ID: [call_id]", f"CSeq: [${name}cseq]", self.contact if status < "3" else "", *headers],
                        sdp, repeated)

    def answers(self, *headers, sdp=None, status="200 OK"):
        """Answers, and waits for the ACK."""
        self.says(status, *headers, sdp=self.party.describe() if sdp is None else sdp, repeated=True)
        self.acknowledged()

    def acknowledged(self, *expected):
        """The ACK."""
        self.party.hear('request="ACK"', expected)

    # Within it.

    def asks(self, method, *headers, sdp="", status=200, expected=(), saved=(), within=None, kind="application/sdp",
             ack_sdp=""):
        """A request of this party and its answer; that to an INVITE is acknowledged."""
        self.requests(method, *headers, sdp=sdp, kind=kind)
        if method == "INVITE":
            self.party.hear('response="100"', (), more=' optional="true"')
        self.party.hear(f'response="{status}"', expected, saved, within=within)
        if method == "INVITE" and status < 300:
            self.party.send(self._head("ACK", cseq=self.cseq), ack_sdp)
        elif method == "INVITE":
            self._refusal_acknowledged()

    def refers(self, *headers, told):
        """A REFER that is accepted, and the first news."""
        self.requests("REFER", *headers)
        self.accepted(told)

    def accepted(self, told):
        """The 202 of a REFER and the first news, which may overtake it on a connection of its own."""
        overtaken, out = self.party.label(), self.party.label()
        key = f"{self.name}told{self.cseq}"
        self.hears("NOTIFY", *told, key=key, more=f' optional="true" next="{overtaken}"')
        self._learn('response="202"', ())
        self.hears("NOTIFY", *told, key=key)
        self.party.go(out)
        self.party.here(overtaken)
        self._learn('response="202"', ())
        self.party.here(out)
        self.replies(key, "200 OK")

    def requests(self, method, *headers, sdp="", kind="application/sdp"):
        """A request whose answer comes later."""
        self.cseq += 1
        self.asked_at = len(self.party.steps)
        self.party.send(self._head(method, self.contact, *headers), sdp, is_repeated=True, kind=kind)

    def presses(self, key):
        """Tells of a key in INFO."""
        self.cseq += 1
        self.party.send(self._head("INFO", self.contact), f"Signal={key}\nDuration=160\n", is_repeated=True,
                        kind="application/dtmf-relay")
        self.party.hear('response="200"', ())

    def asked(self, method, *headers, sdp="", status="200 OK", expected=(), saved=(), within=None):
        """A request of the peer's, and our answer to it."""
        self.party.hear(f'request="{method}"', expected, saved, within=within)
        self.responds(method, *headers, sdp=sdp, status=status)

    def responds(self, method, *headers, sdp="", status="200 OK"):
        """The answer to a request that was just heard."""
        self.party.send([f"SIP/2.0 {status}", "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]",
                         "[last_CSeq:]", self.contact, *headers], sdp, is_repeated=method == "INVITE")
        if method == "INVITE":
            self.acknowledged()

    def hears(self, method, *expected, key, within=None, more="", saved=()):
        """A request of the peer's that is answered later, by its key."""
        self.party.hear(f'request="{method}"', expected, [
            (f"{key}{name.lower().replace('-', '')}", value(name)) for name in KEPT] + list(saved), more, within)

    def replies(self, key, status, *headers, sdp="", repeated=False, is_target=True):
        """The answer to what was heard under this key."""
        kept = [f"{name}: [${key}{name.lower().replace('-', '')}]" for name in KEPT]
        self.party.send([f"SIP/2.0 {status}", *kept, self.contact if is_target and status < "3" else "", *headers],
                        sdp, repeated)

    def ends(self):
        """Hangs up."""
        self.asks("BYE")

    def ended(self):
        """The peer hangs up."""
        self.asked("BYE")

    def _refusal_acknowledged(self):
        # The ACK of a failure has the branch of its INVITE, which SIPp counts back in steps.
        back = len(self.party.steps) - self.asked_at
        self.party.send(self._head("ACK", cseq=self.cseq, branch=f"[branch-{back}]"))

    def _head(self, method, *headers, cseq=None, branch="[branch]", hops=70):
        return [f"{method} {self.target} SIP/2.0",
                f"Via: SIP/2.0/[transport] [entry];branch={branch};rport",
                f"From: {self.own}", f"To: {self.peer}", f"Call-ID: {self.call_id}",
                f"CSeq: {cseq or self.cseq} {method}", f"Max-Forwards: {hops}", *headers]
