"""A second of audio for SIPp's player."""

import struct

PACKETS = 50  # One second of G.711 in packets of 20 ms.


def write_pcap(path):
    """One second of a PCMA tone as SIPp's player wants it: Ethernet, IPv4, UDP, RTP."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for n in range(PACKETS):
            payload = bytes((0xD5 ^ (17 * (n + i) & 0x7F)) for i in range(160))
            rtp = struct.pack("!BBHII", 0x80, 8, 1000 + n, 160 * n, 0x12345678) + payload
            udp = struct.pack("!HHHH", 4000, 4000, 8 + len(rtp), 0) + rtp
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), n, 0, 64, 17, 0,
                             b"\x7f\0\0\1", b"\x7f\0\0\1") + udp
            frame = b"\0" * 12 + b"\x08\0" + ip
            out.write(struct.pack("<IIII", 0, n * 20_000, len(frame), len(frame)) + frame)
