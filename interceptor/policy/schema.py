"""The policy: what an operator may write, as a tree of frozen structures.

The defaults of these structures are the `balanced` preset, so that a run without a policy
file reads no YAML. `interceptor.policy.loading` builds the tree from files and presets;
docs/policy.md explains every key for operators. Unknown keys are errors everywhere.
"""

from __future__ import annotations

import enum
import hashlib
from typing import Annotated, Literal

import msgspec

from interceptor.policy.inbound import Inbound
from interceptor.policy.mcp import Mcp
from interceptor.policy.section import Pattern, RuleId, Section

Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
SizeOrZero = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
ServiceName = Annotated[str, msgspec.Meta(min_length=1, max_length=260)]
ServicePlace = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Method = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z][A-Z0-9-]{0,31}\Z")]
PathPrefix = Annotated[str, msgspec.Meta(pattern=r"\A/", max_length=4096)]


class PresetName(enum.StrEnum):
    """The presets that ship with the product."""

    STRICT = "strict"
    BALANCED = "balanced"
    AUDIT = "audit"


class Hosts(Section, frozen=True):
    """Which hosts may be reached.

    A pattern is an exact name, `*.example.org` (any subdomain, at any depth, but not
    `example.org` itself), `*` (any host), or an address; `:port` may follow. Deny wins over
    allow; a port written in an allow pattern is open for that host even if `ports` lacks it.
    """

    allow: tuple[Pattern, ...] = ()
    deny: tuple[Pattern, ...] = ()
    others: Literal["allow", "deny"] = "allow"
    """What happens to a host that neither list names."""
    literals: Literal["allow", "deny"] = "allow"
    """What happens to a public address dialled without any name, unless `allow` names it."""
    sni: Literal["optional", "required"] = "optional"
    """`required`: TLS that names no host (RFC 6066) is refused, also where the name is known."""


class RequestRule(Section, frozen=True):
    """A method and path rule. The first rule that fits a request decides; none: allowed."""

    host: Pattern
    action: Literal["allow", "deny"]
    methods: tuple[Method, ...] = ()
    """Upper-case methods; empty means any."""
    paths: tuple[PathPrefix, ...] = ()
    """Path prefixes, whole segments: `/api` fits `/api` and `/api/x`, not `/apix`."""
    process: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=4096)], ...] = ()
    """Programs, by name or by absolute path; empty means any. A convenience, not a boundary: what
    runs under a name is the agent's choice."""


class Addresses(Section, frozen=True):
    """Named exceptions to the ban on private, metadata and reserved addresses.

    An exception for a network never opens a cloud metadata address inside it; that takes the
    single address, written on its own.
    """

    allow: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=64)], ...] = ()


class RuleAt(Section, frozen=True):
    """A credential rule, at a place; what is left empty stands for any."""

    rule: RuleId
    """`*` is every rule, for entries with a digest."""
    host: str = ""
    path: str = ""
    """Path prefix, whole segments."""
    digest: str = ""
    """Digest of one value, as findings have it under `digest_key`."""


class RuleHome(Section, frozen=True):
    """One more host where the credential of `rule` belongs, in the rule's own places."""

    rule: RuleId
    host: Pattern


class RuleTuning(Section, frozen=True):
    """Tuning of the credential rules, by rule id."""

    suppress: tuple[RuleAt, ...] = ()
    """No finding at all."""
    warn: tuple[RuleAt, ...] = ()
    """The finding is recorded as `would_block` and the request passes."""
    homes: tuple[RuleHome, ...] = ()
    digest_key: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Key of the digests in findings: entries with a digest need one, so that the digest of a value
    is the same in every jail. Empty: a random one for each jail, which nobody can guess from."""
    files: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=4096)], ...] = ()
    """Rule files of the operator's own, added to those that ship; relative to the policy file."""


class SecretHome(Section, frozen=True):
    """Where a known secret belongs."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    """Of the variable, or `FILE:KEY` for one that was found in a file."""
    host: Pattern
    places: tuple[str, ...] = ("header:authorization",)
    """`header:NAME`, `url` or `body`."""


class Secrets(Section, frozen=True):
    """Secrets known beforehand: the agent's own, found in any encoding."""

    environment: Literal["register", "ignore"] = "register"
    """What happens to variables of the agent's environment that hold secrets."""
    files: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=4096)], ...] = ()
    """Files whose values are registered: env files, netrc, credentials; `~` is the agent's home."""
    well_known: Literal["register", "ignore"] = "ignore"
    """What happens to those in the usual places of the agent's home: cloud, container, cluster and
    package configurations."""
    ignore: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], ...] = ()
    """Names that are not registered."""
    homes: tuple[SecretHome, ...] = ()


