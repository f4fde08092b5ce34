"""A wire between two links of this namespace that loses, repeats and delays UDP datagrams of one direction, for kernels
without netem: wire.py FROM TO LOST REPEATED LATE DELAY, shares of one and seconds. All else passes, both ways."""

import heapq
import random
import select
import socket
import sys
import time

IPV4, UDP = b"\x08\x00", 17


def is_udp(frame):
    return frame[12:14] == IPV4 and frame[23] == UDP


def on_way(frame):
    """As it goes on: what a virtual link leaves to hardware is not in a frame, so datagrams go without a checksum (RFC 768)."""
    if not is_udp(frame):
        return frame
    at = 14 + (frame[14] & 15) * 4 + 6
    return frame[:at] + b"\0\0" + frame[at + 2:]


def main():
    names, (lost, repeated, late, delay) = sys.argv[1:3], map(float, sys.argv[3:])
    ends = []
    for name in names:
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        end.bind((name, 0))
        ends.append(end)
    chance, waiting, count = random.Random(11), [], 0
    print("ready", flush=True)
    while True:
        patience = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(ends, [], [], patience)[0]:
            frame, (_, _, kind, *_) = end.recvfrom(65536)
            if kind == socket.PACKET_OUTGOING:
                continue
            now, copies = time.monotonic(), [0]
            if end is ends[0] and is_udp(frame):
                fate = chance.random()
                if fate < lost:
                    copies = []
                elif fate < lost + repeated:
                    copies = [0, 0.001]
                elif fate < lost + repeated + late:
                    copies = [delay]
            for after in copies:
                count += 1
                heapq.heappush(waiting, (now + after, count, ends[end is ends[0]], on_way(frame)))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to, frame = heapq.heappop(waiting)
            to.send(frame)


if __name__ == "__main__":
    main()
