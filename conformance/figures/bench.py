"""What the figures share: the machine, the CPU time of processes, free ports."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "interop"))


def machine():
    """One line about where the figures come from."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in text.splitlines()
                  if line.startswith("model name")), "unknown CPU")
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {model}, Linux {os.uname().release}, load {load:.1f} before"


def family(pid):
    """A process and all its descendants."""
    members = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                members += family(int(child))
    return members


def cpu_seconds(pid):
    """CPU time of a process, its threads and its descendants, user and system."""
    ticks = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{member}/stat").read_text().rsplit(") ", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def end(process, kind=signal.SIGTERM, patience=10):
    """Ends a process that we started, and waits for it."""
    if process.poll() is None:
        process.send_signal(kind)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(address, count, first=20000):
    """`count` even UDP ports in a row of pairs that are all free at this moment."""
    for begin in range(first, 60000 - 2 * count, 2 * count):
        sockets = []
        try:
            for port in range(begin, begin + 2 * count):
                probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sockets.append(probe)
                probe.bind((address, port))
            return range(begin, begin + 2 * count, 2)
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
    raise SystemExit(f"no {count} free pairs of ports on {address}")


def need(*programs):
    """Ends with what to install if a program is missing."""
    packages = {"sipp": "sip-tester", "kamailio": "kamailio", "rtpengine": "rtpengine-daemon"}
    missing = [program for program in programs
               if subprocess.run(["which", program], capture_output=True, check=False).returncode]
    if missing:
        names = " ".join(packages.get(program, program) for program in missing)
        raise SystemExit(f"missing: {', '.join(missing)}; on Debian: apt-get install {names}")


def compare(what, ours, theirs, unit, peer):
    """Prints both figures and their ratio."""
    print(f"{what}: causeway {ours:.2f} {unit}, {peer} {theirs:.2f} {unit}, "
          f"ratio {ours / theirs:.2f}", flush=True)
