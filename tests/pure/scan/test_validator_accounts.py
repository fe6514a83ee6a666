"""Account numbers and numbers that stand for people."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.engine import Scanner
from interceptor.scan.validators import VALIDATORS, mod97
from interceptor.scan.validators.iban import account_number

DRAW = random.Random("accounts")

# The basic account numbers of the registry's own examples, by country.
REGISTRY = {
    "AD": "00012030200359100100",
    "AE": "0331234567890123456",
    "AT": "1904300234573201",
    "BE": "539007547034",
    "BG": "BNBG96611020345678",
    "BR": "00360305000010009795493C1",
    "CH": "00762011623852957",
    "CR": "015202001026284066",
    "CY": "002001280000001200527600",
    "CZ": "08000000192000145399",
    "DE": "370400440532013000",
    "DK": "00400440116243",
    "ES": "21000418450200051332",
    "FI": "12345600000785",
    "FR": "20041010050500013M02606",
    "GB": "NWBK60161331926819",
    "GR": "01101250000000012300695",
    "HU": "117730161111101800000000",
    "IE": "AIBK93115212345678",
    "IL": "0108000000099999999",
    "IT": "X0542811101000000123456",
    "KZ": "125KZT5004100100",
    "LT": "1000011101001000",
    "LU": "0019400644750000",
    "LV": "BANK0000435195001",
    "MT": "MALT011000012345MTLCAST001S",
    "NL": "ABNA0417164300",
    "NO": "86011117947",
    "PL": "109010140000071219812874",
    "PT": "000201231234567890154",
    "RO": "AAAA1B31007593840000",
    "SA": "80000000608010167519",
    "SC": "SSCB11010000000000001497USD",
    "SE": "50000000058398257466",
    "TR": "00061005197864578413" + "26",
    "UA": "3223130000026007233566001",
    "XK": "1212012345678906",
}


def checked(country: str, body: str) -> str:
    digits = 98 - mod97((body + country + "00").encode())
    return f"{country}{digits:02d}{body}"


@pytest.mark.parametrize("country", REGISTRY)
def test_countries(country: str) -> None:
    number = checked(country, REGISTRY[country])
    groups = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
    for text in (number, number.lower(), groups, groups.replace(" ", "-")):
        for cut in (15, len(text)):
            secret, after = text[:cut].encode(), text[cut:].encode()
            assert account_number(secret, after + b", x")
            assert not account_number(secret, after + b"7"), "longer than the country's"
        assert not account_number(text[:-1].encode(), b""), "shorter"
    wrong = number[:-1] + ("1" if number[-1] != "1" else "2")
    assert not account_number(wrong.encode(), b"")
    assert not account_number(number[:2].encode() + b"00" + number[4:].encode(), b"")
    assert not account_number(("QQ" + number[2:]).encode(), b"")
    assert not account_number((number[:5] + " " + number[5:]).encode(), b""), "no group of four"


def test_letters_where_a_country_has_digits() -> None:
    assert not account_number(checked("DE", "37040044A532013000").encode(), b"")


def test_in_texts(scanner: Scanner) -> None:
    number = checked("DE", "500105170" + "".join(DRAW.choices("0123456789", k=9)))
    for around in ('{"iban": "%s"}', "?to=%s&", "%s\n", "pay to %s please"):
        assert "iban" in found(scanner, around % number)
    for around in ("x%s ", "%sx ", "%s0 "):
        assert "iban" not in found(scanner, around % number)


def test_ids_are_no_accounts(scanner: Scanner) -> None:
    capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    lines = [
        DRAW.choice(list(REGISTRY)) + "".join(DRAW.choices(capitals, k=DRAW.choice((16, 18, 20))))
        for _ in range(20_000)
    ]
    assert "iban" not in found(scanner, "\n".join(lines))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("536228147", True),
        ("001010001", True),
        ("665010001", True),
        ("667010001", True),
        ("899010001", True),
        ("000228147", False),  # area 000
        ("666228147", False),  # area 666
        ("900228147", False),  # area 900 and above: taxpayer numbers
        ("536008147", False),  # group 00
        ("536220000", False),  # serial 0000
        ("078051120", False),  # printed in a million wallets
        ("111223333", False),
        ("123456789", False),
        ("53622814", False),
        ("5362281470", False),
    ],
)
def test_social_security_numbers(number: str, expected: bool) -> None:
    check = VALIDATORS["social-security"]
    assert check(number.encode(), b"") is expected
    assert check(f"{number[:3]}-{number[3:5]}-{number[5:]}".encode(), b" ") is expected
    assert not check(number.encode(), b"1")


def test_social_security_numbers_need_their_name(scanner: Scanner) -> None:
    number = "536-22-" + "8147"
    assert "us-social-security-number" in found(scanner, f"his SSN is {number}.")
    assert "us-social-security-number" in found(scanner, f"Social Security Number: {number}")
    assert "us-social-security-number" not in found(scanner, f"part {number} or 536228147")
    assert "us-social-security-number" not in found(scanner, f"classname: {number}")
    assert "us-social-security-number" in found(scanner, f"ssn 000-11-2222, ssn {number} ")


@given(st.binary(max_size=80), st.binary(max_size=256))
def test_any_bytes(secret: bytes, after: bytes) -> None:
    for name in ("iban", "social-security", "luhn"):
        assert VALIDATORS[name](secret, after) in (True, False)
    assert -1 <= mod97(secret) < 97


@given(st.text("DEGB0123456789 -", max_size=40), st.text("0123456789 -X", max_size=40))
def test_any_text(secret: str, after: str) -> None:
    assert VALIDATORS["iban"](secret.encode(), after.encode()) in (True, False)


def found(scanner: Scanner, text: str) -> set[str]:
    return {scanner.rules[raw.rule].id for raw in scanner.scan(text.encode(), "body").findings}
