"""Secrets in host names, and names that only look odd."""

from __future__ import annotations

import base64
import gzip
import random
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.engine import Scanner
from interceptor.scan.names import MAX_NAME, fault, scan_name
from interceptor.scan.naming.orders import orders
from interceptor.scan.naming.ordinary import ordinary
from interceptor.scan.naming.readings import by_length, readings
from interceptor.scan.ruleset import example, load_rules
from tests.tunnels import coding

SCANNER = Scanner.build(load_rules(), None)
KEYS = {
    "aws-access-key-id": example(["AK", "IA", "{upper32:16}"], "names"),
    "github-token": example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "names"),
    "gitlab-token": example(["gl", "pat-", "{alnum:20}"], "names"),
    "anthropic-api-key": example(["sk", "-ant-", "api03-", "{alnum:93}", "AA"], "names"),
}
TAIL = "exfil.example.com"


def found(name: str) -> set[str]:
    assert fault(name) == "", name
    return {SCANNER.rules[raw.rule].id for raw in scan_name(SCANNER, name, b"k")}


def split(text: str, size: int) -> str:
    return ".".join(text[at : at + size] for at in range(0, len(text), size))


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


@pytest.mark.parametrize("rule", KEYS)
@pytest.mark.parametrize("size", [63, 40, 17])
@pytest.mark.parametrize("case", [str.lower, str.upper, str])
def test_keys_in_names(rule: str, size: int, case: type[str]) -> None:
    key = KEYS[rule]
    forms = {"hex": key.hex(), "base32": base32(key)}
    if not any(piece.startswith("-") for piece in split(key.decode(), size).split(".")):
        forms["plain"] = key.decode()
    for form, text in forms.items():
        name = f"{split(case(text), size)}.{TAIL}"
        if len(name) > MAX_NAME or fault(name):
            continue
        assert rule in found(name), (form, name)


@pytest.mark.parametrize("rule", ["aws-access-key-id", "github-token", "gitlab-token"])
def test_base64_where_case_survives(rule: str) -> None:
    text = base64.urlsafe_b64encode(KEYS[rule]).decode().rstrip("=").replace("_", "_")
    name = f"{split(text, 20)}.{TAIL}"
    if not fault(name):
        assert rule in found(name)


def test_hex_of_base64_of_a_key() -> None:
    key = KEYS["aws-access-key-id"]
    name = f"{split(base64.b64encode(key).hex(), 60)}.{TAIL}"
    (raw, *_) = scan_name(SCANNER, name)
    assert raw.encoding == "hex>base64"


@pytest.mark.parametrize(
    "name",
    [
        "slovakiatravelguides.example",
        "www.nakiamanagementservices.example.com",
        "d111111abcdef8.cdn.example.net",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301.example.com",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b.example.com",
        "k8s-default-ingress-1a2b3c4d5e-1234567890.eu-west-1.elb.example.com",
        "xn--bcher-kva.example",
        "_acme-challenge.www.example.com",
        "ec2-203-0-113-25.compute-1.example.com",
        "this-is-a-very-long-label-made-of-many-english-words-for-fun.example.org",
        "r3---sn-4g5e6nzz.video.example.com",
        "a" * 63 + ".example.com",
        "p2p-abcdefghijklmnopqrstuvwxyz234567.example.com",
    ],
)
def test_ordinary_names(name: str) -> None:
    assert found(name) == set()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "empty"),
        ("a..b", "label is empty"),
        (".", "label is empty"),
        ("a" * 64 + ".example", "longer than 63"),
        (".".join(["a" * 50] * 6), "longer than 253"),
        ("-a.example", "other characters"),
        ("a-.example", "other characters"),
        ("a b.example", "other characters"),
        ("a\n.example", "other characters"),
        ("a.example\n", "other characters"),
        ("*.example", "other characters"),
        ("é.example", "other characters"),
        ("a/b.example", "other characters"),
    ],
)
def test_faults(name: str, words: str) -> None:
    assert words in fault(name)


@pytest.mark.parametrize("name", ["a", "a" * 63, ".".join(["a" * 49] * 5) + ".abc", "_x.y-z.w_"])
def test_no_faults(name: str) -> None:
    assert fault(name) == ""


@given(st.from_regex(r"\A[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,30}[a-zA-Z0-9_])?(\.[a-z0-9]{1,30}){0,4}\Z"))
def test_any_good_name_scans(name: str) -> None:
    assert fault(name) == ""
    scan_name(SCANNER, name)


@given(st.text(max_size=80))
def test_any_text_has_a_fault_or_scans(name: str) -> None:
    if not fault(name):
        scan_name(SCANNER, name)


