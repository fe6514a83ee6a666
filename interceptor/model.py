"""What is judged: units, their readable views, and where they come from and go to."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

SELF_TEST_NAME: Final = "selftest.egressguard.test"
"""Reserved for the self-test that runs before the agent: resolved like any host name."""


class Kind(enum.StrEnum):
    """Kinds of unit. A new protocol adds one line here and one file in wire/."""

    CONNECTION = "connection"
    DNS_QUERY = "dns_query"
    HTTP_REQUEST = "http_request"
    HTTP_RESPONSE = "http_response"
    WS_MESSAGE = "ws_message"
    GRPC_MESSAGE = "grpc_message"
    MCP_MESSAGE = "mcp_message"
    A2A_MESSAGE = "a2a_message"
    TCP_STREAM = "tcp_stream"
    QUIC = "quic"
    PACKET = "packet"
    PUBLISHED = "published"
    """A connection from the host to a port of the agent's that the operator has published."""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Who opened a flow, and what it dialled."""

    jail: str
    """Name of the jail."""
    flow: str
    """Id of the flow, unique within the jail, such as `f12`."""
    address: str
    """Original destination as the agent dialled it, canonical text of an IPv4 or IPv6 address."""
    port: int
    """Original destination port."""
    name: str = ""
    """Name leased to `address`, lower case, no trailing dot; empty when an address was dialled."""
    agent: str = ""
    """Which of several agents of one explicit proxy; empty where there is one."""


class Target(msgspec.Struct, frozen=True, gc=False):
    """Where a unit wants to go. One identity: host is the leased name and nothing else."""

    scheme: str
    """`https`, `http`, `dns`, `tcp`, `tls` (TCP inside TLS) or `quic`."""
    host: str
    """Lower-case A-label name without trailing dot, or canonical address text."""
    port: int
    method: str = ""
    path: str = ""
    """Path and query as they will be sent (origin-form, RFC 9112 section 3.2.1)."""

    @property
    def authority(self) -> str:
        """Host and port as in a URL; the scheme's default port is left out, IPv6 is bracketed."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"https": 443, "http": 80}.get(self.scheme)
        return host if self.port == default else f"{host}:{self.port}"


class View(msgspec.Struct, frozen=True, gc=False):
    """One readable form of a unit's bytes."""

    where: str
    """`url`, `header:<lower-case name>`, `body`, `name`, `trailer:<name>`."""
    data: bytes


class Unit(msgspec.Struct, frozen=True, gc=False):
    """One thing to judge."""

    kind: Kind
    target: Target
    views: tuple[View, ...] = ()


class Setting(enum.IntFlag):
    """Where a passage stands in what came back, and who sees it there."""

    SHOWN = 0
    """Ordinary text that a person would see."""
    HIDDEN = 1
    """A person would not see it: styled away, of no size, off the page, of the colour behind it."""
    COMMENT = 2
    """A comment of the format: markup, code, style, metadata of a picture."""
    ATTRIBUTE = 4
    """An attribute or a field that describes: alt, title, aria, meta, data, a JSON value's key."""
    CODE = 8
    """An example in a block or span of code, or a script."""
    QUOTE = 16
    """A quotation: a block of it, or a string within quotation marks."""
    HEADING = 32
    """A heading or a title."""
    LINK = 64
    """A URL that is followed or fetched: of a link, of an image, of a frame."""
    ACTIVE = 128
    """What runs or loads by itself: script, frame, object, handler, refresh."""


class Passage(msgspec.Struct, frozen=True, gc=False):
    """A piece of what came back, as an agent reads it; made by a reader of wire/rendered."""

    text: bytes
    """UTF-8. Entities, escapes and markup are undone; text split over inline elements is whole."""
    setting: Setting = Setting.SHOWN
    start: int = -1
    """Offset in the content where it begins; -1 where it has no place of its own."""
    end: int = -1
    """Offset behind its end."""
