#!/usr/bin/env python3
"""Media over a cable: cost per packet, highest rate without loss and added delay, by sockets, past the kernel,
and of Debian's rtpengine.

Two network namespaces have a veth pair between them: peers in one, a relay in the other. The relay has
one core with all that the kernel does for it, the peers have the other one. The peers send and take
back frames past their kernel and look at every packet: whose it is, its order, what is in it. The relays take
turns, ROUNDS times (default 2), with as many streams as STREAMS says (default 1000,4000,10000,20000), as RTP on
both legs and as SRTP on one:

  cost     CPU of the relay's core per packet, at 50 packets a second and stream for SECONDS (default 10), and at
           the highest rate. What the cable alone costs that core is measured with packets that nobody takes,
           and taken off. Where others use the core as well, the figure is of the relay's threads
           and of the one by which it receives.
  rate     the highest one with at most 0.01 % lost and 99 % of packets relayed within 40 ms.
  delay    from being sent to being taken back, at 50,000 packets a second.

Beside each figure is the goal. LIMIT=0 leaves out the search for the highest rate. Needs root and two cores."""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

import packets
from bench import ROOT, end, machine, need

STREAMS = [int(number) for number in os.environ.get("STREAMS", "1000,4000,10000,20000").split(",")]
SECONDS = int(os.environ.get("SECONDS", "10"))
ROUNDS = int(os.environ.get("ROUNDS", "2"))
LIMIT = os.environ.get("LIMIT", "1") != "0"
KINDS = os.environ.get("KINDS", "sockets,xdp,rtpengine").split(",")
SECURE = [{"rtp": False, "srtp": True}[word] for word in os.environ.get("PROTECTION", "srtp,rtp").split(",")]
PEERS_CORE, RELAY_CORE = 0, 1
RELAY, FIRST, SECOND = "192.0.2.1", "192.0.2.2", "192.0.2.3"
PORTS = (10000, 59999)
CLONE_NEWNET = 0x40000000
# What else the relay's core may do for its figures to be those of the core.
BUSIEST = 0.03
# Packets a second of all streams together at which delay is measured, and one stream's usual and highest rate.
USUAL, PER_STREAM, MOST_PER_STREAM = 50_000, 50, 190
# How often the peers put packets on the cable: as a network card moderates its interrupts, and for delay each
# packet alone.
TICK_US, ALONE_US = 100, 1
# How often the peers' end looks for packets by itself.
MODERATED_NS = 20_000
# Files that a relay has open beside its streams' sockets.
SPARE = 500
# What counts as without loss, and how long one rate is tried.
MOST_LOST, MOST_DELAY_US, TRIED_MS = 0.0001, 40_000, 3000
# Peers that send later than that are what limits the rate.
MOST_LATE_US = 3_000


def ip(command):
    return subprocess.run(["ip", *command.split()], check=True, capture_output=True, text=True).stdout


