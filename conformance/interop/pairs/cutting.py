"""A bridge to TLS whose connections do not last: each is closed once an ACK has gone over it. Whoever has something to
say then needs another one; the program behind it does not notice."""

import asyncio
import contextlib
import re
import ssl

from bridge import Background

PAUSE = 0.02  # What has been sent arrives meanwhile.


class Cutting(Background):
    """Stands for a party at `secured`, takes its connection at `plain`, else makes one to `party`, and goes on to `to`."""

    def __init__(self, secured, plain, party, to, server, client, name):
        self.places = (secured, server), (plain, None)
        self.party, self.to, self.client, self.name = party, to, client, name
        self.cuts = 0
        self._inner = self._outer = None
        self._tasks = set()
        super().__init__()

    def _servers(self):
        (secured, server), (plain, _) = self.places
        return [asyncio.start_server(self._from_outside, *secured, ssl=server),
                asyncio.start_server(self._from_inside, *plain)]

    def _spawn(self, work):
        self._tasks.add(self._loop.create_task(work))

    async def _from_inside(self, reader, writer):
        """What the party says goes over the connection that there is, or a new one."""
        self._inner = writer
        with contextlib.suppress(OSError, ssl.SSLError):
            while octets := await reader.read(65536):
                if not self._outer or self._outer.is_closing():
                    source = (self.party[0], 0)
                    outside = await asyncio.open_connection(*self.to, ssl=self.client, server_hostname=self.name,
                                                            local_addr=source)
                    self._outer = outside[1]
                    self._spawn(self._from_outside(*outside))
                await self._pass(octets, self._outer, self._outer)
        writer.close()

    async def _from_outside(self, reader, writer):
        """What comes over any connection reaches the party."""
        self._outer = writer
        with contextlib.suppress(OSError, ssl.SSLError):
            while octets := await reader.read(65536):
                if not self._inner or self._inner.is_closing():
                    inside = await asyncio.open_connection(*self.party)
                    self._inner = inside[1]
                    self._spawn(self._from_inside(*inside))
                await self._pass(octets, self._inner, writer)
        writer.close()

    async def _pass(self, octets, on, outer):
        on.write(octets)
        await on.drain()
        if re.search(rb"(^|\n)ACK sip:", octets):
            await asyncio.sleep(PAUSE)
            self.cuts += 1
            outer.close()
