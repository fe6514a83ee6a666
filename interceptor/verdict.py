"""Verdicts: what is decided, and why. The vocabulary every other room shares."""

from __future__ import annotations

import enum

import msgspec


class Action(enum.IntEnum):
    """What is enforced. The zero value is the safe one: a forgotten field blocks."""

    BLOCK = 0
    REDACT = 1
    ALLOW = 2


class Severity(enum.StrEnum):
    """How bad a finding is, in the words of the rule files."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Reason(enum.StrEnum):
    """Stable reason codes: part of the interface (refusals, evidence, docs/reason-codes.md).

    A code is never renamed. `interceptor.decide.hints` holds a sentence for each.
    """

    # allowing
    ALLOWED = "allowed"
    WOULD_BLOCK = "would_block"  # audit preset: a finding that `balanced` would have blocked
    # policy
    HOST_DENIED = "host_denied"
    HOST_NOT_ALLOWED = "host_not_allowed"
    PORT_NOT_ALLOWED = "port_not_allowed"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    PATH_NOT_ALLOWED = "path_not_allowed"
    # secrets
    SECRET = "secret"
    SECRET_IN_NAME = "secret_in_name"
    DNS_TUNNEL = "dns_tunnel"  # names below one domain say more than names do
    SPLIT_SECRET = "split_secret"  # cut over fields of one request, or over requests in time
    CANARY = "canary"  # a planted decoy: whoever sends it has read what it should not
    # who asks
    PROXY_UNAUTHORIZED = "proxy_unauthorized"  # no agent of the explicit proxy's
    # what comes back
    INJECTION = "injection"
    UNTRUSTED = "untrusted"  # it passed: marked, stripped or only noted
    TAINTED = "tainted"  # refused outbound, because of what the agent has just received
    # tools and other agents: MCP and A2A
    RPC_MALFORMED = "rpc_malformed"  # no JSON-RPC 2.0, or such as parsers read in different ways
    RPC_UNEXPECTED = "rpc_unexpected"  # nobody asked for it, or the wrong side says it
    TOOL_POISONED = "tool_poisoned"  # its definition gives orders to the agent
    TOOL_CHANGED = "tool_changed"  # its definition is no longer the one that was pinned
    TOOL_IMPOSTOR = "tool_impostor"  # it looks like another server's tool, or speaks for it
    TOOL_DENIED = "tool_denied"
    TOOL_UNAPPROVED = "tool_unapproved"  # the policy asks before it is called
    TOOL_COMMAND = "tool_command"  # it destroys, persists, steals, or phones home
    TOOL_CHAIN = "tool_chain"  # calls that are harmless alone, together they are not
    TOOL_BUDGET = "tool_budget"
    CARD_CHANGED = "card_changed"  # an agent's card is no longer the one that was pinned
    # names and identity
    NAME_INVALID = "name_invalid"
    NAME_MISMATCH = "name_mismatch"  # lease, SNI, Host, absolute-form or CONNECT disagree
    NO_NAME = "no_name"  # an IP literal was dialled and nothing names a host
    SNI_MISSING = "sni_missing"
    ECH_REFUSED = "ech_refused"
    # addresses
    ADDRESS_PRIVATE = "address_private"
    ADDRESS_METADATA = "address_metadata"
    ADDRESS_RESERVED = "address_reserved"
    # bytes that cannot be read are refused
    INCOMPLETE = "incomplete"
    HTTP_MALFORMED = "http_malformed"
    HTTP_UNSUPPORTED = "http_unsupported"
    TLS_MALFORMED = "tls_malformed"
    TLS_CLIENT_REJECTED = "tls_client_rejected"  # the agent's client did not accept our leaf
    DNS_MALFORMED = "dns_malformed"
    DNS_BYPASS = "dns_bypass"  # DNS by another way than the jail's resolver: over HTTPS, TLS, QUIC
    PROTOCOL_REFUSED = "protocol_refused"
    LIMIT_EXCEEDED = "limit_exceeded"
    TIMEOUT = "timeout"
    # upstream's fault
    RESOLVE_FAILED = "resolve_failed"
    CONNECT_FAILED = "connect_failed"
    CERTIFICATE_INVALID = "certificate_invalid"
    UPSTREAM_MALFORMED = "upstream_malformed"
    UPSTREAM_CLOSED = "upstream_closed"
    # the agent's doing
    CLIENT_CLOSED = "client_closed"
    # ours
    EVIDENCE_UNWRITABLE = "evidence_unwritable"
    INTERNAL_ERROR = "internal_error"


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One rule matched at one place.

    It holds a keyed digest of the matched bytes, never the bytes: findings travel to logs
    and refusals.
    """

    rule: str
    """Id of the rule, such as `aws-access-key-id`."""
    title: str
    severity: Severity
    where: str
    """The view it was found in: `url`, `header:authorization`, `body`, `name`."""
    encoding: str = ""
    """Chain of decoders that exposed it, outermost first, such as `base64>hex`. Empty: plain."""
    digest: str = ""
    """First 16 hex digits of BLAKE2b of the secret keyed per jail."""
    home: bool = False
    """True where the credential is at home, so that it does not block."""


class Received(msgspec.Struct, frozen=True, gc=False):
    """How content that came back was judged."""

    score: int
    """0 to 100: how much it reads like instructions to an agent."""
    source: str
    """Who it came from, as policy sees it: `web`, `own` or `llm`."""
    handling: str
    """What was done: `block`, `annotate`, `strip` or `warn`."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The outcome of judging one unit. Built as ALLOW by `interceptor.decide.verdicts` alone."""

    action: Action = Action.BLOCK
    reason: Reason = Reason.INTERNAL_ERROR
    rule: str = ""
    """What decided: a rule id, a policy line such as `hosts.deny[2]`, or empty."""
    detail: str = ""
    """One clause for people; never contains bytes of a secret."""
    findings: tuple[Finding, ...] = ()
    received: Received | None = None
    """Set where content that came back was judged and something was found."""
    taint: str = ""
    """Flow that brought what the agent is tainted by at the moment; empty where it is not."""

    @property
    def allowed(self) -> bool:
        """True for ALLOW and nothing else."""
        return self.action is Action.ALLOW