class Cable:
    """Two namespaces and what is between them."""

    def __init__(self):
        name = f"cwf{os.getpid()}"
        self.peers, self.relay = f"{name}p", f"{name}r"
        # The kernel's threads are called by their interfaces.
        self.ends = {self.peers: (f"p{os.getpid()}", PEERS_CORE),
                     self.relay: (f"r{os.getpid()}", RELAY_CORE)}
        try:
            self.build()
        except BaseException:
            self.remove()
            raise

    def build(self):
        for space in self.ends:
            ip(f"netns add {space}")
        ours, theirs = self.ends[self.relay][0], self.ends[self.peers][0]
        ip(f"link add {ours} netns {self.relay} numrxqueues 1 numtxqueues 1 "
           f"type veth peer name {theirs} netns {self.peers} numrxqueues 1 numtxqueues 1")
        ip(f"-n {self.relay} addr add {RELAY}/24 dev {ours}")
        for address in (FIRST, SECOND):
            ip(f"-n {self.peers} addr add {address}/24 dev {theirs}")
        for space, (end_, _) in self.ends.items():
            # So each end receives in a thread of the kernel's, program or not.
            subprocess.run(["ip", "netns", "exec", space, "ethtool", "-K", end_, "tso", "off", "gro", "on"],
                           check=True, capture_output=True)
            ip(f"-n {space} link set lo up")
            ip(f"-n {space} link set {end_} up")
        link = json.loads(ip(f"-n {self.relay} -j link show {ours}"))[0]
        ip(f"-n {self.peers} neigh replace {RELAY} lladdr {link['address']} dev {theirs} nud permanent")
        time.sleep(1)

    def bind_receivers(self):
        """Has each end receive on its side's core, before all else there as an interrupt would."""
        self.receivers = {}
        for space, (end_, core) in self.ends.items():
            place = f"/sys/class/net/{end_}/threaded"
            subprocess.run(["ip", "netns", "exec", space, "sh", "-c", f"echo 1 >{place}"], check=True)
            for task in pathlib.Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if (task / "comm").read_text().startswith(f"napi/{end_}"):
                        os.sched_setaffinity(int(task.name), {core})
                        os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(1))
                        self.receivers[space] = task
            if space == self.peers:
                # The relay's core must not have to wake this one with each packet, as it need not wake a card.
                for name, value in (("napi_defer_hard_irqs", 100_000), ("gro_flush_timeout", MODERATED_NS)):
                    subprocess.run(["ip", "netns", "exec", space, "sh", "-c",
                                    f"echo {value} >/sys/class/net/{end_}/{name}"], check=True)
            if space not in self.receivers:
                raise SystemExit(f"{end_} does not receive in a thread of its own")

    def remove(self):
        for space in self.ends:
            subprocess.run(["ip", "netns", "del", space], check=False)


@contextlib.contextmanager
def inside(space):
    """This thread, in a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as home, open(f"/run/netns/{space}", "rb") as away:
        if libc.setns(away.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


def run_inside(space, core, command):
    return ["ip", "netns", "exec", space, "nice", "-n", "-20", "taskset", "-c", str(core), *command]


def example(name):
    return str(ROOT / "target/release/examples" / name)


class Sockets(packets.Causeway):
    """Our relay by sockets."""

    name, backend = "causeway, sockets", []

    def __init__(self, folder, cable):
        command = [example("relay"), RELAY, *map(str, PORTS), *self.backend]
        self.log = folder / "relay.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(run_inside(cable.relay, RELAY_CORE, command),
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=log, text=True, bufsize=1, cwd=folder)

    def open(self, _call, first, second, secret):
        digits = secret.hex() if secret else "-"
        self.process.stdin.write(f"{first[0]}:{first[1]} {second[0]}:{second[1]} {digits}\n")
        answer = self.process.stdout.readline().split()
        if len(answer) != 3:
            raise SystemExit(f"{self.name} ended:\n{self.log.read_text()}")
        return answer

    def check(self):
        """What runs must be what is measured."""
        runs = "Xdp {" if self.backend else "Sockets"
        text = self.log.read_text()
        if f"runs: {runs}" not in text:
            raise SystemExit(f"{self.name} does not run:\n{text}")


class Xdp(Sockets):
    """Our relay past the kernel."""

    name, backend = "causeway, AF_XDP", ["xdp"]

    def forwarded(self):
        """Packets that the interface has forwarded by itself, and why it forwards none."""
        self.process.stdin.write("forwarded\n")
        count, _, why = self.process.stdout.readline().strip().partition(" ")
        return int(count), why


class Rtpengine(packets.Rtpengine):
    """rtpengine on the relay's core."""

    address = RELAY

    def __init__(self, folder, cable):
        self.folder, self.ng = folder, 2223
        log = open(folder / "rtpengine.log", "wb")
        command = ["rtpengine", "--foreground", "--log-stderr", "--log-level=3", "--table=-1",
                   f"--interface={RELAY}", f"--listen-ng=127.0.0.1:{self.ng}", "--num-threads=1",
                   f"--port-min={PORTS[0]}", f"--port-max={PORTS[1]}"]
        self.process = subprocess.Popen(run_inside(cable.relay, RELAY_CORE, command),
                                        stdout=log, stderr=log, cwd=folder)
        with inside(cable.relay):
            self.connect()

    def open(self, call, first, second, secret):
        offer = self.sdp("offer", call, *first, secret)
        answer = self.sdp("answer", call, *second, None)
        ports = [re.search(r"m=audio (\d+)", text).group(1) for text in (answer, offer)]
        key = "-"
        if secret:
            inline = re.search(r"a=crypto:\d+ AES_CM_128_HMAC_SHA1_80 inline:([^|\s]+)", answer).group(1)
            key = packets.base64.b64decode(inline + "=" * (-len(inline) % 4)).hex()
        return f"{self.address}:{ports[0]}", f"{self.address}:{ports[1]}", key

    def check(self):
        pass


