"""The two ends of a call through a relay: aiortc, which is a browser to it, and a phone with plain RTP."""

import asyncio
import fractions
import math
import re
import struct
import time

import aioice
import aioice.ice
import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.rtp import RtcpSrPacket

RATE, FRAME = 8000, 160
PACKET_S = FRAME / RATE
PCMA = 8


def to_alaw(sample):
    """One octet of G.711."""
    mask = 0xD5 if sample >= 0 else 0x55
    size = min(abs(sample) >> 4, 2047) if sample >= 0 else min((-sample - 1) >> 4, 2047)
    segment = max(size.bit_length() - 4, 1) if size >= 32 else size >> 4
    low = (size >> (segment - 1 if segment > 1 else 0)) & 15
    return ((segment << 4) | low) ^ mask


def from_alaw(octet):
    """One sample of 16 bits."""
    octet ^= 0x55
    segment, low = octet >> 4 & 7, octet & 15
    size = (low << 4) + 8 if segment == 0 else ((low << 4) + 0x108) << (segment - 1)
    return size if octet & 0x80 else -size


DECODED = [from_alaw(octet) for octet in range(256)]


def tone(hertz, first, count):
    """Samples of a tone, from its `first` one on."""
    return [round(8000 * math.sin(2 * math.pi * hertz * (first + n) / RATE)) for n in range(count)]


def share(samples, hertz):
    """Which part of the power of these samples is at a frequency: 1 of a pure tone, 0 of silence."""
    power = sum(own * own for own in samples) / max(1, len(samples))
    if power < 1e4:
        return 0.0
    wave = 2 * math.pi * hertz / RATE
    cosine = sum(own * math.cos(wave * n) for n, own in enumerate(samples))
    sine = sum(own * math.sin(wave * n) for n, own in enumerate(samples))
    return 2 * (cosine * cosine + sine * sine) / len(samples) ** 2 / power


async def until(condition, patience=10.0, pause=0.02):
    """The first true value of `condition()`, or its last value."""
    deadline = asyncio.get_running_loop().time() + patience
    while not (value := condition()) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(pause)
    return value


class Phone(asyncio.DatagramProtocol):
    """Plain RTP with a tone of its own, and RTCP that it only counts."""

    def __init__(self, address, hertz):
        self.address, self.hertz = address, hertz
        self.sent = self.left_out = 0
        self.heard, self.numbers, self.ssrcs = [], [], set()
        self.version = 1
        self.talking = None

    @classmethod
    async def open(cls, address, hertz):
        phone = cls(address, hertz)
        loop = asyncio.get_running_loop()
        phone.transport, _ = await loop.create_datagram_endpoint(lambda: phone, local_addr=(address, 0))
        phone.port = phone.transport.get_extra_info("sockname")[1]
        return phone

    def datagram_received(self, data, _):
        if data[1] & 0x7F == PCMA:
            number, _, ssrc = struct.unpack("!HII", data[2:12])
            self.numbers.append(number)
            self.ssrcs.add(ssrc)
            self.heard += [DECODED[octet] for octet in data[12:]]

    def description(self, direction="sendrecv"):
        """What it offers and answers."""
        kind = "IP6" if ":" in self.address else "IP4"
        self.version += 1
        return (f"v=0\r\no=phone 1 {self.version} IN {kind} {self.address}\r\ns=-\r\nc=IN {kind} {self.address}\r\n"
                f"t=0 0\r\nm=audio {self.port} RTP/AVP {PCMA}\r\na=rtpmap:{PCMA} PCMA/8000\r\na={direction}\r\n")

    def talk(self, description, leave_out=0):
        """Sends to where a description says, and every so many packets leaves one out."""
        port = int(re.search(r"^m=audio (\d+) ", description, re.M)[1])
        host = re.search(r"^c=IN IP[46] (\S+)", description, re.M)[1]
        self.talking = asyncio.ensure_future(self.run((host, port), leave_out))

    async def run(self, to, leave_out):
        loop = asyncio.get_running_loop()
        due = loop.time()
        first = self.sent + self.left_out
        number = first
        left_out = 0
        while True:
            if leave_out and number > first and number % leave_out == 0:
                left_out += 1
            else:
                # That one is missing is known by the next.
                self.left_out += left_out
                left_out = 0
                payload = bytes(map(to_alaw, tone(self.hertz, number * FRAME, FRAME)))
                header = struct.pack("!BBHII", 0x80, PCMA, number & 0xFFFF, number * FRAME, 0x5EED)
                self.transport.sendto(header + payload, to)
                self.sent += 1
            number += 1
            due += PACKET_S
            await asyncio.sleep(max(0, due - loop.time()))

    async def hush(self):
        if self.talking:
            self.talking.cancel()
            await asyncio.gather(self.talking, return_exceptions=True)
            self.talking = None

    async def close(self):
        await self.hush()
        self.transport.close()


