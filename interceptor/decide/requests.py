"""Method and path rules: the first that fits a request decides; none: it is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from interceptor.decide.hosts import HostSet
from interceptor.decide.paths import plain_path, under
from interceptor.model import Target
from interceptor.policy.schema import RequestRule
from interceptor.verdict import Reason, Verdict

# Fields by which some servers take another method than that of the request line.
_OVERRIDES: Final = frozenset((b"x-http-method-override", b"x-http-method", b"x-method-override"))


class RequestRules:
    """The `requests` section of a policy. False where it is empty."""

    def __init__(
        self, rules: Sequence[RequestRule], refuse: Callable[[Reason, str, str], Verdict]
    ) -> None:
        """Hold `rules`; `refuse` makes a refusal of a reason, a detail and the rule's label."""
        self._refuse = refuse
        self._rules = [
            (HostSet((rule.host,), ""), f"requests[{i}]", rule) for i, rule in enumerate(rules)
        ]

    def __bool__(self) -> bool:
        return bool(self._rules)

    @property
    def by_process(self) -> bool:
        """True when some rule is for some programs only."""
        return any(rule.process for _, _, rule in self._rules)

    def refused(
        self, target: Target, fields: Sequence[tuple[bytes, bytes]], process: str = ""
    ) -> Verdict | None:
        """Judge method and path, and every method that a field would put in its place.

        Args:
            target: where the request goes.
            fields: (lower-case name, value) of its header section.
            process: path of the program that asks, empty where it is not known.
        """
        verdict = self._judge(target, process)
        for name, value in fields:
            if verdict is None and name in _OVERRIDES:
                method = value.decode("latin-1").upper()
                verdict = self._judge(msgspec.structs.replace(target, method=method), process)
        return verdict

    def _judge(self, target: Target, process: str) -> Verdict | None:
        path: str | None = ""
        for hosts, label, rule in self._rules:
            if hosts.find(target.host, target.port) is None:
                continue
            if rule.methods and target.method not in rule.methods:
                continue
            if rule.process and not _is_one_of(process, rule):
                continue
            if rule.paths:
                path = path or plain_path(target.path)
                if path is None:
                    detail = "servers may read this path in more than one way"
                    return self._refuse(Reason.PATH_NOT_ALLOWED, detail, label)
                if not any(under(path, prefix) for prefix in rule.paths):
                    continue
            if rule.action == "allow":
                return None
            if not rule.paths:
                detail = f"{target.method} is not allowed on {target.host}"
                return self._refuse(Reason.METHOD_NOT_ALLOWED, detail, label)
            detail = f"the path is not allowed on {target.host}"
            return self._refuse(Reason.PATH_NOT_ALLOWED, detail, label)
        return None


def _is_one_of(process: str, rule: RequestRule) -> bool:
    """Tell whether a rule is for this program. Who is not known counts as denied, never as allowed.

    A name fits the last part of the path, a path the whole of it.
    """
    if not process:
        return rule.action == "deny"
    name = process.rpartition("/")[2]
    return any(wanted == (process if "/" in wanted else name) for wanted in rule.process)