ALL_KINDS = {"sockets": Sockets, "xdp": Xdp, "rtpengine": Rtpengine}


class Peers:
    """Who sends, and takes back."""

    def __init__(self, cable, lines):
        command = run_inside(cable.peers, PEERS_CORE, [example("peers"), FIRST])
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)
        self.ask("\n".join([*lines, "go"]), "ready")

    def ask(self, order, answer=""):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line.startswith(answer) or not line:
            raise SystemExit(f"the peers ended: {line}")
        return line

    def run(self, rate, ms, what="run", tick=TICK_US):
        return json.loads(self.ask(f"{what} {rate} {ms} {tick}"))


def idle(core):
    """Idle time of a core so far, in seconds."""
    text = pathlib.Path("/proc/stat").read_text()
    fields = re.search(rf"^cpu{core} (.*)$", text, re.MULTILINE).group(1).split()
    return (int(fields[3]) + int(fields[4])) / os.sysconf("SC_CLK_TCK")


def ran(tasks):
    """Seconds that threads have run."""
    total = 0
    for task in tasks:
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Meter:
    """What the relay's core does meanwhile: all of it, and what the relay's threads and its receiver do."""

    def __init__(self, cable, pid=None):
        self.tasks = [cable.receivers[cable.relay]]
        if pid:
            self.tasks += pathlib.Path(f"/proc/{pid}/task").glob("*")
        before = idle(RELAY_CORE), ran(self.tasks), time.monotonic()
        time.sleep(1)
        after = idle(RELAY_CORE), ran(self.tasks), time.monotonic()
        passed = after[2] - before[2]
        # What the core did before, at rest.
        self.others = max(0, 1 - (after[0] - before[0]) / passed)
        self.before = after

    def read(self):
        """Seconds of the core, without what it did before, and of the threads."""
        passed = time.monotonic() - self.before[2]
        core = passed - (idle(RELAY_CORE) - self.before[0]) - self.others * passed
        return core, ran(self.tasks) - self.before[1]


class Cost:
    """Microseconds per packet of core and threads."""

    def __init__(self, meter, count):
        core, threads = meter.read()
        self.core, self.threads, self.is_quiet = 1e6 * core / count, 1e6 * threads / count, \
            meter.others <= BUSIEST

    def without(self, cable):
        print(f"  the cable alone: core {cable.core:.2f} us, threads {cable.threads:.2f} us", flush=True)
        self.core -= cable.core
        self.threads -= cable.threads
        self.is_quiet &= cable.is_quiet
        return self

    def figure(self, is_quiet):
        """Of the core, where nobody else used it; else of the threads."""
        return max(0.0, self.core if is_quiet else self.threads)


def cost(peers, cable, rate, ms, what, pid=None):
    meter = Meter(cable, pid)
    done = peers.run(rate, ms, what)
    return Cost(meter, done["received"] if what == "run" else done["sent"]), done


def is_good(done):
    lost = done["sent"] - done["received"]
    return (lost <= MOST_LOST * done["sent"] and done["wrong"] == 0
            and done["delay_us"]["p99"] < MOST_DELAY_US)


