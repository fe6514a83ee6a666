"""`scripts/bench dns`: what an answer of the DNS shim costs, held against the stated goals.

One process serves as the interceptor does (judge, rules, leases, evidence on disk), another asks it
over UDP; as root both stand in a network namespace of their own, else they use loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import count, cycle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dnslib

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
from tests.bench import machine
from tests.bench.goals import Goal, percentile

MEDIAN = 300.0
"""Microseconds until an answer, in the median, one query at a time."""
RATE = 15_000.0
"""Queries a second that one core answers."""
LEASES, LEASES_BYTES = 100_000, 50e6

_AHEAD = 32  # queries under way at a time, under load
_SEED = b"bench" * 4
_RUNS = count()


def main(arguments: Sequence[str]) -> int:
    """Measure, show, and say whether the goals are met."""
    parser = argparse.ArgumentParser(prog="scripts/bench dns", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, and little of each")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each is measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to FILE")
    chosen = parser.parse_args(arguments)
    rounds = chosen.rounds or (3 if chosen.quick else 7)
    number = 4_000 if chosen.quick else 10_000
    begin = time.monotonic()
    before = machine.load_average()
    facts: dict[str, Any] = {"machine": machine.describe(Path("mitmdump")), "rounds": rounds}
    with tempfile.TemporaryDirectory(prefix="bench-dns-") as folder:
        facts["samples"] = measured(Path(folder), rounds, number)
    facts["leases"] = leases()
    facts["load"] = [before, machine.load_average()]
    facts["seconds"] = round(time.monotonic() - begin, 1)
    found = goals(facts)
    print(table(facts, found))
    if chosen.json:
        text = json.dumps({**facts, "goals": [asdict(goal) for goal in found]}, indent=1)
        chosen.json.write_text(text + "\n", "utf-8")
    missed = [goal.name for goal in found if not goal.met]
    if missed:
        print(f"\nMISSED: {'; '.join(missed)}")
    return 1 if missed else 0


def measured(folder: Path, rounds: int, number: int) -> dict[str, list[dict[str, float]]]:
    """Each kind of names, in turn, `rounds` times: a server and a client process for each."""
    Scanner.build(load_rules(), folder)  # compiled once, as at an installation
    samples: dict[str, list[dict[str, float]]] = {kind: [] for kind in NAMES}
    for _ in range(rounds):
        for kind in NAMES:
            run = str(next(_RUNS))
            ours, theirs = multiprocessing.Pipe()
            work = multiprocessing.get_context("fork").Process(
                target=_run, args=(theirs, folder, kind, number, run)
            )
            work.start()
            theirs.close()
            try:
                samples[kind].append(ours.recv())
            except EOFError:
                raise machine.BenchError("a process of the measurement has failed") from None
            finally:
                work.join()
    return samples


def _repeated(_: str) -> Iterator[str]:
    """Names as an agent's day has them, again and again."""
    hosts = [f"{label}.service-{i}.example" for i in range(50) for label in ("api", "www")]
    return cycle(hosts)


def _new(run: str) -> Iterator[str]:
    """Names that were never asked for before, each of an owner of its own."""
    return (f"www.site-{run}-{i}.example" for i in count())


NAMES = {"repeated names": _repeated, "new names": _new}