class Limits(Section, frozen=True):
    """Bounds on what one connection or one jail may ask of the interceptor.

    Sizes in bytes, times in seconds.
    """

    header_bytes: Size = 65_536
    """Request line and header section together."""
    header_count: Count = 200
    body_hold: Size = 1_048_576
    """Request bodies up to this size are judged whole before their first byte is sent."""
    body_bytes: SizeOrZero = 0
    """Largest request body; 0 is no limit."""
    decoded_bytes: Size = 16_777_216
    """Bytes that decoders may produce while one unit is judged; more is `incomplete`."""
    idle_seconds: Seconds = 300.0
    header_seconds: Seconds = 30.0
    """From the first byte of a request to the end of its header section."""
    connect_seconds: Seconds = 15.0
    body_seconds: Seconds = 3600.0
    """From the first byte of a request body that is held to its end."""
    connections: Count = 1024
    """Open connections of one jail."""
    streams: Count = 128
    """HTTP/2 streams open at once on one connection."""
    message_bytes: Size = 16_777_216
    """Largest WebSocket or gRPC message; each is judged whole."""
    inbound_bytes: Size = 1_048_576
    """Documents up to this size are judged whole before their first byte reaches the agent."""
    expansion: Count = 1000
    """How many times larger than its input a decoder's output may be, beyond the first MiB."""


class TcpService(Section, frozen=True):
    """A service that is reached by another protocol than HTTP: relayed, both directions scanned."""

    host: Pattern
    port: Port
    protocol: Literal[
        "ssh",
        "smtp",
        "imap",
        "pop3",
        "ftp",
        "irc",
        "postgres",
        "mysql",
        "redis",
        "mongodb",
        "any",
    ]
    """What is spoken there; another protocol on that port is refused. `any`: whatever it is."""


class Dns(Section, frozen=True):
    """How names are answered; docs/dns.md."""

    mode: Literal["synthetic", "verify"] = "synthetic"
    """`synthetic`: every host name gets an address, and nobody is asked before a connection is
    allowed; `verify`: a name that may be reached is resolved after its verdict, and what does not
    exist does not exist for the agent either."""
    records: Literal["opened", "never"] = "opened"
    """Whether SRV, MX and TXT of names that `hosts.allow` or `tcp` name are fetched; other names
    have none."""


class Upstream(Section, frozen=True):
    """How upstream servers are verified."""

    ca_file: str | None = None
    """PEM bundle trusted besides the host's own trust."""
    min_tls: Literal["1.2", "1.3"] = "1.2"


class Policy(Section, frozen=True):
    """The whole policy. The defaults are the `balanced` preset."""

    version: Literal[1] = 1
    preset: PresetName = PresetName.BALANCED
    findings: Literal["block", "record"] = "block"
    """`record`: a finding is logged as `would_block` and the unit passes."""
    hosts: Hosts = Hosts()
    ports: tuple[Port, ...] = (80, 443)
    requests: tuple[RequestRule, ...] = ()
    tcp: tuple[TcpService, ...] = ()
    services: dict[ServiceName, ServicePlace] = msgspec.field(default_factory=dict)
    """Private services by name: `NAME` or `NAME:PORT` in the jail, to `ADDRESS:PORT`."""
    http2: Literal["auto", "always", "never"] = "auto"
    """What an agent that offers both versions gets: `auto` is HTTP/1.1, which is faster here."""
    dns: Dns = Dns()
    inbound: Inbound = Inbound()
    mcp: Mcp = Mcp()
    addresses: Addresses = Addresses()
    rules: RuleTuning = RuleTuning()
    secrets: Secrets = Secrets()
    limits: Limits = Limits()
    upstream: Upstream = Upstream()


def digest(policy: Policy) -> str:
    """Return 16 hex digits that name this policy in the evidence; equal policies share them."""
    text = msgspec.json.encode(policy, order="deterministic")
    return hashlib.blake2b(text, digest_size=8).hexdigest()
