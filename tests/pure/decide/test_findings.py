"""Weighing: homes, tuning by rule, host, path and digest, canaries, secrets in pieces."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.decide.findings import Weighed, Weigher, digest_key, is_joined, unknown_rule
from interceptor.model import Target
from interceptor.policy.schema import Policy, RuleAt, RuleHome, RuleTuning, SecretHome, Secrets
from interceptor.scan.engine import RawFinding
from interceptor.scan.ruleset import Home, Rule
from interceptor.verdict import Reason, Severity


def rule(name: str, *homes: Home, canary: bool = False) -> Rule:
    return Rule(
        id=name,
        title=f"Title of {name}",
        pattern="x{9}",
        severity=Severity.HIGH,
        home=homes,
        canary=canary,
    )


# As `Scanner.rules` has them: ids of known secrets are no rule ids.
def known(name: str, *, canary: bool = False) -> Rule:
    return msgspec.structs.replace(rule("x", canary=canary), id=name)


RULES = (
    rule(
        "two-homes",
        Home(("api.one.example",), ("header:x-api-key",)),
        Home(("*.two.example",), ("body", "url")),
    ),
    rule("homeless"),
    rule("decoy-format", Home(("api.one.example",), ("body",)), canary=True),
    known("known:OWN_TOKEN"),
    known("canary:AWS", canary=True),
)
TWO, HOMELESS, DECOY, KNOWN, CANARY = range(5)
DIGEST = "00112233445566aa"


def target(host: str = "www.example.com", path: str = "/", scheme: str = "https") -> Target:
    return Target(scheme, host, 443, "POST", path)


def found(
    number: int, where: str = "body", encoding: str = "", digest: str = DIGEST
) -> tuple[str, RawFinding]:
    return where, RawFinding(number, 3, 9, encoding, digest)


def weigher(tuning: RuleTuning | None = None, *homes: SecretHome) -> Weigher:
    return Weigher(RULES, Policy(rules=tuning or RuleTuning(), secrets=Secrets(homes=homes)))


def kinds(weighed: Weighed) -> tuple[int, int, int]:
    return len(weighed.blocking), len(weighed.warned), len(weighed.home)


BLOCKS, WARNS, HOME, NOTHING = (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)


@pytest.mark.parametrize(
    ("host", "where", "expected"),
    [
        ("api.one.example", "header:x-api-key", HOME),
        ("api.one.example", "header:x-other", BLOCKS),
        ("api.one.example", "body", BLOCKS),
        ("api.one.example", "head", BLOCKS),
        ("api.two.example", "header:x-api-key", BLOCKS),
        ("api.two.example", "body", HOME),
        ("api.two.example", "url", HOME),
        ("two.example", "url", BLOCKS),
        ("api.one.example.com", "header:x-api-key", BLOCKS),
    ],
)
def test_places_belong_to_their_own_hosts(
    host: str, where: str, expected: tuple[int, int, int]
) -> None:
    weighed = weigher().weigh([found(TWO, where)], target(host))
    assert kinds(weighed) == expected
    assert weighed.all[0].home is (expected == HOME)


@pytest.mark.parametrize("scheme", ["http", "tcp", "tls", "dns", "quic"])
def test_nothing_is_at_home_in_clear_text(scheme: str) -> None:
    there = target("api.one.example", scheme=scheme)
    assert kinds(weigher().weigh([found(TWO, "header:x-api-key")], there)) == BLOCKS


@pytest.mark.parametrize("encoding", ["fields", "requests", "requests>base64", "hex>fields"])
def test_pieces_are_at_home_nowhere(encoding: str) -> None:
    there = target("api.two.example")
    assert kinds(weigher().weigh([found(TWO)], there)) == HOME  # whole, it is
    weighed = weigher().weigh([found(TWO, encoding=encoding)], there)
    assert kinds(weighed) == BLOCKS
    assert is_joined(encoding)


@pytest.mark.parametrize("encoding", ["", "base64", "base64>hex", "concat", "joined"])
def test_other_chains_are_no_pieces(encoding: str) -> None:
    assert not is_joined(encoding)


def test_policy_adds_homes() -> None:
    tuning = RuleTuning(
        homes=(
            RuleHome(rule="two-homes", host="three.example"),
            RuleHome(rule="homeless", host="four.example"),
        )
    )
    weighs = weigher(tuning)
    for where in ("header:x-api-key", "body", "url"):  # in the rule's own places
        assert kinds(weighs.weigh([found(TWO, where)], target("three.example"))) == HOME
    assert kinds(weighs.weigh([found(TWO, "header:x")], target("three.example"))) == BLOCKS
    four = target("four.example")
    assert kinds(weighs.weigh([found(HOMELESS, "header:authorization")], four)) == HOME
    assert kinds(weighs.weigh([found(HOMELESS, "body")], four)) == BLOCKS


def test_known_secrets_get_homes_by_name() -> None:
    homes = (
        SecretHome(name="OWN_TOKEN", host="api.own.example", places=("header:x-own",)),
        SecretHome(name="OWN_TOKEN", host="cache.own.example", places=("body",)),
        SecretHome(name="AWS", host="api.own.example", places=("body",)),
        SecretHome(name="homeless", host="api.own.example", places=("body",)),
    )
    weighs = weigher(None, *homes)

    def at(number: int, host: str, where: str, scheme: str = "https") -> tuple[int, int, int]:
        return kinds(weighs.weigh([found(number, where)], target(host, scheme=scheme)))

    assert at(KNOWN, "api.own.example", "header:x-own") == HOME
    assert at(KNOWN, "api.own.example", "body") == BLOCKS
    assert at(KNOWN, "cache.own.example", "body") == HOME
    # A service that the operator opened may be reached without TLS, but never plain HTTP.
    assert at(KNOWN, "cache.own.example", "body", "tcp") == HOME
    assert at(KNOWN, "cache.own.example", "body", "http") == BLOCKS
    assert at(CANARY, "api.own.example", "body") == BLOCKS
    assert at(HOMELESS, "api.own.example", "body") == BLOCKS  # a rule is no known secret


SUPPRESSED = [
    (RuleAt(rule="homeless"), {}, True),
    (RuleAt(rule="two-homes"), {}, False),
    (RuleAt(rule="homeless", host="www.example.com"), {}, True),
    (RuleAt(rule="homeless", host="*.example.com"), {}, True),
    (RuleAt(rule="homeless", host="example.com"), {}, False),
    (RuleAt(rule="homeless", host="www.example.com:8443"), {}, False),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/docs"}, True),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/docs/a?b=/x"}, True),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/%64ocs/a"}, True),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/docsx"}, False),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/"}, False),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/docs/../upload"}, False),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/docs/%2e%2e/upload"}, False),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/docs/..%2fupload"}, False),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/docs/..;/upload"}, False),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/docs/..\\upload"}, False),
    (RuleAt(rule="homeless", path="/docs"), {"path": "//docs/a"}, False),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/docs/%"}, False),
    (RuleAt(rule="homeless", path="/docs"), {"path": "/upload?/docs/"}, False),
    (RuleAt(rule="homeless", path="/docs"), {"path": ""}, False),
    (RuleAt(rule="homeless", digest=DIGEST), {}, True),
    (RuleAt(rule="homeless", digest="ffff" * 4), {}, False),
    (RuleAt(rule="*", digest=DIGEST), {}, True),
    (RuleAt(rule="*", digest=DIGEST, host="a.example"), {}, False),
    (RuleAt(rule="*"), {}, False),  # the loader refuses it; here it opens nothing
    (RuleAt(rule="homeless", host="*.example.com", path="/a", digest=DIGEST), {"path": "/a"}, True),
    (RuleAt(rule="homeless", host="*.example.com", path="/a", digest=DIGEST), {}, False),
]


@pytest.mark.parametrize(("entry", "there", "fits"), SUPPRESSED)
@pytest.mark.parametrize("where", ["url", "header:x", "body", "name", "trailer:x", "ws_message"])
def test_tuning_by_rule_host_path_and_digest(
    entry: RuleAt, there: dict[str, str], fits: bool, where: str
) -> None:
    finding = found(HOMELESS, where)
    at = target(**there)
    suppressed = weigher(RuleTuning(suppress=(entry,))).weigh([finding], at)
    assert kinds(suppressed) == (NOTHING if fits else BLOCKS)
    warned = weigher(RuleTuning(warn=(entry,))).weigh([finding], at)
    assert kinds(warned) == (WARNS if fits else BLOCKS)


def test_tuning_reaches_pieces_and_known_secrets() -> None:
    entry = RuleAt(rule="known:OWN_TOKEN", host="www.example.com")
    weighs = weigher(RuleTuning(suppress=(entry,)))
    assert kinds(weighs.weigh([found(KNOWN, encoding="requests")], target())) == NOTHING
    assert kinds(weighs.weigh([found(KNOWN)], target("other.example"))) == BLOCKS


@pytest.mark.parametrize("number", [DECOY, CANARY])
def test_canaries_are_beyond_tuning(number: int) -> None:
    name = RULES[number].id
    every = (RuleAt(rule=name), RuleAt(rule="*", digest=DIGEST))
    homes = (RuleHome(rule=name, host="api.one.example"),)
    weighs = weigher(RuleTuning(suppress=every, warn=every, homes=homes))
    weighed = weighs.weigh([found(HOMELESS, digest="1" * 16), found(number)],
                           target("api.one.example"))  # fmt: skip
    assert [finding.rule for finding in weighed.blocking] == [name, "homeless"]
    assert weighs.reason_of(weighed) is Reason.CANARY
    assert weighs.reason_of(weighed, Reason.SECRET_IN_NAME) is Reason.CANARY


def test_reasons() -> None:
    weighs = weigher(RuleTuning(warn=(RuleAt(rule="two-homes"),)))

    def reason(*findings: tuple[str, RawFinding], default: Reason = Reason.SECRET) -> Reason:
        return weighs.reason_of(weighs.weigh(findings, target()), default)

    whole = found(HOMELESS)
    pieces = found(HOMELESS, encoding="fields")
    later = found(HOMELESS, encoding="requests>hex", digest="1" * 16)
    assert reason(whole) is Reason.SECRET
    assert reason(whole, default=Reason.SECRET_IN_NAME) is Reason.SECRET_IN_NAME
    assert reason(pieces) is Reason.SPLIT_SECRET
    assert reason(pieces, later) is Reason.SPLIT_SECRET
    assert reason(pieces, whole) is Reason.SECRET
    assert reason(pieces, found(TWO)) is Reason.SPLIT_SECRET  # what is only warned decides nothing
    assert reason(found(CANARY, encoding="fields"), pieces) is Reason.CANARY
    assert reason() is Reason.SECRET


@given(
    numbers=st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["body", "url", "header:x"]))),
    host=st.sampled_from(["api.one.example", "api.two.example", "www.example.com"]),
)
def test_nothing_is_lost(numbers: list[tuple[int, str]], host: str) -> None:
    weighed = weigher().weigh([found(n, where) for n, where in numbers], target(host))
    assert len(weighed.all) == len(set(weighed.all)) == len(set(numbers))
    assert all(finding.home for finding in weighed.home)
    assert not any(finding.home for finding in weighed.blocking + weighed.warned)


def test_unknown_rules() -> None:
    ids = ["homeless", "two-homes"]

    def message(**tuning: object) -> str:
        return unknown_rule(Policy(rules=msgspec.convert(tuning, RuleTuning)), ids)

    assert message(suppress=[{"rule": "homeless"}, {"rule": "*", "digest": DIGEST}]) == ""
    assert message(warn=[{"rule": "known:OWN_TOKEN"}]) == ""
    assert message(homes=[{"rule": "known:OWN_TOKEN", "host": "a.example"}]) == ""
    assert (
        message(warn=[{"rule": "homeless"}, {"rule": "homless"}])
        == "rules.warn[1].rule: there is no rule 'homless'; did you mean `homeless`?"
    )
    assert "canaries cannot be tuned" in message(suppress=[{"rule": "canary:AWS"}])
    assert "there is no rule 'known:'" in message(suppress=[{"rule": "known:"}])
    assert "rules.homes[0]" in message(homes=[{"rule": "zzz", "host": "a.example"}])


def test_digest_keys() -> None:
    assert digest_key(Policy()) is None
    keyed = digest_key(Policy(rules=RuleTuning(digest_key="some text")))
    assert keyed is not None
    assert len(keyed) == 32
    assert keyed == digest_key(Policy(rules=RuleTuning(digest_key="some text")))
    assert keyed != digest_key(Policy(rules=RuleTuning(digest_key="other text")))
    hashlib.blake2b(b"x", key=keyed)  # it fits