def highest(peers, streams, start):
    """The highest rate without loss, and what limits it."""
    ceiling, good, bad = MOST_PER_STREAM * streams, 0, None
    rate = min(start, ceiling)
    why = "the relay"
    while bad is None or bad > 1.04 * good:
        tries = [peers.run(rate, TRIED_MS) for _ in range(1)]
        if not any(map(is_good, tries)):
            # Once more: it may have been somebody else's fault.
            tries.append(peers.run(rate, TRIED_MS))
        if any(map(is_good, tries)):
            good = rate
            if rate >= ceiling:
                return good, "what a stream may send"
        else:
            bad = rate
            if tries[-1]["late_us"]["p99"] > MOST_LATE_US:
                why = "the peers"
        rate = int(min(ceiling, 1.4 * good if bad is None else (good + bad) / 2))
        if good == 0 and rate < 2_000:
            break
    return good, why


def dropped(cable, rate, ms, peers):
    """What the cable costs the relay's core where a program receives."""
    command = run_inside(cable.relay, RELAY_CORE, [example("peers"), "drop", RELAY])
    dropper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if dropper.stdout.readline() != "dropping\n":
            raise SystemExit("no program can be attached")
        cable.bind_receivers()
        return cost(peers, cable, rate, ms, "stray")[0]
    finally:
        dropper.stdin.close()
        end(dropper)


