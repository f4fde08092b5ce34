"""A name server that knows the names of the pairs."""

import socket
import struct
import threading

A, SRV = 1, 33


def written(name):
    """A name as messages write it."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class Names:
    """Answers on a port of its own until the end of its block. `records` has, by name and type, what stands in the
    answers: addresses, or priority, weight, port and target. It can be filled later."""

    def __init__(self, address):
        self.records = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self.at = "%s:%d" % self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        # A datagram of our own wakes it up.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())
        self._thread.join(10)
        self._socket.close()

    def _serve(self):
        while True:
            query, client = self._socket.recvfrom(4096)
            if not query:
                return
            self._socket.sendto(self._answer(query), client)

    def _answer(self, query):
        at, labels = 12, []
        while length := query[at]:
            labels.append(query[at + 1:at + 1 + length].decode().lower())
            at += 1 + length
        question = query[12:at + 5]
        kind, _ = struct.unpack("!HH", question[-4:])
        found = self.records.get((".".join(labels), kind), [])
        head = query[:2] + struct.pack("!HHHHH", 0x8580, 1, len(found), 0, 0)
        return head + question + b"".join(self._record(kind, data) for data in found)

    @staticmethod
    def _record(kind, data):
        if kind == A:
            octets = socket.inet_aton(data)
        else:
            priority, weight, port, target = data
            octets = struct.pack("!HHH", priority, weight, port) + written(target)
        # The name is that of the question; it holds for a minute.
        return struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(octets)) + octets
