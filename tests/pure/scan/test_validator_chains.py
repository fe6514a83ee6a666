"""Keys and addresses of currencies, against the examples of their specifications."""

from __future__ import annotations

import hashlib
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.engine import Scanner
from interceptor.scan.validators import VALIDATORS
from interceptor.scan.validators.base58 import base58_decode, base58check
from interceptor.scan.validators.bech32 import BECH32, BECH32M, bech32_checksum
from interceptor.scan.validators.keccak import keccak256

DRAW = random.Random("chains")
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def whole(*pieces: str) -> str:
    """A published example, which stands in pieces so that this file may be uploaded."""
    return "".join(pieces)


def base58(data: bytes) -> str:
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def checked58(body: bytes) -> str:
    return base58(body + hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4])


# --- Keccak


@pytest.mark.parametrize(
    ("data", "digest"),
    [  # of the Keccak team's own test vectors
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"\xcc", "eead6dbfc7340a56caedc044696a168870549a6a7f6f56961e84a54bd9970b8a"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
    ],
)
def test_keccak(data: bytes, digest: str) -> None:
    assert keccak256(data).hex() == digest


@pytest.mark.parametrize("size", [0, 1, 134, 135, 136, 137, 271, 272, 300])
def test_keccak_permutes_as_sha3_does(size: int) -> None:
    """With SHA-3's padding byte the same code must give what hashlib gives."""
    import interceptor.scan.validators.keccak as module

    data = DRAW.randbytes(size)
    padded = bytearray(data) + bytes(136 - size % 136)
    padded[size] ^= 0x06
    padded[-1] ^= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), 136):
        for lane in range(17):
            at = start + 8 * lane
            lanes[lane] ^= int.from_bytes(padded[at : at + 8], "little")
        lanes = module._permuted(lanes)
    digest = b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])
    assert digest == hashlib.sha3_256(data).digest()


# --- base 58


def test_base58_of_the_bitcoin_sources() -> None:
    assert base58_decode(b"2g") == b"a"
    assert base58_decode(b"a3gV") == b"bbb"
    assert base58_decode(b"1111111111") == bytes(10)
    assert base58_decode(b"0OIl") is None
    assert base58_decode(b"") == b""


@given(st.binary(max_size=40))
def test_base58check(body: bytes) -> None:
    text = checked58(body)
    assert base58check(text.encode()) == (body or None)
    if body:
        wrong = text[:-1] + ("2" if text[-1] != "2" else "3")
        assert base58check(wrong.encode()) is None


@pytest.mark.parametrize(
    "text",
    [
        whole("5HueCGU8rMjxEXxiPuD5BDku4M", "kFqeZyd4dZ1jvhTVqvbTLvyTJ"),
        whole("KwdMAjGmerYanjeui5SHS7JkmpZv", "VipYvB2LJGU1ZxJwYvP98617"),
        checked58(b"\x80" + DRAW.randbytes(32)),
        checked58(b"\x80" + DRAW.randbytes(32) + b"\x01"),
    ],
)
def test_wallet_import_format(scanner: Scanner, text: str) -> None:
    check = VALIDATORS["wif"]
    assert check(text[:26].encode(), text[26:].encode())
    assert check(text.encode(), b"\n")
    assert not check(text[:26].encode(), text[26:-1].encode())
    assert not check(text[:26].encode(), text[26:].encode() + b"x")
    assert "bitcoin-private-key" in found(scanner, f'{{"key": "{text}"}}')
    swapped = text[:30] + text[31] + text[30] + text[32:]
    if swapped != text:
        assert "bitcoin-private-key" not in found(scanner, f'{{"key": "{swapped}"}}')
        assert "bitcoin-private-key" in found(scanner, f"{swapped} {text} ")


def test_tezos_keys(scanner: Scanner) -> None:
    for prefix, size in (("0d0f3a07", 32), ("11a2e0c9", 32), ("1051eebd", 32), ("2bf64e07", 64)):
        text = checked58(bytes.fromhex(prefix) + DRAW.randbytes(size))
        swapped = text[:30] + text[31] + text[30] + text[32:]
        assert "tezos-private-key" in found(scanner, f'"{text}"'), text[:5]
        assert swapped == text or "tezos-private-key" not in found(scanner, f'"{swapped}"')


