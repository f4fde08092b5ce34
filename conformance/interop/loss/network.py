"""Three network namespaces, the daemon's and one for each side, whose links lose packets.

The loss is netem's where the kernel has it, else the statistic match of iptables where packets come in."""

import re
import subprocess

PERCENT = 5
PORT = 5060
LINK = "outside"  # As a peer calls its link.
# Address of the daemon and network of the peers on each side.
SIDES = {"left": ("192.0.2.1", "192.0.2."), "right": ("198.51.100.1", "198.51.100.")}
HOSTS = range(10, 40)  # Of the peers on either side.


def address(side, host=HOSTS[0]):
    """Of a peer on one side."""
    return f"{SIDES[side][1]}{host}"


def ip(*arguments):
    """Does something to namespaces, links and addresses."""
    subprocess.run(["ip", *arguments], check=True)


class Network:
    """Made at the beginning of a block and gone at its end."""

    def __init__(self, name):
        self.own = f"{name}s"
        self.peers = {side: f"{name}{side[0]}" for side in SIDES}

    def ends(self):
        """Every end of a link: namespace and name."""
        return [(self.own, side) for side in SIDES] + [(space, LINK) for space in self.peers.values()]

    def __enter__(self):
        try:
            self.make()
        except subprocess.CalledProcessError:
            self.__exit__()
            raise
        return self

    def make(self):
        """Makes the namespaces and their links."""
        for space in (self.own, *self.peers.values()):
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
        for side, (ours, _) in SIDES.items():
            space = self.peers[side]
            ip("link", "add", LINK, "netns", space, "type", "veth", "peer", "name", side, "netns", self.own)
            theirs = [address(side, host) for host in HOSTS]
            for where, link, addresses in ((self.own, side, [ours]), (space, LINK, theirs)):
                for each in addresses:
                    ip("-n", where, "address", "add", f"{each}/24", "dev", link)
                ip("-n", where, "link", "set", link, "up")

    def __exit__(self, *_):
        for space in (self.own, *self.peers.values()):
            subprocess.run(["ip", "netns", "del", space], check=False)

    def lose(self):
        """Loses packets from now on. Says by what."""
        done = [subprocess.run(["tc", "-n", space, "qdisc", "add", "dev", link, "root", "netem", "loss",
                                f"{PERCENT}%"], capture_output=True, check=False).returncode
                for space, link in self.ends()]
        if not any(done):
            return "netem"
        for space, link in self.ends():
            # The first only counts them all.
            self.inside(space, "iptables", "-A", "INPUT", "-i", link)
            self.inside(space, "iptables", "-A", "INPUT", "-i", link, "-m", "statistic", "--mode", "random",
                        "--probability", str(PERCENT / 100), "-j", "DROP")
        return "iptables"

    def lost(self, by):
        """Packets that have come to the ends so far, and how many of them were lost."""
        sent = lost = 0
        for space, link in self.ends():
            if by == "netem":
                text = subprocess.run(["tc", "-n", space, "-s", "qdisc", "show", "dev", link],
                                      capture_output=True, text=True, check=True).stdout
                passed, dropped = map(int, re.search(r"bytes (\d+) pkt \(dropped (\d+)", text).groups())
                all_sent = passed + dropped
            else:
                text = self.inside(space, "iptables", "-nvxL", "INPUT")
                all_sent, dropped = (int(line.split()[0]) for line in text.splitlines() if f" {link} " in line)
            sent, lost = sent + all_sent, lost + dropped
        return sent, lost

    @staticmethod
    def inside(space, *command):
        """What a command says within a namespace."""
        return subprocess.run(["ip", "netns", "exec", space, *command], capture_output=True, text=True,
                              check=True).stdout

    def start(self, side, log, *command, **more):
        """Starts a program of a peer."""
        whole = ["ip", "netns", "exec", self.peers[side], *map(str, command)]
        with open(log, "wb") as told:
            return subprocess.Popen(whole, stdout=told, stderr=told, cwd=log.parent, **more)

    def is_bound(self, side, wanted):
        """Whether a peer hears at this address."""
        number = "".join(f"{int(part):02X}" for part in reversed(wanted.split(".")))
        return f"{number}:{PORT:04X} " in self.inside(self.peers[side], "cat", "/proc/net/udp")
