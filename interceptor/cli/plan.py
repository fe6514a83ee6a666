"""What `egressguard jail` was asked to do, and what is said when that cannot be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from interceptor.policy.schema import Policy
from interceptor.serve.messages import Published
from netns.identity import Identity
from netns.limits import Limits

if TYPE_CHECKING:
    from interceptor.cli.decoys import Decoys
    from netns.nic import Nic


class SetupError(RuntimeError):
    """The jail could not be set up; nothing of it remains. The message names cause and fix."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `egressguard jail` was asked to do."""

    jail: str
    command: tuple[str, ...]
    policy: Policy
    identity: Identity
    evidence: Path
    cwd: str
    rootless: bool
    cache: Path | None
    env: tuple[str, ...] = ()
    home: str = "rw"
    workdir: str = "rw"
    ptrace: bool = True
    """The agent's processes may trace each other."""
    unix_sockets: bool = True
    """The agent may make unix sockets."""
    limits: Limits = field(default_factory=Limits)
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    """What the agent must not see: evidence, policy, registry."""
    protected: tuple[str, ...] = ()
    """What the agent must not change: our own program and its environment."""
    environ: dict[str, str] = field(default_factory=dict)
    """The operator's variables; no process but this one keeps them."""
    policy_folder: str = ""
    """Where the policy lies; relative names in it begin there."""
    quiet: bool = False
    nested_sandboxes: bool = False
    """The agent may make user namespaces."""
    timeout: float = 0.0
    """Seconds that the agent may run; 0 is no limit."""
    published: tuple[Published, ...] = ()
    """Ports of the agent's that the host may reach."""
    decoys: Decoys | None = None
    """Canaries of this jail alone."""
    nic: Nic | None = None
    """Of the machine that the command runs: it holds the other end (`egressguard vm`)."""
    pins: Path | None = None
    """Folder of the store of pins of tools (`interceptor.mcp.pin_store`); None: none are kept."""
    devices: tuple[str, ...] = ()
    """Device nodes that the command may use."""
    authority: Path | None = None
    """Directory of an authority that is kept (`egressguard k8s pod-serve`); None: of this run."""