def test_versions_that_are_no_keys() -> None:
    for version in (0x00, 0x05, 0x79):
        text = checked58(bytes((version,)) + DRAW.randbytes(32))
        assert not VALIDATORS["wif"](text.encode(), b"")


def test_bitcoin_addresses(scanner: Scanner) -> None:
    check = VALIDATORS["bitcoin-address"]
    genesis = whole("1A1zP1eP5QGefi2DMP", "TfTL5SLmv7DivfNa")
    assert check(genesis[:26].encode(), genesis[26:].encode())
    for version, expected in ((0x00, True), (0x05, True), (0x6F, False), (0x80, False)):
        text = checked58(bytes((version,)) + DRAW.randbytes(20))
        assert check(text.encode(), b" ") is expected
        assert not check(text.encode(), b"x")
    assert "bitcoin-address" in found(scanner, f"?to={genesis}&")


def test_random_base58_is_no_address(scanner: Scanner) -> None:
    words = [DRAW.choice("13") + "".join(DRAW.choices(BASE58, k=33)) for _ in range(4000)]
    assert not found(scanner, "\n".join(words)) & {"bitcoin-address", "bitcoin-private-key"}


def test_monero_addresses() -> None:
    check = VALIDATORS["monero-address"]
    donations = whole(
        "44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft",
        "3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A",
    )
    assert check(donations.encode(), b"")
    assert not check(donations.encode()[:-1] + b"B", b"")
    assert not check(donations.encode(), b"x")
    assert not check(b"4" * 95, b"")


# --- bech32


@pytest.mark.parametrize(
    ("text", "kind"),
    [  # BIP-173 and BIP-350
        ("A12UEL5L", BECH32),
        ("a12uel5l", BECH32),
        ("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", BECH32),
        ("split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w", BECH32),
        ("A1LQFN3A", BECH32M),
        ("abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx", BECH32M),
        ("split1checkupstagehandshakeupstreamerranterredcaperredlc445v", BECH32M),
    ],
)
def test_bech32(text: str, kind: int) -> None:
    assert bech32_checksum(text.encode()) == kind
    assert VALIDATORS["bech32"](text.encode(), b"")
    assert not VALIDATORS["bech32"](text.encode(), b"q")
    assert bech32_checksum(text.encode()[:-1] + b"p") != kind


@pytest.mark.parametrize(
    "text", ["", "1", "pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "A1g7sgd8", "\x80"]
)
def test_what_is_no_bech32(text: str) -> None:
    assert not VALIDATORS["bech32"](text.encode("latin-1"), b"")


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # BIP-173 and BIP-350: version 0 in Bech32, later ones in Bech32m
        (whole("bc1qw508d6qejxtdg4", "y5r3zarvary0c5xw7kv8f3t4"), True),
        (whole("BC1QW508D6QEJXTDG4", "Y5R3ZARVARY0C5XW7KV8F3T4"), True),
        (whole("bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0", "gdcccefvpysxf3qccfmv3"), True),
        (whole("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z", "3k2e72q4k9hcz7vqzk5jj0"), True),
        (whole("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z", "3k2e72q4k9hcz7vqh2y7hd"), False),
        (whole("bc1qw508d6qejxtdg4", "y5r3zarvary0c5xw7kemeawh"), False),
        (whole("bc1qw508d6qejxtdg4", "y5r3zarvary0c5xw7kv8f3t5"), False),
    ],
)
def test_segwit_addresses(scanner: Scanner, text: str, expected: bool) -> None:
    check = VALIDATORS["segwit-address"]
    assert check(text.encode(), b"") is expected
    assert check(text[:42].encode(), text[42:].encode()) is expected
    assert not check(text.encode(), b"q")
    if text.islower():
        assert ("segwit-address" in found(scanner, f"pay {text} now")) is expected


# --- Ethereum

EIP_55 = [
    whole("0x5aAeb6053F3E94C9b9", "A09f33669435E7Ef1BeAed"),
    whole("0xfB6916095ca1df60bB", "79Ce92cE3Ea74c37c5d359"),
    whole("0xdbF03B407c01E7cD3C", "Bea99509d93f8DDDC8C6FB"),
    whole("0xD1220A0cf47c7B9Be7", "A2E6BA89F429762e7b9aDb"),
]


