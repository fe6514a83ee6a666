"""What runs in a pod of the sidecar form: the rules' init container, and the sidecar."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interceptor.cli.jail_checks import Fault, tell
from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE

if TYPE_CHECKING:
    from interceptor.cli.interceptor_process import Interceptor
    from interceptor.policy.schema import Policy

# RFC 2544: nobody's, should a packet get out after all. Nothing is leased this address.
_NOBODY: Final = (("198.19.255.254", socket.AF_INET), ("2001:2::fffe", socket.AF_INET6))
_NO_WAY: Final = frozenset(
    (
        *(errno.ECONNREFUSED, errno.EPERM, errno.EACCES, errno.ENETUNREACH, errno.EHOSTUNREACH),
        *(errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT),
    )
)
_SECONDS: Final = 2.0
_BACKLOG: Final = 1024
_IP_PKTINFO: Final = 8  # ip(7); Python names it only from 3.14 on
_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS: Final = 0.5


def rules(uid: int, *, closed: bool) -> int:
    """Write the pod's rules, give up all rights, and try whether the rules hold.

    Raises:
        Fault: they could not be written, or do not hold; the pod's agent must not start.
    """
    from interceptor.kubernetes import pod_rules
    from netns import namespaces
    from netns.remedies import find_program

    if not 0 < uid < 2**32 - 1:
        raise Fault(f"--uid {uid}: not the uid of a sidecar", EXIT_USAGE)
    text = pod_rules.transaction(
        uid,
        pod_rules.own_ipv4(_text("/proc/net/fib_trie")),
        pod_rules.own_ipv6(_text("/proc/net/if_inet6")),
        closed=closed,
    )
    try:
        done = subprocess.run(
            [find_program("nft"), "-f", "-"],
            input=text.encode(),
            capture_output=True,
            env={"LC_ALL": "C"},
            timeout=20,
            check=False,
        )
        cause = done.stderr.decode("utf-8", "replace").partition("\n")[0]
        if done.returncode:
            raise Fault(f"the pod's rules could not be written: nft: {cause}", EXIT_SETUP)
        namespaces.drop_capabilities()
        namespaces.no_new_privileges()
    except (OSError, subprocess.SubprocessError) as error:
        raise Fault(f"the pod's rules could not be written: {error}", EXIT_SETUP) from error
    for address, family in _NOBODY:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            got = _try(family, kind, address)
            if got not in _NO_WAY:
                what = errno.errorcode.get(got, "it could be sent")
                raise Fault(f"the pod's rules do not hold: {address}: {what}", EXIT_SETUP)
    tell(f"the pod's network leads to uid {uid} and nowhere else")
    return 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text("ascii")
    except OSError:  # no IPv6
        return ""


def _try(family: int, kind: int, address: str) -> int:
    """Errno of dialling an address, and of sending to it; 0 where that went well."""
    try:
        with socket.socket(family, kind) as dialling:
            dialling.settimeout(_SECONDS)
            dialling.connect((address, 9))
            dialling.send(b"x")
    except TimeoutError:
        return errno.ETIMEDOUT
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def serve(
    *, name: str, policy: Policy, folder: str, authority: Path, trust: Path, evidence: str
) -> int:
    """Serve the pod until SIGTERM.

    Args:
        name: of the workload, which evidence has as the jail.
        policy: in force.
        folder: where the policy lies.
        authority: directory of the pod's own authority, made if missing.
        trust: directory that gets `ca.crt` when we serve.
        evidence: file; `-` is standard output.

    Raises:
        Fault: it could not be set up, or has ended.
    """
    from interceptor.cli.interceptor_process import Interceptor
    from interceptor.cli.plan import Plan, SetupError
    from interceptor.cli.scan_setup import cache_folder
    from interceptor.evidence.log import EvidenceError
    from interceptor.evidence.place import open_evidence
    from netns.captive import Captive
    from netns.identity import Identity

    if os.geteuid() == 0:
        raise Fault("the sidecar must not be root: its uid is the one that may go out", EXIT_SETUP)
    try:
        descriptor = os.dup(1) if evidence == "-" else open_evidence(Path(evidence))
        plan = Plan(
            jail=name,
            command=("egressguard", "k8s", "pod-serve"),
            policy=policy,
            identity=Identity(os.geteuid(), os.getegid(), (), "sidecar", "", "/bin/sh"),
            evidence=Path(evidence),
            cwd="/",
            rootless=True,
            cache=cache_folder(),
            home="private",
            environ=dict(os.environ),  # the agent's secrets are in it: interceptor.kubernetes.known
            policy_folder=folder,
            authority=authority,
        )
        tcp, udp, dns = listeners()
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        began = time.monotonic()
        process = Interceptor(plan, descriptor)
    except (OSError, EvidenceError) as error:
        raise Fault(f"the sidecar could not be set up: {error}", EXIT_SETUP) from error
    try:
        certificate = process.certificate()
        process.start(plan, Captive(-1, None, tcp, udp, dns, [], (), 0.0), {})
        for note in process.ready():
            tell(note)
        process.open()
        # Last: what waits for it may rely on us.
        fresh = trust / ".ca.crt.new"
        fresh.write_bytes(certificate)
        fresh.chmod(0o444)
        fresh.replace(trust / "ca.crt")
        tell(f"{name}: serving the pod; certificate in {trust}/ca.crt")
        fault = _wait(process, began)
    except (SetupError, OSError) as error:
        raise Fault(f"the sidecar could not be set up: {error}", EXIT_SETUP) from error
    finally:
        process.kill()
    if fault:
        raise Fault(fault, EXIT_SETUP)
    return 0


def _wait(process: Interceptor, began: float) -> str:
    """Wait until we are told to end; returns what went wrong, or ''."""
    poll = select.poll()
    poll.register(process.pidfd, select.POLLIN)
    while not poll.poll(0):
        if signal.sigtimedwait(_ENDS, _LOOK_SECONDS) is not None:
            return process.stop(0, time.monotonic() - began)
    return "the sidecar's process has ended; nobody is served any more"


def listeners() -> tuple[list[socket.socket], list[socket.socket], list[socket.socket]]:
    """Make the listeners on loopback, of IPv4 and, where there is IPv6, of that: TCP, DNS, DNS.

    Raises:
        OSError: a port is taken.
    """
    from netns.nft import DNS_PORT, TCP_PORT

    families = [(socket.AF_INET, "127.0.0.1")]
    if _has_ipv6():
        families.append((socket.AF_INET6, "::1"))
    tcp, udp, dns = [], [], []
    for family, address in families:
        tcp.append(_listening(family, address, TCP_PORT))
        dns.append(_listening(family, address, DNS_PORT))
        asked = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.IPPROTO_UDP)
        if family == socket.AF_INET:
            asked.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        else:
            asked.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        asked.bind((address, DNS_PORT))
        udp.append(asked)
    return tcp, udp, dns


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _listening(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    # The protocol must be said, or asyncio never sets TCP_NODELAY on what is accepted.
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen(_BACKLOG)
    return made
