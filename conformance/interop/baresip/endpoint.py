"""A baresip of its own: configuration, process, commands and events (module ctrl_tcp)."""

import collections
import glob
import itertools
import json
import os
import socket
import subprocess
import time

import audio
from checks import end, wait_until

MODULES = """
module_path {path}
module g711.so
module srtp.so
module aufile.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
"""

MODULE_PATHS = "/usr/lib/baresip/modules", "/usr/lib/*/baresip/modules", "/usr/local/lib/baresip/modules"

# What baresip 1.0 has no setting for: OpenSSL verifies servers ("Peer") and clients ("Require").
OPENSSL = """
openssl_conf = openssl
[openssl]
ssl_conf = defaults
[defaults]
system_default = verify
[verify]
VerifyMode = Peer,Require
"""


def module_path():
    """Where the package has put the modules."""
    for pattern in MODULE_PATHS:
        for path in glob.glob(pattern):
            return path
    raise SystemExit("no baresip modules: apt-get install baresip")


def free_ports(count):
    """The first of so many ports of 127.0.0.1 in a row that nobody uses, as UDP or as TCP."""
    while True:
        sockets = []
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                for n in range(count):
                    sockets.append(socket.socket(socket.AF_INET, kind))
                    first = sockets[0].getsockname()[1]
                    sockets[-1].bind(("127.0.0.1", first + n if first else 0))
            return first
        except (OSError, OverflowError):
            continue
        finally:
            for each in sockets:
                each.close()


class Baresip:
    """One user agent at 127.0.0.1: the kernel chooses that source for its media in any case."""

    def __init__(self, folder, number, transport, certificate=None, authority=None, names=None,
                 options="", port=None, preload=None, keylog=None, account=None, modules=(), variables=None):
        self.number = number
        # Another program may take a port that was free a moment ago.
        for is_last in (False,) * 4 + (True,):
            self.folder = folder / f"baresip-{number.lstrip('+')}-{time.monotonic_ns()}"
            (self.folder / "audio").mkdir(parents=True)
            # baresip takes the next port for TLS.
            self.port = port or free_ports(2)
            self.tls_port = self.port + 1
            self.control_port = free_ports(1)
            self.voice = self.folder / "voice.wav"
            audio.write_voice(self.voice, 30, seed=number)
            own_port = self.tls_port if transport == "tls" else self.port
            own = account or f"<sip:{number}@127.0.0.1:{own_port};transport={transport}>;regint=0"
            (self.folder / "accounts").write_text(
                f"{own};audio_codecs=pcma,pcmu;call_transfer=yes{options}\n")
            self._start(certificate, authority, names, preload, keylog, modules, variables)
            if self.control:
                return
            self.stop()
            said = self.log.read_text(errors="replace")
            if is_last or "Address already in use" not in said:
                raise SystemExit("baresip does not start:\n" + said)

    def _start(self, certificate, authority, names, preload, keylog, modules, variables):
        (self.folder / "contacts").write_text("")
        (self.folder / "config").write_text(
            MODULES.format(path=module_path())
            + "".join(f"module {module}\n" for module in modules)
            + f"sip_listen 127.0.0.1:{self.port}\nnet_interface 127.0.0.1\n"
            + (f"sip_certificate {certificate}\n" if certificate else "")
            + (f"sip_cafile {authority}\nsip_verify_server yes\n" if authority else "")
            + (f"dns_server {names}\n" if names else "")
            + f"audio_source aufile,{self.voice}\naudio_player none,\naudio_alert none,\n"
            f"ausrc_srate 8000\nausrc_channels 1\nauplay_srate 8000\nauplay_channels 1\n"
            f"jitter_buffer_delay 5-20\nsnd_path {self.folder}/audio\n"
            f"call_local_timeout 30\nctrl_tcp_listen 127.0.0.1:{self.control_port}\n")
        environment = dict(os.environ, LC_ALL="C") | (variables or {})
        if authority:
            (self.folder / "openssl.cnf").write_text(OPENSSL)
            environment["OPENSSL_CONF"] = str(self.folder / "openssl.cnf")
        if preload:
            environment.update(LD_PRELOAD=str(preload), SSLKEYLOGFILE=str(keylog))
        self.log = self.folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["baresip", "-f", str(self.folder)], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env=environment)
        self.events = collections.deque()
        self.tokens = itertools.count()
        self.unread = b""
        control = wait_until(lambda: self._connect() or self.process.poll() is not None)
        self.control = None if control is True else control

    def _connect(self):
        try:
            return socket.create_connection(("127.0.0.1", self.control_port), timeout=5)
        except OSError:
            return None

    def command(self, command, params=None):
        """Gives a command; says what baresip printed for it."""
        token = str(next(self.tokens))
        message = {"command": command, "token": token} | ({"params": params} if params else {})
        text = json.dumps(message).encode()
        self.control.sendall(b"%d:%s," % (len(text), text))
        deadline = time.monotonic() + 5
        while (message := self._next(deadline)) is not None:
            if message.get("token") == token:
                return message["data"]
            self.events.append(message)
        raise SystemExit(f"baresip does not answer \"{command}\"")

    def wait(self, kind, patience=10, param=None):
        """The next event of a kind, and perhaps with a parameter; those before it are forgotten.
        None if there is none in time."""
        deadline = time.monotonic() + patience
        while (event := self._event(deadline)) is not None:
            if event.get("type") == kind and param in (None, event.get("param")):
                return event
        return None

    def _event(self, deadline):
        return self.events.popleft() if self.events else self._next(deadline)

    def _next(self, deadline):
        """The next message of the control connection: a netstring with JSON in it."""
        while True:
            length, colon, rest = self.unread.partition(b":")
            if colon and len(rest) > int(length):
                self.unread = rest[int(length) + 1:]
                return json.loads(rest[:int(length)])
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.control.settimeout(left)
            try:
                received = self.control.recv(65536)
            except TimeoutError:
                return None
            if not received:
                raise SystemExit("baresip ended:\n" + self.log.read_text(errors="replace")[-2000:])
            self.unread += received

    def recording(self, kind="dec"):
        """Samples that were received ("dec") or sent ("enc") in the present or last call."""
        files = sorted((self.folder / "audio").glob(f"*-{kind}.wav"))
        return audio.read(files[-1]) if files else []

    def forget_recordings(self):
        for file in (self.folder / "audio").iterdir():
            file.unlink()

    def stop(self):
        end(self.process)
