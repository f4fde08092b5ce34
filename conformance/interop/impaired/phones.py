"""Two phones on one machine: phones.py ADDRESS PORT TO PORT TO PACKETS. Each sends so many packets of 10 ms of PCMA from its
port to the address and port behind it, in time, and takes what comes."""

import random
import socket
import struct
import sys
import threading
import time

PACE = 0.01


def speak(address, port, to, packets):
    chance = random.Random(port)
    ssrc, first, timestamp = chance.getrandbits(32), chance.getrandbits(16), chance.getrandbits(32)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind((address, port))
        began = time.monotonic()
        for number in range(packets):
            time.sleep(max(0, began + number * PACE - time.monotonic()))
            head = struct.pack("!BBHII", 0x80, 8, (first + number) & 0xFFFF, (timestamp + number * 80) & 0xFFFFFFFF, ssrc)
            line.sendto(head + bytes((number * 7 + n) & 0x7F for n in range(80)), to)


def main():
    address, *lines, packets = sys.argv[1:]
    threads = []
    for port, to in (lines[:2], lines[2:]):
        host, target = to.rsplit(":", 1)
        threads.append(threading.Thread(target=speak, args=(address, int(port), (host, int(target)), int(packets))))
        threads[-1].start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
