"""A machine whose first process is systemd, in namespaces made for it: nothing of the host changes."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from checks import end, wait_until

HERE = pathlib.Path(__file__).resolve().parent
SYSTEMD = "/lib/systemd/systemd"


def missing():
    """What this host lacks to be one, in words; empty if nothing."""
    needed = [name for name in ("unshare", "nsenter", "systemctl", "pivot_root") if not shutil.which(name)]
    if os.geteuid() != 0 or needed or not pathlib.Path(SYSTEMD).exists():
        return "root, systemd and util-linux"
    return ""


class Machine:
    """Namespaces with systemd as the first process; gone at the end of the block."""

    def __init__(self, lower, *prepare):
        """`lower` and the command `prepare` as the script `machine` says it."""
        self.folder = tempfile.TemporaryDirectory(prefix="causeway-machine-")
        command = ["unshare", "--mount", "--pid", "--fork", "--cgroup", "--ipc", "--uts", "--net",
                   "--kill-child", HERE / "machine", self.folder.name, lower, *prepare]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, start_new_session=True)
        self.first = None

    def __enter__(self):
        # Our unit is not among what it starts: whether it comes up depends on the host alone.
        wait_until(lambda: self.process.poll() is not None or self.is_ready(), 60, pause=0.1)
        return self

    def __exit__(self, *_):
        # The namespace's first process takes all others with it, and the last of them its mounts.
        end(self.process)
        self.folder.cleanup()

    def is_ready(self):
        """Whether systemd has started what it starts; finds its process."""
        if self.process.poll() is not None:
            return False
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.first = next(iter(children.read_text().split()), None)
        if not self.first:
            return False
        if pathlib.Path(f"/proc/{self.first}/comm").read_text().strip() != "systemd":
            return False
        return self.run("systemctl", "is-active", "trial.target")[0] == 0

    def told(self):
        """What was said on the way up."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def run(self, *command, text=None, patience=60):
        """Runs a command in there: exit code, output and errors together."""
        enter = ["nsenter", "-t", self.first, "-m", "-p", "-n", "-u", "-i", "-C", "--wd=/"]
        done = subprocess.run([*enter, *command], input=text, text=True, timeout=patience,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def write(self, path, text, owner="root:root", mode="644"):
        """Writes a file in there."""
        self.run("tee", path, text=text)
        self.run("chown", owner, path)
        self.run("chmod", mode, path)

    def show(self, name, unit="causeway"):
        """A property of a unit."""
        return self.run("systemctl", "show", unit, "--value", "-p", name)[1].strip()

    def journal(self, unit="causeway"):
        """What a unit has logged."""
        return self.run("journalctl", "-u", unit, "-o", "cat", "--no-pager")[1]

    def logs(self, text):
        """Whether the journal has it, or gets it: what is logged is written there a little later."""
        return wait_until(lambda: text in self.journal(), pause=0.1)
