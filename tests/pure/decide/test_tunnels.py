"""Tunnels in names are caught before they have said much; ordinary names are not."""

from __future__ import annotations

import itertools
import random

import pytest

from interceptor.decide.judge import Judge
from interceptor.decide.name_memory import NameMemory
from interceptor.decide.tunnels import LEAST, PLAIN, Budgets
from interceptor.model import Target
from interceptor.policy.schema import Hosts, Policy
from interceptor.scan.naming.ordinary import ordinary
from interceptor.scan.ruleset import example
from interceptor.verdict import Action, Reason
from tests.tunnels import coding, families, found, measure, ordinary_names

SEED = 3
DAY = 86_400.0


@pytest.mark.parametrize("family", families.SINGLES)
def test_a_secret_in_one_name(family: str) -> None:
    results = [measure.single(family, number, SEED) for number in range(12)]
    missed = [result for result in results if result is not None and not result.caught]
    assert len(results) - results.count(None) >= 10
    assert not missed


@pytest.mark.parametrize("family", families.SEQUENCES)
def test_sequences(family: str) -> None:
    results = [measure.sequence(family, number, SEED) for number in range(8)]
    assert all(result.caught for result in results), results


def test_ordinary_names_of_a_day() -> None:
    names = list(found.names(found.HELD, ("/usr/share/doc",), 400))
    refused, count = [], 0
    for day in ordinary_names.days(6, names, SEED):
        refused += measure.day(measure.judge(SEED), day, 1000.0, 8 * 3600 / len(day))
        count += len(day)
    assert count > 900
    assert len(refused) <= 0.004 * count, refused


def tunnel(judge: Judge, names: list[str]) -> int:
    """Return how many names pass before one is refused."""
    for number, name in enumerate(names):
        if not judge.name(name).allowed:
            return number
    return len(names)


def chunks(seed: int, count: int, domain: str, size: int = 20) -> list[str]:
    rng = random.Random(seed)
    return [f"{coding.base32(rng.randbytes(size))}.{domain}" for _ in range(count)]


def test_the_refusal_says_why_and_ends() -> None:
    judge = measure.judge(SEED)
    names = chunks(1, 40, "exfil.example")
    passed = tunnel(judge, names)
    verdict = judge.name(names[passed])
    assert verdict.reason is Reason.DNS_TUNNEL
    assert "exfil.example" in verdict.detail
    assert names[passed].partition(".")[0] not in verdict.detail
    assert all(judge.name(name).allowed for name in names[:passed])  # these have left already
    assert judge.name("exfil.example").allowed
    assert judge.name("www.exfil.example").allowed
    assert judge.name(chunks(2, 1, "other.example")[0]).allowed
    judge.tick(3 * DAY)
    assert judge.name(names[passed]).allowed
    assert tunnel(judge, names[passed + 1 :]) < passed


def test_a_refused_name_is_no_connection_either() -> None:
    judge = measure.judge(SEED)
    names = chunks(1, 40, "exfil.example")
    at = next(n for n in names if not judge.connection(Target("tcp", n, 443)).allowed)
    assert judge.connection(Target("tcp", at, 443)).reason is Reason.DNS_TUNNEL
    judge.tick(4 * DAY)
    assert judge.connection(Target("tcp", at, 443)).allowed


def test_case_and_dot_do_not_make_a_name_new() -> None:
    judge = measure.judge(SEED)
    names = chunks(1, 4, "exfil.example")
    for name in names:
        for way in (name, name.upper(), name + "."):
            for _ in range(5):
                assert judge.name(way).allowed


@pytest.mark.parametrize(
    ("allow", "free"),
    [
        (("x.exfil.example",), False),
        (("*.exfil.example",), True),
        (("*.exfil.example:8443",), True),
        (("*",), False),
        (("*.example",), False),
    ],
)
def test_what_policy_names_is_no_tunnel(allow: tuple[str, ...], free: bool) -> None:
    judge = measure.judge(SEED, Policy(hosts=Hosts(allow=allow)))
    assert (tunnel(judge, chunks(1, 40, "exfil.example")) == 40) is free


def test_a_host_that_policy_names_exactly() -> None:
    names = chunks(1, 40, "exfil.example")
    judge = measure.judge(SEED, Policy(hosts=Hosts(allow=(names[30],))))
    assert tunnel(judge, names) < 20
    assert judge.name(names[30]).allowed


def test_a_secret_in_an_allowed_name_is_refused() -> None:
    judge = measure.judge(SEED, Policy(hosts=Hosts(allow=("*.exfil.example",))))
    key = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "allowed")
    assert judge.name(f"{key.hex()[:60]}.{key.hex()[60:]}.exfil.example").reason is (
        Reason.SECRET_IN_NAME
    )