class Tone(MediaStreamTrack):
    """What a browser's microphone hears, while it is on."""

    kind = "audio"

    def __init__(self, hertz):
        super().__init__()
        self.hertz, self.count, self.due = hertz, 0, None
        self.is_on = asyncio.Event()

    async def recv(self):
        loop = asyncio.get_running_loop()
        if not self.is_on.is_set():
            self.due = None
            await self.is_on.wait()
        self.due = loop.time() if self.due is None else self.due + PACKET_S
        await asyncio.sleep(max(0, self.due - loop.time()))
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        samples = tone(self.hertz, self.count * FRAME, FRAME)
        frame.planes[0].update(struct.pack(f"<{FRAME}h", *samples))
        frame.pts, frame.sample_rate, frame.time_base = self.count * FRAME, RATE, fractions.Fraction(1, RATE)
        self.count += 1
        return frame


class RoundTrips:
    """How long the way to the relay and back takes, by the relay's reports on a sender of aiortc, in seconds.

    aiortc's own figure is of the time when its last report left, and reports without a packet of media between
    them look alike to it: in a process that was not let run for a while, a way back ends before it began."""

    def __init__(self, sender):
        self.sent, self.seconds = {}, []
        self.tell, self.hear = sender._send_rtcp, sender._handle_rtcp_packet
        self.ssrc = sender._ssrc
        sender._send_rtcp, sender._handle_rtcp_packet = self.telling, self.hearing

    async def telling(self, packets):
        for info in (packet.sender_info for packet in packets if isinstance(packet, RtcpSrPacket)):
            self.sent.setdefault(info.ntp_timestamp >> 16 & 0xFFFFFFFF, time.monotonic())
        await self.tell(packets)

    async def hearing(self, packet):
        now = time.monotonic()
        for report in getattr(packet, "reports", []):
            if report.ssrc == self.ssrc and report.lsr in self.sent:
                self.seconds.append(now - self.sent[report.lsr] - report.dlsr / 65536)
        await self.hear(packet)