def measure(kind, streams, secure):
    """All figures of a relay."""
    cable, figures = Cable(), {}
    with tempfile.TemporaryDirectory(prefix="causeway-figures-") as folder:
        relay = peers = None
        try:
            relay = kind(pathlib.Path(folder), cable)
            lines = []
            for call in range(streams // 2):
                first, second = (FIRST, 20000 + 2 * call), (SECOND, 20000 + 2 * call)
                secret = packets.key() if secure else None
                to_first, to_second, key = relay.open(call, first, second, secret)
                lines.append(f"{first[0]}:{first[1]} {to_first} {secret.hex() if secret else '-'} {key}")
                lines.append(f"{second[0]}:{second[1]} {to_second} - -")
            relay.check()
            peers = Peers(cable, lines)
            cable.bind_receivers()
            # `ip`, `nice` and `taskset` have become the relay.
            pid = relay.process.pid
            usual = PER_STREAM * streams
            peers.run(usual // 2, 2000)
            limit = highest(peers, streams, min(usual, USUAL)) if LIMIT else (usual, "")
            figures["rate"], figures["why"] = limit
            rates = {"usual": min(usual, USUAL, limit[0])}
            if LIMIT:
                rates["highest"] = int(0.95 * limit[0])
            for name, rate in rates.items():
                peers.run(rate, 1000)
                forwarded = relay.forwarded()[0] if kind is Xdp else 0
                figures[name], done = cost(peers, cable, rate, SECONDS * 1000, "run", pid)
                figures[name + " rate"] = rate
                own = figures[name]
                if kind is Xdp:
                    before, (count, why) = forwarded, relay.forwarded()
                    forwarded = count
                    print(f"  {count - before} of {done['received']} packets, and those before they were counted, were "
                          f"forwarded in the interface; why not all: {why}")
                print(f"  {kind.name}, {streams} streams, {rate}/s: core {own.core:.2f} us, threads {own.threads:.2f} us; "
                      f"{done}", flush=True)
            done = peers.run(rates["usual"], SECONDS * 1000, tick=ALONE_US)
            figures["delay"] = done["delay_us"]
            print(f"  packets one by one: {done}", flush=True)
            if kind is not Xdp:
                for name, rate in rates.items():
                    alone, _ = cost(peers, cable, rate, SECONDS * 500, "stray", pid)
                    figures[name].without(alone)
                    figures[name + " cable"] = alone
            else:
                end(relay.process)
                for name, rate in rates.items():
                    alone = dropped(cable, rate, SECONDS * 500, peers)
                    figures[name].without(alone)
                    figures[name + " cable"] = alone
            return figures
        finally:
            for process in (peers, relay):
                if process:
                    end(process.process)
            cable.remove()


def persistently(kind, streams, secure):
    """All figures of a relay; if that fails, once more."""
    try:
        return measure(kind, streams, secure)
    except SystemExit as why:
        print(f"  once more: {why}", flush=True)
        return measure(kind, streams, secure)


def better(one, other):
    """The better of two rounds, figure by figure."""
    if one is None:
        return other
    best = dict(one)
    for name in ("usual", "highest"):
        # Where others disturb, threads are disturbed least.
        if name in one and other[name].threads < one[name].threads:
            best[name], best[name + " cable"] = other[name], other[name + " cable"]
            best[name + " rate"] = other[name + " rate"]
    if other["rate"] > one["rate"]:
        best["rate"], best["why"] = other["rate"], other["why"]
    best["delay"] = min(one["delay"], other["delay"], key=lambda delay: delay["p99"])
    return best


GOALS = {  # Ratios to rtpengine: cost, at the highest rate, the rate itself.
    (Sockets, True): (0.72, None, 1.5), (Sockets, False): (0.70, None, 1.5),
    (Xdp, True): (0.20, 0.12, 6), (Xdp, False): (0.10, None, 6),
}


def goal(limit, sign="<="):
    return f" (goal {sign} {limit})" if limit is not None else ""


def report(what, streams, kind, own, theirs, first, secure):
    """Our figures of one number of streams, with the goals beside them."""
    usual_goal, highest_goal, rate_goal = GOALS[kind, secure]
    all_ = [one[name] for one in (own, theirs) if one for name in ("usual", "highest") if name in one]
    is_quiet = all(cost.is_quiet for cost in all_)

    def us(of, name="usual"):
        return of[name].figure(is_quiet)

    of = "the core" if is_quiet else "the relay's threads, as others use the core"
    text = f"{what}, {streams} streams, {kind.name}: {us(own):.2f} us of {of} per packet"
    if theirs:
        text += f", rtpengine {us(theirs):.2f} us, ratio {us(own) / us(theirs):.2f}" + goal(usual_goal)
    print(text + f"; the cable {us(own, 'usual cable'):.2f} us beside", flush=True)
    if LIMIT:
        text = f"    at {own['highest rate']}/s {us(own, 'highest'):.2f} us per packet"
        if theirs:
            text += f", ratio {us(own, 'highest') / us(theirs):.2f}" + goal(highest_goal)
        print(text)
        text = f"    without loss up to {own['rate']}/s, limited by {own['why']}"
        if theirs:
            text += f"; rtpengine {theirs['rate']}/s, ratio {own['rate'] / max(1, theirs['rate']):.1f}" \
                + goal(rate_goal, ">=")
        print(text)
    goals = {"p50": 25, "p99": 2000} if kind is Sockets else {"p99": 300, "p999": 1000}
    delays = ", ".join(f"{name} {us} us{goal(goals.get(name))}" for name, us in own["delay"].items())
    print(f"    delay at {own['usual rate']}/s: {delays}; rtpengine {theirs['delay'] if theirs else '-'}")
    if first and streams >= 10 * first[0]:
        print(f"    cost of {first[0]} streams times {us(own) / us(first[1]):.2f}" + goal(1.3))


def main():
    need("rtpengine", "ip", "taskset", "ethtool")
    if os.geteuid() or (os.cpu_count() or 1) < 2:
        raise SystemExit("root and two cores are needed")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "media-relay",
                    "--example", "relay", "--example", "peers"], cwd=ROOT, check=True)
    print(f"media over a cable, {SECONDS} s, {ROUNDS} rounds; {machine()}")
    kinds = [ALL_KINDS[word] for word in KINDS]
    for secure in SECURE:
        what = "SRTP<->RTP" if secure else "RTP<->RTP"
        firsts = {}
        for streams in STREAMS:
            if 2 * streams + SPARE > most:
                print(f"{what}, {streams} streams are left out: they need {2 * streams + SPARE} open files, "
                      f"and {most} is the limit (ulimit -Hn)")
                continue
            best = dict.fromkeys(kinds)
            for _ in range(ROUNDS):
                for kind in kinds:
                    best[kind] = better(best[kind], persistently(kind, streams, secure))
            for kind in kinds:
                if kind is Rtpengine:
                    continue
                report(what, streams, kind, best[kind], best.get(Rtpengine), firsts.get(kind), secure)
                firsts.setdefault(kind, (streams, best[kind]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
