"""A shell whose only network is a veth into a captive namespace: a container's view, no container.

Run in the lab as root: `python -m tests.bench.guest_host EVIDENCE CLIENT_CORE`. It does what
`egressguard gateway` does for one guest: interceptor, captive namespace, listeners; then a shell
with the other end of the pair. No packet guard: nothing is refused here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from interceptor.cli.interceptor_process import Interceptor
from interceptor.cli.plan import Plan
from interceptor.evidence.place import open_evidence
from interceptor.policy.loading import load
from interceptor.serve import guest_site
from netns import captive, identity, namespaces
from netns.namespaces import MountFlag, Namespace
from netns.nic import Kind, Nic, mac_of
from tests.lab.world import DEV_UID, DEV_WORK

_NAME = "bench-guest"


def main() -> int:
    """Set up, and be the shell until its input ends."""
    evidence, core = Path(sys.argv[1]), int(sys.argv[2])
    plan = Plan(
        jail=_NAME,
        command=("sh",),
        policy=guest_site.with_site(load(None, "balanced")),
        identity=identity.resolve("dev", os.environ, os.geteuid(), os.getegid()),
        evidence=evidence,
        cwd=DEV_WORK,
        rootless=False,
        cache=Path("/var/cache/egressguard"),
        quiet=True,
    )
    interceptor = Interceptor(plan, open_evidence(evidence))
    interceptor.certificate()
    network = _network()
    jail = captive.create(rootless=False, nic=Nic(Kind.VETH, mac_of(_NAME), peer=network))
    interceptor.start(plan, jail, jail.channels)
    interceptor.ready()
    interceptor.open()

    def inside() -> None:
        namespaces.setns(network, Namespace.NET)
        namespaces.unshare(Namespace.MOUNT)
        namespaces.mount(None, "/", flags=MountFlag.PRIVATE | MountFlag.REC)
        resolver = Path("/run/lab/guest-resolv.conf")
        resolver.write_text("nameserver 198.18.0.1\n", "ascii")
        namespaces.mount(str(resolver), "/etc/resolv.conf", None, MountFlag.BIND)
        os.sched_setaffinity(0, {core})
        os.setgroups([])
        os.setresgid(DEV_UID, DEV_UID, DEV_UID)
        os.setresuid(DEV_UID, DEV_UID, DEV_UID)

    code = subprocess.run(["sh"], cwd=DEV_WORK, preexec_fn=inside, check=False).returncode
    fault = interceptor.stop(code, 0.0)
    jail.close()
    if fault:
        sys.stderr.write(f"{fault}\n")
    return code


def _network() -> int:
    """A new network namespace, held by its descriptor."""
    child = os.fork()
    if child == 0:
        namespaces.unshare(Namespace.NET)
        os.kill(os.getpid(), 19)  # SIGSTOP: until its namespace is held
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    found = os.open(f"/proc/{child}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return found


if __name__ == "__main__":
    sys.exit(main())