def test_audit_records_and_lets_pass() -> None:
    judge = measure.judge(SEED, Policy(findings="record"))
    verdicts = [judge.name(name) for name in chunks(1, 40, "exfil.example")]
    assert all(verdict.action is Action.ALLOW for verdict in verdicts)
    assert verdicts[-1].reason is Reason.WOULD_BLOCK


def test_names_that_alias_chains_hold_count_nothing() -> None:
    judge = measure.judge(SEED)
    target = Target("https", "www.example.org", 443)
    for name in chunks(1, 60, "cdn.example.net", 30):
        assert judge.addresses(target, ["93.184.216.34"], name)[0].allowed


def test_sessions_do_not_share_budgets() -> None:
    judge = measure.judge(SEED)
    names = chunks(1, 40, "exfil.example")
    assert tunnel(judge, names) < 20
    judge.names = NameMemory()
    assert judge.name(names[30]).allowed


KEY = example(["AK", "IA", "{upper32:16}"], "over names").decode()


@pytest.mark.parametrize(
    "write",
    [
        lambda pieces: pieces,
        lambda pieces: [piece.lower() for piece in pieces],
        lambda pieces: [f"{at}-{piece}" for at, piece in enumerate(pieces)],
        lambda pieces: [f"{piece}.{at}" for at, piece in enumerate(pieces)][::-1],
        lambda pieces: [f"{piece}.s9.v" for piece in pieces],
        lambda pieces: [piece.encode().hex() for piece in pieces],
        lambda pieces: [f"{piece.encode().hex()}.part{at}of5" for at, piece in enumerate(pieces)],
        lambda pieces: coding.cut(coding.base32(KEY.encode()), 7),
        lambda pieces: coding.cut(coding.base32(KEY.encode()), 7)[::-1],
        lambda pieces: coding.cut(coding.base36(KEY.encode()), 6),
        lambda pieces: ["-".join(str(ord(c)) for c in piece) for piece in pieces],
        lambda pieces: ["-".join(coding.nato(piece.encode())) for piece in pieces],
    ],
)
@pytest.mark.parametrize("pause", [1.0, 7200.0])
def test_a_secret_over_names(write: object, pause: float) -> None:
    judge = measure.judge(SEED)
    pieces = coding.cut(KEY, 4)
    names = [f"{text}.exfil.example" for text in write(pieces)]  # type: ignore[operator]
    verdicts = []
    for number, name in enumerate(names):
        judge.tick(1000 + pause * number)
        verdicts.append(judge.name(name))
    assert [verdict.reason for verdict in verdicts if not verdict.allowed]
    assert verdicts[-1].reason in (Reason.SPLIT_SECRET, Reason.SECRET_IN_NAME)


def test_one_piece_less_passes() -> None:
    judge = measure.judge(SEED)
    assert all(judge.name(f"{piece}.exfil.example").allowed for piece in coding.cut(KEY, 4)[:-1])


def test_many_new_names_of_single_words_are_a_tunnel() -> None:
    model, budgets = ordinary(), Budgets()
    words = [f"{a}{b}" for a, b in itertools.product(("api", "web", "mail"), range(200))]
    passed = sum(budgets.take("exfil.example", word, model, 0.0) for word in words)
    assert passed <= PLAIN / LEAST


def test_forgotten_domains_keep_their_debts() -> None:
    model, budgets = ordinary(), Budgets()
    names = [name.partition(".")[0] for name in chunks(1, 40, "exfil.example")]
    while budgets.take("exfil.example", names[-1], model, 0.0):
        names.pop()
    for number in range(6000):
        assert budgets.take(f"d{number}.example", "www", model, 0.0)
    assert not budgets.take("exfil.example", names[-1], model, 0.0)
    fresh = sum(budgets.take(f"e{n}.example", names[0], model, 0.0) for n in range(500))
    assert fresh > 490


def test_memory_is_bounded() -> None:
    memory = NameMemory()
    rng = random.Random(1)
    for number in range(100_000):
        name = f"{rng.randrange(10**6)}.d{number % 9000}.example"
        domain = f"d{number % 9000}.example"
        memory.take(name, domain, float(number))
        memory.keep(name, domain, float(number))
    assert memory.size < 8_000_000


def test_resolvers_that_draw_the_case_pass() -> None:
    judge = measure.judge(SEED)
    rng = random.Random(5)
    for _ in range(3000):
        name = "".join(rng.choice((c, c.upper())) for c in "www.account.support.example.org")
        assert judge.name(name).allowed, name


def test_names_of_own_addresses_are_free() -> None:
    judge = measure.judge(SEED)
    for number in range(4000):
        octets = f"{number % 251}.{number % 241}"
        assert judge.name(f"{octets}.18.198.in-addr.arpa").allowed