class Browser:
    """aiortc with full ICE, DTLS-SRTP and one port for RTP and RTCP.

    Its datagrams go through our hands, so that some can be lost, and so that its agent can begin anew, which
    aiortc itself never does."""

    def __init__(self, address, hertz):
        # aioice leaves loopback out.
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [address]
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.track = Tone(hertz)
        self.sender = self.peer.addTrack(self.track)
        (self.transceiver,) = self.peer.getTransceivers()
        capabilities = RTCRtpSender.getCapabilities("audio").codecs
        self.transceiver.setCodecPreferences([own for own in capabilities if own.mimeType == "audio/PCMA"])
        self.dtls = self.sender.transport
        self.ice = self.dtls.transport
        self.heard, self.lose, self.lost = [], 0, 0
        self.round_trips = RoundTrips(self.sender)
        self.listening = None
        self.arrived = asyncio.Queue()
        # How many packets of media each connection has brought.
        self.brought = {}
        self.pumps = [asyncio.ensure_future(self.pump(self.ice._connection))]
        self.connection = self.ice._connection
        self.ice._recv, self.ice._send = self.receive, self.send

    async def pump(self, connection):
        """Brings what a connection receives."""
        while True:
            try:
                data = await connection.recv()
            except ConnectionError:
                # It is not connected yet, or not any more.
                if connection._closing:
                    await self.arrived.put(None if connection is self.connection else b"")
                    return
                await asyncio.sleep(0.005)
                continue
            if 127 < data[0] < 192 and not 192 <= data[1] <= 223:
                self.brought[connection] = self.brought.get(connection, 0) + 1
            await self.arrived.put(data)

    async def receive(self):
        while (data := await self.arrived.get()) == b"":
            pass
        if data is None:
            raise ConnectionError
        return data

    async def send(self, data):
        if 127 < data[0] < 192 and not 192 <= data[1] <= 223 and self.lose:
            self.lose -= 1
            if self.lose % 10 == 5:
                self.lost += 1
                return
        await self.connection.send(data)

    async def offer(self):
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return self.peer.localDescription.sdp

    async def answer(self, offer):
        await self.peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        self.listen()
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        return self.peer.localDescription.sdp

    async def answered(self, answer):
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        self.listen()

    def listen(self):
        if self.listening is None:
            self.listening = asyncio.ensure_future(self.hear(self.transceiver.receiver.track))

    async def hear(self, track):
        while True:
            frame = await track.recv()
            self.heard += struct.unpack(f"<{frame.samples}h", bytes(frame.planes[0])[:2 * frame.samples])

    @property
    def state(self):
        return self.peer.connectionState

    async def connected(self, patience=15.0):
        await until(lambda: self.state in ("connected", "failed", "closed"), patience)
        return self.state == "connected"

    async def stats(self):
        """What it counts, by type."""
        reports = {**await self.sender.getStats(), **await self.transceiver.receiver.getStats()}
        return {own.type: own for own in reports.values()}

    async def renewed(self):
        """A new agent beside the one in use, and an offer that tells of it."""
        agent = aioice.Connection(ice_controlling=True, components=1)
        await agent.gather_candidates()
        text = self.peer.localDescription.sdp
        own = agent.local_candidates[0]
        text = re.sub(r"a=candidate:.*\r\n", "", text)
        text = re.sub(r"a=ice-ufrag:.*\r\n", f"a=ice-ufrag:{agent.local_username}\r\na=candidate:{own.to_sdp()}\r\n", text)
        text = re.sub(r"a=ice-pwd:.*", f"a=ice-pwd:{agent.local_password}", text)
        text = re.sub(r"^m=audio \d+", f"m=audio {own.port}", text, flags=re.M)
        return agent, re.sub(r"a=setup:.*", "a=setup:actpass", text)

    async def restart(self, agent, answer):
        """Lets a new agent find its way, and goes that way."""
        agent.remote_is_lite = True
        agent.remote_username = re.search(r"a=ice-ufrag:(\S+)", answer)[1]
        agent.remote_password = re.search(r"a=ice-pwd:(\S+)", answer)[1]
        for line in re.findall(r"a=candidate:(.*?)\r\n", answer):
            await agent.add_remote_candidate(aioice.Candidate.from_sdp(line))
        await agent.add_remote_candidate(None)
        await agent.connect()
        self.pumps.append(asyncio.ensure_future(self.pump(agent)))
        before, self.connection = self.connection, agent
        # It has no consent to ask for any more.
        before._query_consent_task.cancel()
        return before

    async def vanish(self):
        """Is gone without a word: no checks, no media."""
        self.track.is_on.clear()
        await self.connection.close()

    async def close(self):
        tasks = [*self.pumps, *([self.listening] if self.listening else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.arrived.put(None)
        if self.connection is not self.ice._connection:
            await self.connection.close()
        await self.peer.close()