@pytest.mark.parametrize("text", EIP_55)
def test_addresses_of_eip_55(scanner: Scanner, text: str) -> None:
    check, near = VALIDATORS["ethereum-address"], VALIDATORS["ethereum-address-in-context"]
    assert check(text.encode(), b"")
    assert near(text.encode(), b"")
    assert not check(text.encode(), b"a")
    swapped = text[:2] + text[2:].swapcase()
    assert not check(swapped.encode(), b"")
    assert not near(swapped.encode(), b"")
    for folded in (text.lower(), "0x" + text[2:].upper()):
        assert not check(folded.encode(), b"")
        assert near(folded.encode(), b"")
    assert "ethereum-address" in found(scanner, f"?a={text}&")
    assert not found(scanner, f"object at {text.lower()} ")
    assert "ethereum-address-in-context" in found(scanner, f'{{"wallet": "{text.lower()}"}}')


def test_ethereum_keys(scanner: Scanner) -> None:
    check = VALIDATORS["ethereum-key"]
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    assert not check(f"{order:x}".encode(), b"")
    assert not check(f"{order + int.from_bytes(DRAW.randbytes(15)):x}".encode(), b"")
    assert not check(b"0" * 64, b"")
    assert not check(b"0" * 63 + b"1", b"")
    assert not check(b"\xff" * 64, b"")
    drawn = DRAW.randbytes(32).hex()
    assert check(drawn.encode(), b"\n")
    assert not check(drawn.encode(), b"a")
    assert "ethereum-private-key" in found(scanner, f"PRIVATE_KEY=0x{drawn}\n")
    assert "ethereum-private-key" not in found(scanner, f"transaction 0x{drawn}\n")
    published = whole("ac0974bec39a17e36ba4a6b4d238ff94", "4bacb478cbed5efcae784d7bf4f2ff80")
    assert not check(published.encode(), b"")
    assert not found(scanner, f"PRIVATE_KEY=0x{published}\n")


# --- Solana


def test_solana_key_pairs(scanner: Scanner) -> None:
    seed = DRAW.randbytes(32)
    pair = seed + Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    other = pair[:-1] + bytes((pair[-1] ^ 1,))
    for mark in (",", ", ", ",\n  "):
        assert "solana-key-pair" in found(scanner, f"[{mark.join(map(str, pair))}]")
        assert "solana-key-pair" not in found(scanner, f"[{mark.join(map(str, other))}]")
        assert "solana-key-pair" not in found(scanner, f"[{mark.join(map(str, pair[:63]))}]")
    assert "solana-key-pair" not in found(scanner, f"[{','.join(map(str, range(64)))}]")
    assert "solana-key-pair" not in found(scanner, f"[{','.join(map(str, range(200, 264)))}]")


@pytest.mark.parametrize(
    "name",
    [
        *("wif", "base58check", "bitcoin-address", "monero-address", "bech32", "segwit-address"),
        *("ethereum-key", "ethereum-address", "ethereum-address-in-context", "solana-keypair"),
    ],
)
@given(st.binary(max_size=120), st.binary(max_size=256))
def test_any_bytes(name: str, secret: bytes, after: bytes) -> None:
    assert VALIDATORS[name](secret, after) in (True, False)


@given(st.text(BASE58, max_size=100), st.text(BASE58 + " ", max_size=100))
def test_any_base58(secret: str, after: str) -> None:
    for name in ("wif", "bitcoin-address", "monero-address", "segwit-address"):
        assert VALIDATORS[name](secret.encode(), after.encode()) in (True, False)


@given(st.lists(st.integers(0, 999), min_size=60, max_size=68))
def test_any_numbers(numbers: list[int]) -> None:
    text = f"[{','.join(map(str, numbers))}]".encode()
    assert VALIDATORS["solana-keypair"](text[:130], text[130:]) is False


def found(scanner: Scanner, text: str) -> set[str]:
    return {scanner.rules[raw.rule].id for raw in scanner.scan(text.encode(), "body").findings}
