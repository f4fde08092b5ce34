"""A phone that registers, as its user agent would."""

import hashlib
import random
import re
import socket


def register(registrar, user, contact, seconds=300):
    """Registers a contact with a digest of the password that the registrar here has. Says the last status."""
    local = random.SystemRandom().randrange(1 << 32)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(5)
        line.connect(registrar)
        address = "%s:%d" % line.getsockname()
        uri = "sip:%s:%d" % registrar

        def ask(sequence, credentials):
            line.send(f"REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{local}{sequence};rport\r\n"
                      f"Max-Forwards: 70\r\nFrom: <sip:{user}@telco.example>;tag={local}\r\n"
                      f"To: <sip:{user}@telco.example>\r\nCall-ID: {local}\r\nCSeq: {sequence} REGISTER\r\n"
                      f"Contact: <sip:{user}@{contact[0]}:{contact[1]}>;expires={seconds}\r\n{credentials}"
                      "Content-Length: 0\r\n\r\n".encode())
            return line.recv(65536).decode()

        challenge = ask(1, "")
        if " 401 " not in challenge.split("\r\n")[0]:
            return int(challenge.split(" ")[1])
        realm, nonce = (re.search(f'{name}="([^"]*)"', challenge)[1] for name in ("realm", "nonce"))

        def md5(text):
            return hashlib.md5(text.encode()).hexdigest()

        proof = md5(f"{user}:{realm}:open sesame") + f":{nonce}:" + md5(f"REGISTER:{uri}")
        answer = ask(2, f'Authorization: Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
                        f'response="{md5(proof)}"\r\n')
        return int(answer.split(" ")[1])
