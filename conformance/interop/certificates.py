"""A throw-away CA and its certificates, by the `openssl` command."""

import shutil
import subprocess

EXTENSIONS = """
[req]
distinguished_name = nothing
prompt = no
[nothing]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[peer]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = $ENV::NAMES
"""


class Authority:
    """A CA whose files are in `folder`."""

    def __init__(self, folder, name):
        if not shutil.which("openssl"):
            raise SystemExit("no `openssl` command: apt-get install openssl")
        self.folder = folder
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        self._make(name, "authority", "DNS:unused.example.com", self.certificate, self.key, [])

    def issue(self, name, *dns_names):
        """A certificate for these names, or addresses. Says the files of certificate, key, and both in one."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        names = ",".join(f"{'IP' if each[0].isdigit() else 'DNS'}:{each}" for each in dns_names)
        signer = ["-CA", str(self.certificate), "-CAkey", str(self.key)]
        self._make(dns_names[0], "peer", names, certificate, key, signer)
        both = self.folder / f"{name}-both.pem"
        both.write_text(certificate.read_text() + key.read_text())
        return certificate, key, both

    def _make(self, subject, kind, names, certificate, key, signer):
        extensions = self.folder / "extensions.cnf"
        extensions.write_text(EXTENSIONS)
        command = ["openssl", "req", "-x509", "-config", str(extensions), "-extensions", kind,
                   "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", f"/CN={subject}",
                   "-keyout", str(key), "-out", str(certificate), *signer]
        done = subprocess.run(command, env={"NAMES": names, "PATH": "/usr/bin:/bin"}, text=True,
                              capture_output=True, check=False)
        if done.returncode != 0:
            raise SystemExit("openssl: " + done.stderr)
        key.chmod(0o600)
