"""Payment cards: issuers, lengths, groups; and that ordinary numbers are none."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.engine import Scanner
from interceptor.scan.validators import VALIDATORS, luhn
from interceptor.scan.validators.cards import is_card

DRAW = random.Random("cards")
CARD_RULES = {"payment-card", "payment-card-number", "payment-card-long-groups"}


def completed(start: str, length: int) -> str:
    """A number with Luhn's digit at its end, the rest drawn."""
    while True:
        body = start + "".join(DRAW.choices("0123456789", k=length - len(start) - 1))
        for digit in "0123456789":
            if luhn((body + digit).encode()) and len(set(body)) > 4:
                return body + digit


def grouped(number: str, sizes: tuple[int, ...], mark: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(number[at : at + size])
        at += size
    return mark.join(parts)


@pytest.mark.parametrize(
    ("start", "length"),
    [
        ("4539", 16),
        ("4539", 13),
        ("4539", 19),
        ("5425", 16),
        ("2221", 16),
        ("2720", 16),
        ("341", 15),
        ("371", 15),
        ("6011", 16),
        ("6445", 16),
        ("6521", 16),
        ("3528", 16),
        ("3589", 16),
        ("3001", 14),
        ("3601", 14),
        ("3801", 14),
        ("6221", 16),
        ("6221", 19),
        ("5018", 12),
        ("6304", 19),
        ("6763", 18),
        ("2202", 16),
    ],
)
def test_issuers(start: str, length: int) -> None:
    number = completed(start, length)
    assert is_card(number.encode())
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not is_card(wrong.encode())


@pytest.mark.parametrize(
    ("start", "length"),
    [
        ("4539", 15),  # not a length of Visa's
        ("5425", 15),
        ("2221", 15),
        ("2220", 16),  # the last below Mastercard's 2-series
        ("2721", 16),  # the first above it
        ("341", 16),
        ("3527", 16),  # just outside JCB
        ("3590", 16),
        ("1234", 16),  # no issuer
        ("7777", 16),
        ("0123", 16),
        ("9123", 16),
    ],
)
def test_no_issuers(start: str, length: int) -> None:
    assert not is_card(completed(start, length).encode())


def test_published_test_numbers_are_documentation() -> None:
    for text in ("4242 4242 4242 4242", "4111 1111 1111 1111", "5555 5555 5555 4444"):
        assert luhn(text.encode())
        assert not is_card(text.replace(" ", "").encode())
    assert not is_card(b"3782" + b"822463" + b"10005")
    assert not is_card(b"4000" + b"0025" + b"0000" + b"3155")  # one of Stripe's dozens
    assert not is_card(b"0" * 16)


@pytest.mark.parametrize("mark", [" ", "-", "+"])
@pytest.mark.parametrize(
    ("start", "sizes"), [("4539", (4, 4, 4, 4)), ("371", (4, 6, 5)), ("3601", (4, 6, 4))]
)
def test_grouped_as_printed(
    scanner: Scanner, start: str, sizes: tuple[int, ...], mark: str
) -> None:
    text = grouped(completed(start, sum(sizes)), sizes, mark)
    for around in ("it is %s, yes", '{"n": "%s"}', "%s 12/29 123", "\n%s\n"):
        assert found(scanner, (around % text).encode()), around % text


@pytest.mark.parametrize(
    "around",
    [
        '{"card_number": %s}',
        '{"card": {"number": "%s"}}',
        "cc=%s&",
        "my visa is %s",
        "%s,09/29,123",
        '{"number": "%s", "cvc": "123"}',
        '{"pan": "%s"}',
    ],
)
def test_bare_digits_need_words(scanner: Scanner, around: str) -> None:
    assert found(scanner, (around % completed("4539", 16)).encode())


@pytest.mark.parametrize(
    "around",
    [
        '{"id": %s}',
        "order=%s&",
        "0.%s",
        "a%s",
        "%sf",
        "%s.5",
        "https://example.com/v/%s",
        "M%s 0",
        "sha-%s-x",
    ],
)
def test_bare_digits_without_them_are_none(scanner: Scanner, around: str) -> None:
    assert not found(scanner, (around % completed("4539", 16)).encode())


@pytest.mark.parametrize("length", [13, 14, 15, 16, 17, 18, 19])
def test_random_digit_runs_give_no_alarm(scanner: Scanner, length: int) -> None:
    numbers = ["".join(DRAW.choices("0123456789", k=length)) for _ in range(4000)]
    for text in (
        "\n".join(numbers),
        "[" + ", ".join(numbers) + "]",
        "\n".join(f'{{"id": {number}, "next": "{number[::-1]}"}}' for number in numbers),
    ):
        assert not found(scanner, text.encode())


def test_tables_of_numbers_give_no_alarm(scanner: Scanner) -> None:
    rows = [" ".join(str(DRAW.randrange(2000, 7000)) for _ in range(9)) for _ in range(3000)]
    assert not found(scanner, "\n".join(rows).encode())
    points = [" ".join(f"{p + k:04X}" for k in range(8)) for p in range(0x3400, 0x9FFF, 8)]
    assert not found(scanner, "\n".join(points).encode())


def test_a_decoy_hides_nothing(scanner: Scanner) -> None:
    real = grouped(completed("5425", 16), (4, 4, 4, 4), " ")
    decoy = grouped(completed("5425", 16)[:-1] + "x", (4, 4, 4, 4), " ")
    assert found(scanner, f"card {decoy} and {real}".encode())
    assert found(scanner, f"card 4242 4242 4242 4242 or {real} now".encode())
    bare = completed("4539", 16)
    assert found(scanner, f"card 4242424242424242, card {bare}".encode())


@given(st.binary(max_size=64), st.binary(max_size=256))
def test_any_bytes(secret: bytes, after: bytes) -> None:
    for name in ("card", "whole-card"):
        assert VALIDATORS[name](secret, after) in (True, False)


@given(st.text("0123456789 -+", max_size=40), st.text("0123456789 -+/,cv", max_size=80))
def test_any_digits(secret: str, after: str) -> None:
    assert VALIDATORS["card"](secret.encode(), after.encode()) in (True, False)


def found(scanner: Scanner, data: bytes) -> bool:
    return any(
        scanner.rules[raw.rule].id in CARD_RULES for raw in scanner.scan(data, "body").findings
    )