def _run(report: Connection, folder: Path, kind: str, number: int, run: str) -> None:
    """Both ends, in a namespace of their own; report one sample."""
    if os.geteuid() == 0:
        from pyroute2 import IPRoute

        from netns.namespaces import Namespace, unshare

        unshare(Namespace.NET)
        with IPRoute() as route:
            route.link("set", index=1, state="up")
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    address = sock.getsockname()
    told, tells = os.pipe()
    server = os.fork()
    if server == 0:
        code = 1
        try:
            _pin(machine.PROXY_CORE)
            _serve(sock, folder, tells)
            code = 0
        finally:
            os._exit(code)
    sock.close()
    os.close(tells)
    _pin(machine.CLIENT_CORE)
    with open(told, "rb") as ready:
        if ready.readline() != b"ready\n":
            raise machine.BenchError("the server did not start")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(address)
            client.settimeout(5)
            packets = _packets(NAMES[kind](run), number * 3)
            _ask(client, packets[: number // 4])  # warm
            delays = _one_by_one(client, packets[number // 4 : number // 2])
            before = _cpu(server)
            begin = time.perf_counter()
            _ask(client, packets[number // 2 :])
            seconds = time.perf_counter() - begin
            spent = _cpu(server) - before
    os.kill(server, 15)
    os.waitpid(server, 0)
    asked = len(packets) - number // 2
    report.send(
        {
            "median": statistics.median(delays) * 1e6,
            "p99": percentile(delays, 0.99) * 1e6,
            "rate": asked / seconds,
            "per core": asked / spent,
        }
    )


def _serve(sock: socket.socket, folder: Path, ready: int) -> None:
    """Serve as `interceptor.serve.worker` does, until killed."""
    import gc

    import uvloop

    from interceptor.decide.judge import Judge
    from interceptor.decide.openings import Openings
    from interceptor.evidence.log import EvidenceLog
    from interceptor.flow.dns_flow import DnsFlow
    from interceptor.flow.names import Leases
    from interceptor.flow.steps import Record
    from interceptor.model import Origin
    from interceptor.policy.schema import Policy
    from interceptor.serve import dns

    policy = Policy()
    judge = Judge(policy, Scanner.build(load_rules(), folder), _SEED)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    log = EvidenceLog(os.open(folder / f"evidence-{os.getpid()}", flags, 0o600), "bench", "0" * 16)

    def write(record: Record, origin: Origin) -> None:
        log.write(record, origin, time.time())

    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    loop = uvloop.new_event_loop()
    judge.tick(time.monotonic())
    dns.serve([sock], DnsFlow(judge, Leases(_SEED), "bench", Openings(policy)), write, loop)
    os.write(ready, b"ready\n")
    loop.run_forever()


def _packets(names: Iterator[str], number: int) -> list[bytes]:
    """Queries, as glibc sends them: no EDNS."""
    plain = bytes(dnslib.DNSRecord.question("x").pack())[:12]
    packets = []
    for ident, name in zip(range(number), names, strict=False):
        labels = b"".join(bytes([len(p)]) + p for p in name.encode().split(b"."))
        kind = b"\0\x1c" if ident & 1 else b"\0\1"
        packets.append((ident & 0xFFFF).to_bytes(2) + plain[2:] + labels + b"\0" + kind + b"\0\1")
    return packets


def _one_by_one(client: socket.socket, packets: Sequence[bytes]) -> list[float]:
    """Seconds until each answer."""
    delays = []
    for packet in packets:
        begin = time.perf_counter()
        client.send(packet)
        answer = client.recv(2_048)
        delays.append(time.perf_counter() - begin)
        _check(packet, answer)
    return delays


def _ask(client: socket.socket, packets: Sequence[bytes]) -> None:
    """Ask all, some ahead; answers come in the order of the questions."""
    for begin in range(0, len(packets), _AHEAD):
        batch = packets[begin : begin + _AHEAD]
        for packet in batch:
            client.send(packet)
        for packet in batch:
            _check(packet, client.recv(2_048))


def _check(packet: bytes, answer: bytes) -> None:
    """One answer record, no error."""
    if answer[:2] != packet[:2] or answer[3] & 15 or answer[7] != 1:
        raise machine.BenchError(f"a query was not answered with an address: {answer[:12].hex()}")


def _cpu(pid: int) -> float:
    """Seconds of processor time of a process, user and system."""
    text = Path(f"/proc/{pid}/schedstat").read_text("ascii")
    return int(text.split()[0]) / 1e9


def _pin(core: int) -> None:
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {core})
    machine.prefer([os.getpid()])


_LEASES = f"""
import resource
from interceptor.flow.names import Leases
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
before = resident()
leases = Leases(b"seed")
for i in range({LEASES}):
    leases.lease(f"host-{{i}}.region.service.example.com", float(i))
print(resident() - before)
"""


def leases() -> float:
    """Bytes that the leases of ordinary names take."""
    done = subprocess.run(
        [sys.executable, "-c", _LEASES], capture_output=True, check=True, text=True
    )
    return float(done.stdout)


def goals(facts: dict[str, Any]) -> list[Goal]:
    """The stated goals; best of the rounds, as other work on the machine only adds."""
    found = []
    for kind, samples in facts["samples"].items():
        took = min(sample["median"] for sample in samples)
        rate = max(sample["per core"] for sample in samples)
        found += [
            Goal(f"answer, median, {kind}", f"<= {MEDIAN:g} us", f"{took:.0f} us", took <= MEDIAN),
            Goal(f"one core, {kind}", f">= {RATE:,.0f} /s", f"{rate:,.0f} /s", rate >= RATE),
        ]
    used = facts["leases"]
    shown = f"{used / 1e6:.1f} MB"
    return [
        *found,
        Goal(f"{LEASES:,} leases", f"<= {LEASES_BYTES / 1e6:g} MB", shown, used <= LEASES_BYTES),
    ]


def table(facts: dict[str, Any], found: Sequence[Goal]) -> str:
    """Everything as text."""
    described = facts["machine"]
    lines = [
        (
            f"{described['cores']} cores ({described['model']}), Linux {described['kernel']}, "
            f"Python {described['python']}, egressguard {described['egressguard']} "
            f"({described['revision']})"
        ),
        (
            f"Load average {facts['load'][0]:.1f} before and {facts['load'][1]:.1f} after; "
            f"{facts['rounds']} rounds; medians of them, goals by the best"
        ),
        "",
        f"{'':<20}{'median, us':>12}{'p99, us':>10}{'answers/s':>12}{'/s of one core':>16}",
    ]
    for kind, samples in facts["samples"].items():
        row = {key: statistics.median(s[key] for s in samples) for key in samples[0]}
        lines.append(
            f"{kind:<20}{row['median']:>12.0f}{row['p99']:>10.0f}"
            f"{row['rate']:>12,.0f}{row['per core']:>16,.0f}"
        )
    lines += ["", f"{'goal':<40}{'wanted':>14}{'found':>14}"]
    for goal in found:
        verdict = "met" if goal.met else "MISSED"
        lines.append(f"{goal.name:<40}{goal.wanted:>14}{goal.found:>14}  {verdict}")
    return "\n".join(lines)