@pytest.mark.parametrize(
    ("pieces", "ordered"),
    [
        (["0-ab", "1-cd", "2-ef"], ("ab", "cd", "ef")),
        (["2-ef", "0-ab", "1-cd"], ("ab", "cd", "ef")),
        (["b-cd", "a-ab"], ("ab", "cd")),
        (["cd-02", "ab-01", "ef-03"], ("ab", "cd", "ef")),
        (["part2of2-cd", "part1of2-ab"], ("ab", "cd")),
        (["s1-cd", "s0-ab"], ("ab", "cd")),
        (["1cd", "0ab", "2ef"], ("ab", "cd", "ef")),
        (["2", "cd", "1", "ab"], ("ab", "cd")),
        (["cd", "2", "ab", "1"], ("ab", "cd")),
        (["1-cd", "0-ab", "www", "mail"], ("ab", "cd")),
        (["10-cd", "9-ab", "11-ef"], ("ab", "cd", "ef")),
    ],
)
def test_orders(pieces: list[str], ordered: tuple[str, ...]) -> None:
    assert ordered in set(orders(pieces))


@pytest.mark.parametrize("pieces", [["0-ab"], ["0-ab", "7-cd"], ["www", "mail"], []])
def test_no_orders(pieces: list[str]) -> None:
    assert list(orders(pieces)) == []


SECRET = example(["AK", "IA", "{upper32:16}"], "readings")


@pytest.mark.parametrize(
    ("encoding", "pieces"),
    [
        ("hex", [SECRET.hex()]),
        ("hex", ["x".join(["", *(f"{byte:02x}" for byte in SECRET)])]),
        ("base32", [base32(SECRET).lower()[:13], base32(SECRET).lower()[13:]]),
        ("base32hex", [base64.b32hexencode(SECRET).decode().rstrip("=").lower()]),
        ("base64", [base64.urlsafe_b64encode(SECRET).decode().rstrip("=")]),
        ("base36", [coding.base36(SECRET)]),
        ("base58", [coding.base58(SECRET)]),
        ("decimal", [str(byte) for byte in SECRET]),
        ("decimal", ["".join(map(str, SECRET))]),
        ("decimal", ["".join(f"{byte:03o}" for byte in SECRET)]),
        ("decimal", [str(int.from_bytes(SECRET, "big"))]),
        ("bits", ["".join(f"{byte:08b}" for byte in SECRET)]),
        ("words", coding.pgp(SECRET)),
        ("proquint", coding.proquint(SECRET)),
        ("base32>deflate", [base32(zlib.compress(SECRET)[2:-4]).lower()]),
        ("hex>deflate", [zlib.compress(SECRET)[2:-4].hex()]),
    ],
)
def test_readings(encoding: str, pieces: list[str]) -> None:
    assert (encoding, SECRET) in set(readings(pieces))


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
def test_compressed_in_labels(pack: Callable[[bytes], bytes]) -> None:
    for text in (base32(pack(SECRET)), pack(SECRET).hex()):
        assert found(f"{split(text, 60)}.{TAIL}") == {"aws-access-key-id"}


def test_what_is_spelt_has_no_case() -> None:
    assert ("spelt", SECRET.lower()) in set(readings(coding.nato(SECRET)))
    assert ("spelt", SECRET.lower()) in set(readings(["".join(coding.nato(SECRET))]))


def test_readings_of_case_and_lengths() -> None:
    letters = "www.support.account.portal.files.example-company.example.com" * 4
    name = coding.by_case(random.Random(1), SECRET, letters.replace(".com", ".net"))[0]
    assert found(name[:MAX_NAME]) == {"aws-access-key-id"}
    labels = coding.by_length(random.Random(1), SECRET)
    assert ("lengths", SECRET) in set(by_length(labels))


@given(st.lists(st.from_regex(r"\A[a-zA-Z0-9_-]{0,63}\Z"), max_size=12))
def test_any_pieces_are_read_and_ordered(pieces: list[str]) -> None:
    for encoding, out in readings(pieces):
        assert encoding
        assert out
    for order in orders([piece for piece in pieces if piece]):
        assert len(order) >= 2
    list(by_length([piece for piece in pieces if piece]))


@pytest.mark.parametrize(
    ("label", "least", "most"),
    [
        ("www", 1, 10),
        ("payments", 5, 16),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", 122, 160),
        ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4", 160, 175),
        ("nbswy3dpeb3w64tmmqqho33snrsca5dpmnqxg", 185, 215),
        ("104101108108111119111114", 79, 90),
    ],
)
def test_what_labels_can_say(label: str, least: float, most: float) -> None:
    """Never less than they carry, and not much more."""
    assert least <= ordinary().cost(label) <= most


@pytest.mark.parametrize(("alphabet", "bits"), [(16, 4.0), (32, 5.0), (36, 5.17), (10, 3.32)])
@pytest.mark.parametrize("size", [2, 4, 8, 20, 60])
def test_random_labels_cost_what_they_carry(alphabet: int, bits: float, size: int) -> None:
    rng = random.Random(size)
    signs = "abcdefghijklmnopqrstuvwxyz234567" if alphabet == 32 else coding._BASE36[:alphabet]
    costs = [ordinary().cost("".join(rng.choices(signs, k=size))) for _ in range(300)]
    assert sum(costs) / 300 >= bits * size
