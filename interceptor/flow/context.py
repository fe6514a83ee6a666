"""What every flow of a jail shares, and who a connection stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from interceptor.decide.judge import Judge
from interceptor.model import Origin, Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Verdict
from interceptor.wire.heads import RequestHead


def _nobody() -> str:
    return ""


def _no_randomness(size: int) -> bytes:
    raise LookupError(f"{size} random bytes wanted of a flow that was given no source")


class Door(msgspec.Struct, frozen=True, gc=False):
    """The explicit proxy's side of a connection: the agent dialled us, and names a target in it."""

    refused: Verdict
    """What is said to whoever asks for the proxy itself."""
    admits: Callable[[RequestHead], bool]
    """Tells whether a request has the credential of the connection's agent."""


class FlowContext(msgspec.Struct, frozen=True, gc=False):
    """Given to a flow at its start."""

    origin: Origin
    judge: Judge
    limits: Limits
    name_of: Callable[[str, float], str]
    """Leased name of a synthetic address at a time, or an empty string."""
    random: Callable[[int], bytes] = _no_randomness
    """Unpredictable bytes, such as the masks of WebSocket frames (RFC 6455 section 5.3)."""
    http2: str = "auto"
    """Policy: `auto`, `always` or `never` HTTP/2 for an agent that offers both versions."""
    sni: str = "optional"
    """Policy: `required` refuses TLS that names no host."""
    process: Callable[[], str] = _nobody
    """Path of the program that has opened the connection; empty while that is not known."""
    door: Door | None = None
    """Set where the agent was told to use us; in a jail no connection is to a proxy of ours."""
    conversations: Any = None
    """`interceptor.flow.mcp.Conversations` of the agent; None: nobody looks for MCP and A2A."""


class Identity(msgspec.Struct, frozen=True, gc=False):
    """The one name a connection stands for, and what is known against it.

    `name(synthetic address) = SNI = Host = policy host = dialled host = verified certificate`.
    """

    scheme: str
    host: str
    port: int
    refused: Verdict | None = None
    """A block that is already decided; it is delivered in answer to the first request."""
    proxying: bool = False
    """True while the bytes are plain and not inside a tunnel: an agent that thinks it talks to a
    proxy may name another target, which then is the identity (RFC 9112 section 3.2.2)."""
    depth: int = 0
    """Tunnels (CONNECT) around this connection; 0 with a `Door` is the proxy itself."""
    host_field: bytes = b""
    """Host field of a client that leaves the default port out; empty where it must be read."""

    def target(self, method: str = "", path: str = "") -> Target:
        """Target of this identity."""
        return Target(self.scheme, self.host, self.port, method, path)


class Successor(msgspec.Struct, frozen=True, gc=False):
    """What follows on a connection: the identity inside a tunnel, and its first bytes."""

    identity: Identity
    rest: bytes
