"""`egressguard vm`: run a virtual machine whose only network is egressguard."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from interceptor.cli import jail_checks
from interceptor.cli.concealment import conceal_environment
from interceptor.cli.jail import (
    _cache,
    _check_rule_ids,
    _folder,
    _masks,
    _protected,
    _run,
)
from interceptor.cli.jail_checks import Fault
from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE
from interceptor.cli.plan import Plan
from interceptor.evidence.place import default_path, directory

_KVM = "/dev/kvm"

EPILOG = """\b
Examples:
  sudo egressguard vm -- qemu-system-x86_64 -accel kvm -m 2G -nographic \\
      -drive file=disk.qcow2,if=virtio
  sudo egressguard vm --cloud-init -- qemu-system-x86_64 -m 2G -nographic -hda debian.qcow2
  egressguard vm --rootless -- qemu-system-x86_64 -m 1G -nographic -cdrom live.iso

\b
In the guest: wget -qO- http://egressguard.internal/install.sh | sh
docs/vm.md has the rest, and recipes for libvirt, Firecracker and Cloud Hypervisor.

\b
Exit codes: QEMU's own, 128+n when signal n ended it; 2 usage or policy; 125 the machine's network
could not be set up; 126 QEMU cannot be executed; 127 it was not found.
"""


@click.command("vm", epilog=EPILOG, context_settings={"allow_interspersed_args": False})
@click.option("--policy", "policy_file", metavar="FILE", help="Policy file (egressguard.yaml).")
@click.option(
    "--preset",
    type=click.Choice(["strict", "balanced", "audit"]),
    help="Start from this preset; `balanced` unless the policy names one.",
)
@click.option("--user", metavar="USER", help="Run QEMU as this user: NAME, UID or UID:GID.")
@click.option("--rootless", is_flag=True, help="No root needed: use a user namespace.")
@click.option("--evidence", metavar="FILE", help="Where the JSON events go.")
@click.option("--bind", multiple=True, metavar="PATH", help="Let QEMU write PATH, such as a disk.")
@click.option("--ro-bind", multiple=True, metavar="PATH", help="Let QEMU read PATH.")
@click.option(
    "--cloud-init",
    is_flag=True,
    help="Tell the guest's cloud-init where its seed is: it trusts the authority then.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 31_536_000),
    default=0,
    metavar="SECONDS",
    help="End QEMU after this time: SIGTERM, and SIGKILL 10 s later. Exit code 124.",
)
@click.option("--name", metavar="NAME", help="Name of the guest; made up if not given.")
@click.option("--quiet", "-q", is_flag=True, help="No table at the end, no line about secrets.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    policy_file: str | None,
    preset: str | None,
    user: str | None,
    rootless: bool,  # noqa: FBT001 - click passes flags by name
    evidence: str | None,
    bind: tuple[str, ...],
    ro_bind: tuple[str, ...],
    cloud_init: bool,  # noqa: FBT001
    timeout: float,
    name: str | None,
    quiet: bool,  # noqa: FBT001
    command: tuple[str, ...],
) -> int:
    """Run the QEMU COMMAND with a network card that leads to egressguard, and nowhere else.

    The guest gets addresses, a route and a name server by DHCP and router advertisements. QEMU
    itself runs enclosed like an agent, as you: a guest that breaks out of it is where it was.
    """
    from interceptor.cli import qemu
    from interceptor.evidence.log import EvidenceError
    from interceptor.policy.loading import PolicyError, load
    from interceptor.serve import guest_site
    from netns import identity
    from netns.launch import CABLE
    from netns.nic import Kind, Nic, mac_of
    from netns.registry import Registry, RegistryError

    jail_checks.rights(rootless=rootless)
    jail_checks.paths(evidence, (*bind, *ro_bind))
    if rootless and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise Fault(
            "/dev/net/tun is not yours to use: sudo chmod 666 /dev/net/tun (what most systems "
            "have), or start this with sudo",
            EXIT_SETUP,
        )
    try:
        # A name is needed for the hardware address only: whatever it will be, the line is checked.
        seed = guest_site.SEED if cloud_init else ""
        qemu.with_nic(command, mac_of(""), CABLE, seed=seed)
        policy = load(Path(policy_file) if policy_file else None, preset)
        _check_rule_ids(policy, policy_file)
        who = identity.resolve(user, os.environ, os.geteuid(), os.getegid())
    except (PolicyError, qemu.QemuError, identity.IdentityError) as error:
        raise Fault(str(error), EXIT_USAGE) from error
    try:
        entry = Registry().register(
            command,
            began=time.time(),
            rootless=rootless,
            policy=policy_file or policy.preset.value,
            name=name,
        )
        with entry:
            path = Path(evidence).absolute() if evidence else default_path(entry.name)
            nic = Nic(Kind.TAP, mac_of(entry.name))
            plan = Plan(
                jail=entry.name,
                command=qemu.with_nic(command, nic.mac, CABLE, seed=seed),
                policy=guest_site.with_site(policy),
                identity=who,
                evidence=path,
                cwd=jail_checks.working_directory(who, "rw"),
                rootless=rootless,
                cache=_cache(),
                writable=bind,
                readable=ro_bind,
                masks=_masks(path, policy_file, who.home),
                protected=_protected(),
                environ=dict(os.environ),
                policy_folder=_folder(policy_file),
                quiet=quiet,
                timeout=timeout,
                nic=nic,
                pins=directory(),
                devices=(_KVM,) if qemu.wants_kvm(command) and os.path.exists(_KVM) else (),  # noqa: PTH110
            )
            conceal_environment(())
            return _run(plan, entry)
    except RegistryError as error:
        raise Fault(str(error), EXIT_USAGE if name else EXIT_SETUP) from error
    except EvidenceError as error:
        raise Fault(str(error), EXIT_SETUP) from error
