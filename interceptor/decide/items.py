"""Judging one item without a network: a URL, a header, a body, a name, a tool call.

Every item becomes the unit that the data plane would judge (a request, a name, a message, content
that comes back) and goes to the same `Judge`. No rule stands here.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from interceptor.decide.inner_urls import inner_hosts
from interceptor.decide.item_parts import addressed, take_body
from interceptor.decide.judge import Judge
from interceptor.decide.literals import parse
from interceptor.decide.reach import (
    NEUTRAL_HOST,
    Reach,
    both,
    differs,
    place_of,
    placed,
)
from interceptor.decide.sessions import Sessions
from interceptor.decide.urls import Url, read_host, read_url
from interceptor.model import Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.verdict import Reason, Verdict
from interceptor.wire.authority import default_port, parse_authority, parse_target
from interceptor.wire.content import content_codings
from interceptor.wire.fields import HttpError, split_fields
from interceptor.wire.http1 import RequestHead, read_request

_SLICE: Final = 1 << 18

Fields = Sequence[tuple[bytes, bytes]]
"""(name as written, value) pairs."""


class Items:
    """Judges items one by one, in the order in which they happen.

    Attributes:
        judge: what decides. Its policy is the one given, but the neutral host is allowed.
        sessions: their pasts.
    """

    def __init__(
        self,
        policy: Policy,
        scanner: Scanner,
        digest_key: bytes,
        inbound: InjectionScanner | None = None,
    ) -> None:
        """Make the judges.

        Args:
            policy: in force.
            scanner: for this thread alone.
            digest_key: key of the digests, 16 to 64 bytes.
            inbound: looks at what comes back; None: nothing does.
        """
        hosts = msgspec.structs.replace(policy.hosts, allow=(*policy.hosts.allow, NEUTRAL_HOST))
        policy = msgspec.structs.replace(policy, hosts=hosts)
        self.judge = Judge(policy, scanner, digest_key, inbound)
        self._content = self.judge
        if policy.requests:
            # A header or a body on its own says nothing about the method and path it goes with.
            bare = msgspec.structs.replace(policy, requests=())
            self._content = Judge(bare, scanner, digest_key, inbound)
        self._limits = policy.limits
        self._reach = Reach(self.judge)
        self.sessions = Sessions(scanner, digest_key, policy.limits.decoded_bytes)
        self._session = self.sessions.of("")

    @property
    def target(self) -> Target:
        """Where the last item went."""
        return self._reach.last

    def judge_item(
        self, surface: str, content: bytes, host: str = "", session: str = "", at: float = 0.0
    ) -> Verdict:
        """Judge one item.

        Args:
            surface: one of `SURFACES`.
            content: its bytes.
            host: where it goes, or came from: `name`, `address`, or either with a port.
            session: items of one session follow each other; empty: the item stands alone.
            at: when it happened, in seconds; what goes back within a session counts as now.

        Raises:
            KeyError: no such surface.
        """
        judged = SURFACES[surface]
        single = surface != "request" or content.count(b" HTTP/1.") < 2
        self._session = own = self.sessions.of(session, single=single)
        own.now = max(own.now, at)
        for judge in (self.judge, self._content):
            judge.memory = own.memory
            judge.names = own.names
            judge.taint = own.taint
            judge.tick(own.now)
        try:
            return judged(self, content, host)
        except HttpError as error:
            return self.judge.refuse(error.reason, error.detail)
        finally:
            if session:
                self.sessions.settle(own)

    def visit(
        self, url: Url, method: str = "GET", fields: Fields = (), body: bytes = b""
    ) -> Verdict:
        """Judge a request of `url` as a client would make it.

        Raises:
            HttpError: a field is malformed, or a limit is exceeded.
        """
        target = msgspec.structs.replace(url.target, method=method)
        reached = self._reach.judge(url.host, target)
        if not reached.allowed:
            return reached
        lines = [(b"Host", target.authority.encode()), *fields]
        if url.user and all(name.lower() != b"authorization" for name, _ in fields):
            # What clients make of user information (RFC 7617).
            token = binascii.b2a_base64(url.user, newline=False)
            lines.append((b"Authorization", b"Basic " + token))
        block = b"".join([b"%b: %b\r\n" % line for line in lines])
        section = split_fields(block, self._limits.header_count, Reason.HTTP_MALFORMED)
        head = b"%b %b HTTP/1.1\r\n%b" % (method.encode("ascii"), url.written, block)
        named = [(lower, value) for _, lower, value in section]
        codings = content_codings(section.steering.get(b"content-encoding")) if body else ()
        verdict = self._request(self.judge, target, head, named, body, codings)
        return both(self.judge, reached, verdict)

    # -- surfaces ----------------------------------------------------------------------------

    def _url(self, content: bytes, host: str) -> Verdict:
        if host and content[:1] == b"/" and content[1:2] != b"/":
            content = b"https://%b%b" % (host.encode(), content)
        return self.visit(read_url(content))

    def _raw_request(self, content: bytes, host: str) -> Verdict:
        limits = self._limits
        verdict = self.judge.passed(())
        rest = content
        first = True
        while first or rest.strip(b"\r\n"):
            found = read_request(rest, limits.header_bytes, limits.header_count)
            if found is None:
                raise HttpError(Reason.HTTP_MALFORMED, "the header section has no end")
            head, used = found
            body, trailers, rest, whole = take_body(head, rest[used:], limits.header_bytes)
            judged = self._exchange(head, host, body, trailers)
            verdict = both(self.judge, verdict, judged)
            if not verdict.allowed:
                return verdict
            if not whole:
                raise HttpError(Reason.HTTP_MALFORMED, "the request ends within its body")
            first = False
        return verdict

    def _exchange(
        self, head: RequestHead, host: str, body: bytes, trailers: list[tuple[bytes, bytes]]
    ) -> Verdict:
        """Judge a request that was read."""
        asked = parse_target(head.method, head.target)
        if asked.form == "authority":
            place = read_host(head.target)
            port = place.port or default_port("https")
            return self._reach.judge(place, Target("tcp", place.canonical, port, "CONNECT"))
        written = head.host or host.encode() or NEUTRAL_HOST.encode()
        named = parse_authority(written)
        place = read_host(written)
        scheme = asked.scheme or ("http" if named.port == 80 else "https")
        if asked.authority is not None and place_of(asked.authority, scheme) != place_of(
            named, scheme
        ):
            raise HttpError(Reason.NAME_MISMATCH, "the request target and Host disagree")
        if host and differs(host, place, scheme):
            raise HttpError(Reason.NAME_MISMATCH, "Host names another host than the item")
        port = named.port or default_port(scheme)
        path = asked.path.decode("ascii")
        target = Target(scheme, place.canonical, port, head.method, path)
        reached = self._reach.judge(place, target)
        if not reached.allowed:
            return reached
        fields = [(lower, value) for _, lower, value in head.fields]
        codings = content_codings(head.codings) if body else ()
        verdict = self._request(self.judge, target, head.raw, fields, body, codings)
        if verdict.allowed and trailers:
            verdict = both(self.judge, verdict, self.judge.trailers(target, trailers))
        return both(self.judge, reached, verdict)

    def _header(self, content: bytes, host: str) -> Verdict:
        lines = content.replace(b"\r\n", b"\n").strip(b"\n").split(b"\n")
        block = b"".join([b"%b\r\n" % line for line in lines])
        if len(block) > self._limits.header_bytes:
            detail = f"a head over {self._limits.header_bytes} bytes"
            raise HttpError(Reason.LIMIT_EXCEEDED, detail)
        section = split_fields(block, self._limits.header_count, Reason.HTTP_MALFORMED)
        stated = section.steering.get(b"host", b"").decode("latin-1")
        target, reached = self._reach.target_of(host or stated)
        if not reached.allowed:
            return reached
        fields = [(lower, value) for _, lower, value in section]
        target = msgspec.structs.replace(target, method="GET")
        head = b"GET / HTTP/1.1\r\n" + block
        return both(self.judge, reached, self._content.request(target, head, fields, b""))

    def _body(self, content: bytes, host: str) -> Verdict:
        target, reached = self._reach.target_of(host)
        if not reached.allowed:
            return reached
        verdict = self._request(self._content, target, _NO_HEAD, (), content, ())
        return both(self.judge, reached, verdict)

    def _hostname(self, content: bytes, _host: str) -> Verdict:
        host = read_host(content.strip())
        port = host.port or self._reach.port
        return self._reach.judge(host, Target("tcp", host.canonical, port))

    def _address(self, content: bytes, host: str) -> Verdict:
        texts = content.decode("utf-8", "replace").replace(",", " ").split()
        if not texts:
            return self.judge.refuse(Reason.ADDRESS_RESERVED, "no address")
        named = read_host(host.encode()).canonical if host else ""
        for text in texts:
            bare = text.removeprefix("[").removesuffix("]").partition("%")[0]
            if parse(bare) is None:  # it may be anything, so it is not repeated
                return self.judge.refuse(Reason.ADDRESS_RESERVED, "not an IP address")
            target = Target("tcp", named or bare, self._reach.port)
            verdict, _ = self.judge.addresses(target, [bare])
            if not verdict.allowed:
                return verdict
        return verdict

    def _tool_call(self, content: bytes, host: str) -> Verdict:
        target, reached = self._reach.target_of(host)
        if not reached.allowed:
            return reached
        scanned = self._request(self._content, target, _NO_HEAD, _JSON, content, ())
        verdict = both(self.judge, reached, placed(scanned, "body", "tool_call"))
        for text in addressed(content):
            if not verdict.allowed:
                break
            try:
                url = read_url(text)
                verdict = both(self.judge, verdict, self.visit(url))
            except HttpError as error:
                verdict = self.judge.refuse(error.reason, error.detail)
            else:
                verdict = self._fetched(url) or verdict if verdict.allowed else verdict
        return verdict

    def _fetched(self, url: Url) -> Verdict | None:
        """Refuse a URL that has somebody else fetch a cloud's metadata; None: it does not."""
        for host in inner_hosts(url):
            verdict = self.judge.connection(Target("https", host.canonical, self._reach.port))
            if verdict.reason is Reason.ADDRESS_METADATA:
                return self.judge.refuse(verdict.reason, f"within the URL: {verdict.detail}")
        return None

    def _message(self, content: bytes, host: str) -> Verdict:
        target, reached = self._reach.target_of(host)
        if not reached.allowed:
            return reached
        if len(content) > self._limits.message_bytes:
            detail = f"a message over {self._limits.message_bytes} bytes"
            raise HttpError(Reason.LIMIT_EXCEEDED, detail)
        judge = self._content
        window = self._session.window(target, lambda: judge.message_window(target, "ws_message"))
        verdict = window.judge(content)
        if verdict is None or verdict.allowed:
            self._session.sent(target, window)
        return reached if verdict is None else both(self.judge, reached, verdict)

    def _inbound(self, where: str, content: bytes, host: str) -> Verdict:
        judge = self.judge
        try:
            target, _ = self._reach.target_of(host)
        except HttpError:  # it is not said where from
            target, _ = self._reach.target_of("")
        document = judge.inbound_document(target, b"", content, where)
        if document is None:
            return judge.passed(())
        document.feed(content)
        document.finish()
        verdict = document.verdict()
        if verdict is None:
            return judge.passed(())
        judge.came_back(verdict, target, where, seen=verdict.allowed)
        return verdict

    # -- parts -------------------------------------------------------------------------------

    def _request(
        self,
        judge: Judge,
        target: Target,
        head: bytes,
        fields: Fields,
        body: bytes,
        codings: tuple[bytes, ...],
    ) -> Verdict:
        """Judge a request as the data plane does: a long body through its window."""
        limits = self._limits
        if limits.body_bytes and len(body) > limits.body_bytes:
            raise HttpError(Reason.LIMIT_EXCEEDED, f"a body over {limits.body_bytes} bytes")
        if len(body) <= limits.body_hold:
            return judge.request(target, head, fields, body, codings)
        verdict = judge.request(target, head, fields, b"")
        if not verdict.allowed:
            return verdict
        window = judge.upload_window(target, fields, codings)
        for start in range(0, len(body), _SLICE):
            window.feed(body[start : start + _SLICE])
        window.finish()
        return both(self.judge, verdict, window.verdict or judge.passed(window.findings))


Judged = Callable[[Items, bytes, str], Verdict]

_NO_HEAD: Final = b"POST / HTTP/1.1\r\n"
_JSON: Final = ((b"content-type", b"application/json"),)


def _coming(where: str) -> Judged:
    def judged(items: Items, content: bytes, host: str) -> Verdict:
        return items._inbound(where, content, host)  # noqa: SLF001

    return judged


# fmt: off
SURFACES: Mapping[str, Judged] = MappingProxyType({
    "url": Items._url,  # noqa: SLF001
    "request": Items._raw_request,  # noqa: SLF001
    "header": Items._header,  # noqa: SLF001
    "body": Items._body,  # noqa: SLF001
    "hostname": Items._hostname,  # noqa: SLF001
    "address": Items._address,  # noqa: SLF001
    "response": _coming("response"),
    "tool_description": _coming("tool_description"),
    "tool_call": Items._tool_call,  # noqa: SLF001
    "tool_result": _coming("tool_result"),
    "ws_message": Items._message,  # noqa: SLF001
})
# fmt: on
"""Surfaces, and how an item of each is judged."""
