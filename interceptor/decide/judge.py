"""The judge: from a unit and a policy to a verdict. The only maker of ALLOW.

Pure: no clock, no sockets, no files. Whatever goes wrong in here is an exception, and every
caller turns an exception into a refusal.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import msgspec

from interceptor.decide.addresses import Exceptions, HostNetwork
from interceptor.decide.bodies import UploadWindow, content_types, holds_texts, scan_texts
from interceptor.decide.encrypted_dns import EncryptedDns
from interceptor.decide.findings import Weighed, Weigher
from interceptor.decide.hosts import HostSet
from interceptor.decide.inbound import InboundWindow
from interceptor.decide.literals import host_literal, looks_numeric
from interceptor.decide.memory import SplitMemory
from interceptor.decide.messages import RememberingWindow
from interceptor.decide.name_memory import NameMemory
from interceptor.decide.name_rules import IN_TIME, NameRules
from interceptor.decide.requests import RequestRules
from interceptor.decide.resolution import Resolution
from interceptor.decide.services import Endpoint, NamedServices, Services
from interceptor.model import Target
from interceptor.policy.schema import Policy, TcpService
from interceptor.scan.engine import CLEAN, RawFinding, Scan, Scanner
from interceptor.scan.inbound import InboundScanner
from interceptor.scan.names import fault, scan_name
from interceptor.scan.window import BodyWindow, Decide, MessageWindow, scan_whole
from interceptor.verdict import Action, Finding, Reason, Verdict
from interceptor.wire.body.stream import BodyStream
from interceptor.wire.fields import HttpError

_EPOCHS = itertools.count(1)

_FIELD_NAME = 64  # bytes of a field's name that findings repeat

_ALLOWED = Verdict(Action.ALLOW, Reason.ALLOWED)


class Judge:
    """Judges the units of one jail.

    Attributes:
        policy: the policy in force.
        memory: what the agent has sent in pieces; who judges for several agents sets each one's.
        names: what the agent has named; likewise.
        epoch: number of the judgement: another one for each judge and each scanner. What was
            dialled under one is not used under another.

    Args:
        policy: the policy in force.
        scanner: for this judge's thread alone.
        digest_key: key of the digests in findings, 16 to 64 random bytes of this jail.
        inbound: looks at what comes back; None: nothing does.

    Raises:
        ValueError: a pattern or network of the policy is malformed (the loader checks before), or
            the key has another length.
    """

    def __init__(
        self,
        policy: Policy,
        scanner: Scanner,
        digest_key: bytes,
        inbound: InboundScanner | None = None,
    ) -> None:
        if not 16 <= len(digest_key) <= 64:
            raise ValueError("digest_key must have 16 to 64 bytes")
        self.policy = policy
        self._scanner = scanner
        self._inbound = inbound
        self._key = digest_key
        self._decoded_bytes = policy.limits.decoded_bytes
        self._record_only = policy.findings == "record"
        self._allow = HostSet(policy.hosts.allow, "hosts.allow")
        self._deny = HostSet(policy.hosts.deny, "hosts.deny")
        self._ports = frozenset(policy.ports)
        self._services = Services(policy.tcp)
        self._named = NamedServices(policy.services)
        self.epoch = next(_EPOCHS)
        self._exceptions = Exceptions(policy.addresses.allow)
        self._resolution = Resolution(
            classify=lambda address: self._exceptions.classify(address),
            deny=self._deny,
            named=self._named,
            name=self._said,
            refuse=self.refuse,
        )
        self._requests = RequestRules(policy.requests, self.refuse)
        self.encrypted_dns = EncryptedDns(policy.hosts.allow, self.refuse)
        self._weigher = Weigher(scanner.rules, policy)
        self._name_rules = NameRules(policy.hosts.allow, self.refuse)
        self._now = 0.0
        self.memory = SplitMemory(scanner, digest_key, self._decoded_bytes)
        self.names = NameMemory()

    @property
    def asks_for_process(self) -> bool:
        """True when the policy has rules for some programs only."""
        return self._requests.by_process

    def tick(self, now: float) -> None:
        """Take the time, in seconds that only grow: what was sent long ago is forgotten by it."""
        self._now = now

    def use(self, scanner: Scanner) -> None:
        """Go on with another scanner, for this judge's thread alone: other rules, other secrets.

        What is judged from now on is judged by it; windows that are open keep the one they have.
        """
        self.epoch = next(_EPOCHS)
        self._weigher = Weigher(scanner.rules, self.policy)
        self._scanner = scanner
        self.memory.scanner = scanner
        self.names.unsettle()

    def on_host(self, networks: Iterable[HostNetwork]) -> None:
        """Take the addresses and networks of the machine that dials: none of them is public.

        Raises:
            ValueError: one is malformed; those known before stay in force.
        """
        self._exceptions = Exceptions(self.policy.addresses.allow, networks)
        self.epoch = next(_EPOCHS)
        self.names.unsettle()

    @staticmethod
    def refuse(reason: Reason, detail: str = "", rule: str = "") -> Verdict:
        """Return a refusal that someone else has decided upon, such as a protocol error."""
        if reason in (Reason.ALLOWED, Reason.WOULD_BLOCK):
            return Verdict(Action.BLOCK, Reason.INTERNAL_ERROR, rule, detail)
        return Verdict(Action.BLOCK, reason, rule, detail)

    def name(self, name: str) -> Verdict:
        """Judge a host name wherever it is seen: its shape, and secrets in its labels.

        Host policy is not asked here, so that a denied name still resolves and the refusal can
        explain itself. Give the name in the case it was seen in: base64 lives in it.
        """
        known = self.names.settled.get(name)
        return self._name(name) if known is None else known

    def connection(self, target: Target) -> Verdict:
        """Judge host and port, before a byte is read or TLS is answered."""
        key = (target.host, target.port)
        known = self.names.connections.get(key)
        if known is None:
            known = self._connection(target)
            if known.reason not in IN_TIME:
                self.names.settle_connection(key, known)
        return known

    def service(self, target: Target) -> TcpService | None:
        """Return the entry of `tcp` that opens host and port, if there is one."""
        return self._services.find(target.host, target.port)

    def endpoint(self, target: Target) -> Endpoint | None:
        """Return where the entry of `services` is that has the target's name and port, or None."""
        return self._named.find(target.host, target.port)

    def stream(self, target: Target) -> Verdict:
        """Judge a connection to a service that `tcp` opens; `connection` knows no such ports."""
        return self._place(target.host, target.port, opened=True)

    def request(
        self,
        target: Target,
        head: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        body: bytes,
        codings: tuple[bytes, ...] = (),
        process: str = "",
    ) -> Verdict:
        """Judge a request: host and port once more, method and path, secrets in every view.

        Args:
            target: where it goes; `path` as it will be sent.
            head: request line and header section as received.
            fields: (lower-case name, value) of the header section; says where a finding lies, and
                what the body is.
            body: content, or b"".
            codings: content codings of `body` that are still to be undone.
            process: path of the program that asks, empty where it is not known.
        """
        verdict = self.connection(target)
        if verdict.action is not Action.ALLOW:
            return verdict
        refused = self.encrypted_dns.request(target, head, fields)
        if refused is None and self._requests:
            refused = self._requests.refused(target, fields, process)
        if refused is not None:
            return refused
        scan = self._scanner.scan(head, "head", self._key, self._decoded_bytes)
        budget = self._decoded_bytes
        below = scan_whole(self._scanner, body, "body", self._key, budget) if body else CLEAN
        texts: list[tuple[str, RawFinding]] = []
        if body and (codings or holds_texts(fields, body)):
            stream = BodyStream(
                content_types(fields), codings, budget, self.policy.limits.expansion
            )
            try:
                texts, incomplete = scan_texts(stream, body, self._scanner, self._key, budget)
            except HttpError as error:
                return self.refuse(error.reason, error.detail)
            if incomplete:
                return _unreadable()
        if scan.incomplete or below.incomplete:
            return _unreadable()
        pieces = self.memory.pieces(target, fields, b"" if codings else body)
        found = self.memory.look(pieces, self._now) if pieces is not None else []
        if scan is CLEAN and below is CLEAN and not (found or texts or verdict.findings):
            verdict = _ALLOWED
        else:
            found += self._views(scan, target, head, fields)
            found += [("body", raw) for raw in below.findings]
            found += texts
            verdict = self._weighed(self._weigher.weigh(found, target), verdict.findings)
        if pieces is not None and verdict.action is Action.ALLOW:
            self.memory.keep(pieces, self._now)
        return verdict

    def trailers(self, target: Target, fields: Sequence[tuple[bytes, bytes]]) -> Verdict:
        """Judge trailer fields (RFC 9110 section 6.5), (lower-case name, value)."""
        found: list[tuple[str, RawFinding]] = []
        for name, value in fields:
            where = f"trailer:{self._field_name(name)}"
            line = name + b": " + value
            scan = self._scanner.scan(line, where, self._key, self._decoded_bytes)
            if scan.incomplete:
                return _unreadable()
            found += [(where, raw) for raw in scan.findings]
        return self._weighed(self._weigher.weigh(found, target), ())

    def packet(self, target: Target, what: str, data: bytes, names: Sequence[str]) -> Verdict:
        """Judge a packet that no listener takes: refused whatever it is, the question is why.

        Args:
            target: what it was sent to.
            what: what it is, for people.
            data: what it carries.
            names: host names it asks for.
        """
        found: tuple[Finding, ...] = ()
        for name in names:
            verdict = self.name(name)
            if verdict.reason not in (Reason.ALLOWED, Reason.NAME_INVALID):
                found += verdict.findings
                if not verdict.allowed:
                    return verdict
        scan = self._scanner.scan(data, "body", self._key, self._decoded_bytes)
        if scan.findings:
            weighed = self._weigher.weigh([("body", raw) for raw in scan.findings], target)
            verdict = self._weighed(_placed(weighed, "packet"), found)
            if not verdict.allowed:
                return verdict
            found = verdict.findings
        detail = f"{what}: no listener takes it"
        return Verdict(Action.BLOCK, Reason.PROTOCOL_REFUSED, "", detail, found)

    def holds_secret(self, data: bytes) -> bool:
        """Tell whether bytes hold anything that a credential rule or a known secret describes."""
        scan = self._scanner.scan(data, "body", self._key, self._decoded_bytes)
        return bool(scan.findings) or scan.incomplete

    def records(self, name: str, texts: Sequence[bytes]) -> Verdict:
        """Judge what the DNS records of a name say, before the agent reads them.

        Args:
            name: lower case, without trailing dot.
            texts: one for each record.
        """
        window = self.inbound_window("dns_answer")
        found: list[tuple[str, RawFinding]] = []
        noted: tuple[Finding, ...] = ()
        for text in texts:
            verdict = None if window is None else window.judge(text)
            if verdict is not None:
                if verdict.action is not Action.ALLOW:
                    return verdict
                noted += verdict.findings
            scan = self._scanner.scan(text, "body", self._key, self._decoded_bytes)
            if scan.incomplete:
                return _unreadable()
            found += [("body", raw) for raw in scan.findings]
        weighed = self._weigher.weigh(found, Target("dns", name, 53))
        return self._weighed(_placed(weighed, "dns_answer"), noted)

    def passed(self, findings: tuple[Finding, ...]) -> Verdict:
        """Return the verdict on findings that a window let pass: at home, warned or recorded."""
        home = tuple(finding for finding in findings if finding.home)
        others = tuple(finding for finding in findings if not finding.home)
        return self._weighed(Weighed(warned=others, home=home), ())

    def upload_window(
        self,
        target: Target,
        fields: Sequence[tuple[bytes, bytes]],
        codings: tuple[bytes, ...] = (),
    ) -> UploadWindow:
        """Return the window of a streaming body and of all texts that can be read in it.

        Args:
            target: where it goes.
            fields: (lower-case name, value) of the header section; says what the body is.
            codings: content codings that the window is to undo for itself.

        Raises:
            HttpError: INCOMPLETE, a coding that is not known.
        """

        def opened(where: str) -> BodyWindow:
            decide = self._decide(target, where)
            return BodyWindow(self._scanner, decide, self._key, self._decoded_bytes)

        expansion = self.policy.limits.expansion
        return UploadWindow(opened, BodyStream(content_types(fields), codings, None, expansion))

    def message_window(self, target: Target, where: str) -> RememberingWindow:
        """Return the window that judges the messages of one sequence bound for `target`.

        Args:
            target: where they go.
            where: what findings say of their place, such as `ws_message`. Rules take messages for
                bodies: what they look for in a body, and what is at home in one.
        """
        return RememberingWindow(
            MessageWindow(
                self._scanner,
                self._decide(target, where),
                self.passed,
                self._key,
                self._decoded_bytes,
            ),
            lambda message: self._remembered(target, where, message),
        )

    def _remembered(self, target: Target, where: str, message: bytes) -> Verdict | None:
        """Judge a small message together with what was sent before, anywhere."""
        pieces = self.memory.note(target.host, where, message)
        if pieces is None:
            return None
        found = self.memory.look(pieces, self._now)
        verdict = self._weighed(self._weigher.weigh(found, target), ()) if found else None
        if verdict is None or verdict.allowed:
            self.memory.keep(pieces, self._now)
        return verdict

    def finds_nothing(self, content: bytes) -> bool:
        """Tell whether an inbound window would find nothing in content that is there as a whole."""
        return self._inbound is None or not self._inbound.scan(content)

    def inbound_window(self, where: str) -> InboundWindow | None:
        """Return the window that judges one sequence of content that comes back.

        Args:
            where: what findings say of their place: `response`, `ws_message`, `stream`.

        Returns:
            None when nothing is looked for.
        """
        if self._inbound is None:
            return None
        block = self.policy.inbound.findings == "block" and not self._record_only
        return InboundWindow(self._inbound, where, self._key, None if block else self.passed)

    def _decide(self, target: Target, where: str) -> Decide:
        def decide(scan: Scan) -> tuple[Verdict | None, tuple[Finding, ...]]:
            if scan.incomplete:
                return _unreadable(), ()
            weighed = self._weigher.weigh([("body", raw) for raw in scan.findings], target)
            if where != "body":
                weighed = _placed(weighed, where)
            verdict = self._weighed(weighed, ())
            return (None if verdict.allowed else verdict), weighed.all

        return decide

    def addresses(
        self, target: Target, addresses: Sequence[str], canonical: str = ""
    ) -> tuple[Verdict, tuple[str, ...]]:
        """Judge what a name resolved to; one bad address refuses the set.

        Args:
            target: whose host it was.
            addresses: all of them.
            canonical: last name of the alias chain, lower case; empty if there was no alias.

        Returns the verdict and the canonical literals to dial, none unless allowed.
        """
        refused, literals = self._resolution.judge(target, addresses, canonical)
        return (_ALLOWED, literals) if refused is None else (refused, ())

    def _name(self, name: str) -> Verdict:
        """Judge a name that is not settled: by itself, then with what its agent named before."""
        names = self.names
        held = names.held(name, self._now)
        if held is not None:
            return held
        bare = name.removesuffix(".")
        misshapen = self._misshapen(bare)
        if misshapen is not None:
            return names.settle(name, misshapen)
        folded = bare.lower()
        domain = self._name_rules.domain(folded)
        verdict = self._whole(bare, folded, domain)
        if verdict.action is not Action.ALLOW or self._name_rules.exempt(folded):
            return names.settle(name, verdict)
        found, refused = self._name_rules.over(
            bare, domain, names, self._scanner, self._key, self._now
        )
        if found:
            weighed = self._weigher.weigh([("name", raw) for raw in found], _in_dns(folded))
            refused = self._weighed(weighed, verdict.findings, Reason.SECRET_IN_NAME)
        elif refused is None:
            return names.settle(name, verdict)
        elif self._record_only:
            refused = msgspec.structs.replace(
                refused, action=Action.ALLOW, reason=Reason.WOULD_BLOCK, findings=verdict.findings
            )
        return names.hold(name, refused, self._now)

    def _said(self, name: str) -> Verdict:
        """Judge a name that the agent did not choose: its shape, and secrets in its labels."""
        bare = name.removesuffix(".")
        folded = bare.lower()
        return self._misshapen(bare) or self._whole(bare, folded, self._name_rules.domain(folded))

    def _misshapen(self, bare: str) -> Verdict | None:
        wrong = fault(bare)
        if wrong:
            return self.refuse(Reason.NAME_INVALID, wrong)
        if looks_numeric(bare):
            literal = host_literal(bare)
            if literal is not None:
                return self._disguised(literal)
            return self.refuse(Reason.NAME_INVALID, "the name ends in a number")
        return None

    def _whole(self, bare: str, folded: str, domain: str) -> Verdict:
        """Judge the secrets that a name holds by itself."""
        raw = scan_name(self._scanner, bare, self._key, domain)
        if not raw:
            return _ALLOWED
        weighed = self._weigher.weigh([("name", finding) for finding in raw], _in_dns(folded))
        return self._weighed(weighed, (), Reason.SECRET_IN_NAME)

    def _disguised(self, literal: str) -> Verdict:
        """Refuse a name that clients take for this address: for where it leads, or for its form."""
        found = self._exceptions.classify(literal)
        detail = f"the host stands for {literal}"
        if found.reason is None:
            return self.refuse(Reason.NAME_INVALID, detail)
        return self.refuse(found.reason, f"{detail}: {found.what}", "addresses")

    def _connection(self, target: Target) -> Verdict:
        # Any protocol: that is HTTP, too. Another one opens nothing for HTTP.
        service = self._services.find(target.host, target.port)
        opened = service is not None and service.protocol == "any"
        return self._place(target.host, target.port, opened=opened)

    def _place(self, host: str, port: int, *, opened: bool) -> Verdict:
        """Judge host and port; `opened` by name, as an entry of `hosts.allow` with a port does."""
        literal = host_literal(host)
        allowed = self._allow.find(host, port)
        verdict = _ALLOWED
        if literal is not None:
            if literal != host:
                return self._disguised(literal)
            found = self._exceptions.classify(literal)
            if found.reason is not None:
                return self.refuse(found.reason, f"{literal}: {found.what}", "addresses")
        else:
            verdict = self.name(host)
            if verdict.action is not Action.ALLOW:
                return verdict
            cloud = None if host in self._named else self._exceptions.name(host)
            if cloud is not None:
                reason = cloud.reason or Reason.ADDRESS_METADATA
                return self.refuse(reason, f"{host}: {cloud.what}", "addresses")
        denied = self._deny.find(host, port)
        if denied is not None:
            return self.refuse(Reason.HOST_DENIED, f"{host} is denied", denied[0])
        if not opened:
            bypass = self.encrypted_dns.host(host, port)
            if bypass is not None:
                return bypass
        if host in self._named:
            return self._named_service(host, port, verdict, opened=opened)
        if opened:
            return verdict
        if allowed is None:
            if literal is not None and self.policy.hosts.literals == "deny":
                detail = f"{host} was dialled without a name"
                return self.refuse(Reason.NO_NAME, detail, "hosts.literals")
            if self.policy.hosts.others == "deny":
                detail = f"{host} is not among the allowed hosts"
                return self.refuse(Reason.HOST_NOT_ALLOWED, detail, "hosts.others")
        if port not in self._ports and not (allowed is not None and allowed[1]):
            return self.refuse(Reason.PORT_NOT_ALLOWED, f"port {port} is not open", "ports")
        return verdict

    def _named_service(self, host: str, port: int, verdict: Verdict, *, opened: bool) -> Verdict:
        """Judge a port of a named service: those that are written, and nothing beside them.

        Where `tcp` says that another protocol is spoken there, HTTP is not.
        """
        other = self._services.find(host, port)
        if self._named.find(host, port) is not None and (opened or other is None):
            return verdict
        detail = f"{host} is a named service, and port {port} is not among its ports"
        if other is not None:
            detail = f"{host} speaks {other.protocol} at port {port}"
        return self.refuse(Reason.PORT_NOT_ALLOWED, detail, "services")

    def _views(
        self, scan: Scan, target: Target, head: bytes, fields: Sequence[tuple[bytes, bytes]]
    ) -> list[tuple[str, RawFinding]]:
        """Say in which view each finding of a head lies; what lies in none keeps `head`."""
        if not scan.findings:
            return []
        line = head.partition(b"\r\n")[0]
        views = [("url", line), ("url", target.path.encode("utf-8", "surrogateescape"))]
        for name, value in fields:
            views.append((f"header:{self._field_name(name)}", name + b": " + value + b"\r\n"))
        found: list[tuple[str, RawFinding]] = []
        for where, data in views:
            inner = self._scanner.scan(data, where, self._key, self._decoded_bytes)
            found += [(where, raw) for raw in inner.findings]
        placed = {raw.rule for _, raw in found}
        # What lies in no view lies over several, unless its rule is for one of them alone.
        both = {"url", "header"}
        return found + [
            ("head", raw)
            for raw in scan.findings
            if raw.rule not in placed and both <= set(self._scanner.rules[raw.rule].surfaces)
        ]

    def _field_name(self, name: bytes) -> str:
        """Name of a field as it may be repeated: the agent may have put the secret into it."""
        scan = self._scanner.scan(name, "header", self._key, self._decoded_bytes)
        return "…" if len(name) > _FIELD_NAME or scan is not CLEAN else name.decode("latin-1")

    def _weighed(
        self, weighed: Weighed, before: tuple[Finding, ...], reason: Reason = Reason.SECRET
    ) -> Verdict:
        """Make the verdict on findings; `before` were passed with the connection's verdict."""
        findings = weighed.all + tuple(f for f in before if f not in weighed.all)
        if weighed.blocking and not self._record_only:
            first = weighed.blocking[0]
            reason = self._weigher.reason_of(weighed, reason)
            detail = f"{first.title} in {first.where}"
            return Verdict(Action.BLOCK, reason, first.rule, detail, findings)
        if not findings:
            return _ALLOWED
        noted = weighed.blocking + weighed.warned or tuple(f for f in before if not f.home)
        if noted:
            detail = f"{noted[0].title} in {noted[0].where}"
            return Verdict(Action.ALLOW, Reason.WOULD_BLOCK, noted[0].rule, detail, findings)
        return Verdict(Action.ALLOW, Reason.ALLOWED, "", "", findings)


def _placed(weighed: Weighed, where: str) -> Weighed:
    """Give findings another place: the one they were weighed by is that of a rule's home."""

    def placed(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        return tuple(msgspec.structs.replace(finding, where=where) for finding in findings)

    return Weighed(placed(weighed.blocking), placed(weighed.warned), placed(weighed.home))


def _in_dns(folded: str) -> Target:
    return Target("dns", folded, 53)


def _unreadable() -> Verdict:
    detail = "layers of encoding exceed limits.decoded_bytes"
    return Verdict(Action.BLOCK, Reason.INCOMPLETE, "limits.decoded_bytes", detail)
