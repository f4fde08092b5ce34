"""TLS on one side, TCP on the other: a program without TLS talks through it."""

import asyncio
import contextlib
import ssl
import threading


class Background:
    """Servers in a thread of their own, as long as somebody is within `with`."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(self._trouble)
        listening = self._loop.run_until_complete(asyncio.gather(*self._servers()))
        self._ready.set()
        self._loop.run_forever()
        for each in listening:
            each.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._over()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _servers(self):
        """What listens."""
        raise NotImplementedError

    def _trouble(self, _, context):
        """Something failed that nobody waits for."""

    def _over(self):
        """Nothing is served any more."""


class Bridge(Background):
    """Every connection to `listen` is continued to `to`; TLS is spoken where a context is given."""

    def __init__(self, listen, to, server=None, client=None, name=None, source=None):
        self.listen, self.to = listen, to
        self.server, self.client, self.name, self.source = server, client, name, source
        self.handshakes = self.refused = 0
        self.versions = set()
        self._writers = []
        super().__init__()

    def _servers(self):
        return [asyncio.start_server(self._connected, *self.listen, ssl=self.server)]

    def _over(self):
        for writer in self._writers:
            writer.transport.abort()

    def _trouble(self, _, context):
        # A client that does not finish its handshake never reaches `_connected`.
        self.refused += isinstance(context.get("exception"), (ssl.SSLError, ConnectionError))

    async def _connected(self, reader, writer):
        source = (self.source, 0) if self.source else None
        try:
            onward = await asyncio.open_connection(*self.to, ssl=self.client, server_hostname=self.name,
                                                   local_addr=source)
        except (ssl.SSLError, OSError):
            self.refused += 1
            writer.close()
            return
        self._writers += [writer, onward[1]]
        secured = writer if self.server else onward[1]
        self.handshakes += 1
        self.versions.add(secured.get_extra_info("ssl_object").version())
        await asyncio.gather(self._pump(reader, onward[1]), self._pump(onward[0], writer))

    @staticmethod
    async def _pump(reader, writer):
        with contextlib.suppress(OSError, ssl.SSLError):
            while octets := await reader.read(65536):
                writer.write(octets)
                await writer.drain()
        with contextlib.suppress(OSError, ssl.SSLError, RuntimeError):
            writer.close()


def context(authority, certificate, key, is_server):
    """Trusts the authority, shows the certificate, and wants one of the other side."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(authority)
    if certificate:
        made.load_cert_chain(certificate, key)
    if is_server:
        made.verify_mode = ssl.CERT_REQUIRED
    return made
