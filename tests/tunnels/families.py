"""Families of tunnels: what an agent would name to carry a secret or a file out.

A sequence gives (name, bytes of payload in it, seconds since the one before). A single name carries
a whole secret.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import Final

from tests.tunnels import coding

Step = tuple[str, int, float]
Sequence_ = Callable[[random.Random, bytes, str], Iterator[Step]]
Single = Callable[[random.Random, bytes, str], str]

DOMAINS: Final = (
    "exfil.example",
    "tunnel.test",
    "ns1.attacker.example",
    "t.evil-domain.example.org",
    "cdn-stats.example.net",
    "user.duckdns.org",
    "api.metrics.co.uk",
)
_WORDS: Final = coding.listed(
    "able acid aged also area army away baby back ball band bank base bath bear beat been "
    "beer bell belt best bill bird blow blue boat body bomb bond bone book boom born boss "
    "both bowl bulk burn bush busy call calm came camp card care case cash cast cell chat "
    "chip city club coal coat code cold come cook cool cope copy core cost crew crop dark "
    "data date dawn days dead deal dean dear debt deep deny desk dial diet disc disk does "
    "done door dose down draw drew drop drug dual duke dust duty each earn ease east easy "
    "edge else even ever evil exit face fact fail fair fall farm fast fate fear feed feel "
    "feet fell felt file fill film find fine fire firm fish five flat flow food foot ford "
    "form fort four free from fuel full fund gain game gate gave gear gene gift girl give "
    "glad goal goes gold golf gone good gray grew grey grow gulf hair half hall hand hang "
    "hard harm hate have head hear heat held hell help here hero high hill hire hold hole "
    "holy home hope host hour huge hung hunt hurt idea inch into iron item jack jane jean "
    "john join jump jury just keen keep kent kept kick kill kind king knee knew know lack "
    "lady laid lake land lane last late lead left less life lift like line link list live "
    "load loan lock logo long look lord lose loss lost love luck made mail main make male "
    "many mark mass matt meal mean meat meet menu mere mike"
)


def _unique(steps: Iterator[Step]) -> Iterator[Step]:
    """Number names that came before: resolvers would answer a repeated one from their caches."""
    seen: set[str] = set()
    for name, size, pause in steps:
        if name in seen:
            name = f"{coding.base36(len(seen).to_bytes(2, 'big'))}.{name}"
        seen.add(name)
        yield name, size, pause


def _fit(labels: Sequence[str], domain: str, most: int = 250) -> list[str]:
    """Put labels into names as many as fit."""
    names, current = [], ""
    for label in labels:
        longer = f"{current}.{label}" if current else label
        if len(longer) + 1 + len(domain) > most:
            names.append(current)
            current = label
        else:
            current = longer
    return [*names, current]


def _chunks(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def dnscat2(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """Packets in hex: id, type, session, sequence and acknowledged numbers, data."""
    session = rng.randbytes(2)
    prefix = rng.choice(("", "dnscat."))
    syn = rng.randbytes(2) + b"\0" + session + rng.randbytes(2) + b"\0\1" + b"console\0"
    yield _dnscat(prefix, syn, domain), 0, 1.0
    seq = rng.randrange(65536)
    for chunk in _chunks(data, rng.choice((12, 30, 60, 90))):
        for _ in range(rng.choice((0, 0, 1, 3))):
            idle = rng.randbytes(2) + b"\1" + session + seq.to_bytes(2, "big") + b"\0\0"
            yield _dnscat(prefix, idle, domain), 0, 1.0
        packet = rng.randbytes(2) + b"\1" + session + seq.to_bytes(2, "big") + b"\0\0" + chunk
        yield _dnscat(prefix, packet, domain), len(chunk), 1.0
        seq = (seq + len(chunk)) % 65536


def _dnscat(prefix: str, packet: bytes, domain: str) -> str:
    return prefix + ".".join([*coding.cut(packet.hex(), 60), domain])


def _iodine(write: Callable[[bytes], str], size: int) -> Sequence_:
    def run(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
        user = rng.choice("0123456789abcdef")
        yield f"v{coding.base32(rng.randbytes(6))}.{domain}", 0, 0.2
        for number, chunk in enumerate(_chunks(data, size)):
            head = user + coding.base32(bytes((number & 7, 0, 1)))[:3] + coding._BASE36[number % 36]
            text = head + write(chunk)
            yield ".".join([*coding.cut(text, 57), domain]), len(chunk), 0.1

    return run


def _iodine128(data: bytes) -> str:
    """Signs above ASCII, as the shim writes them."""
    return "".join(f"\\{188 + byte % 64:03d}" for byte in data)


def _pieces(write: Callable[[bytes], str], sizes: Sequence[int], pause: float) -> Sequence_:
    def run(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
        size = rng.choice(sizes)
        for chunk in _chunks(data, size):
            text = write(chunk)
            labels = coding.cut(text, 63)
            yield ".".join([*labels, domain]), len(chunk), pause * rng.uniform(0.5, 1.5)

    return run


def _indexed(*, shuffled: bool) -> Sequence_:
    def run(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
        style = rng.choice(("{i}-{d}", "{d}-{i:02d}", "part{i}of{n}.{d}", "{d}.{i}", "s{i}-{d}"))
        write = rng.choice((coding.base32, bytes.hex))
        chunks = list(enumerate(_chunks(data[:600], rng.choice((6, 10, 20)))))
        if shuffled:
            rng.shuffle(chunks)
        for number, chunk in chunks:
            name = style.format(i=number, d=write(chunk), n=len(chunks))
            yield f"{name}.{domain}", len(chunk), 5.0

    return run


def slow_hours(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """One name every few hours."""
    for chunk in _chunks(data, rng.choice((12, 16, 20, 30))):
        yield f"{coding.base32(chunk)}.{domain}", len(chunk), rng.uniform(0.7, 3) * 3600


def words(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """Words of the attacker's own list, one to eight in a name."""
    count, joint = rng.choice((1, 2, 4, 8)), rng.choice("-.")
    for chunk in _chunks(data, count):
        said = coding.own_words(random.Random(1), chunk, _WORDS)
        yield f"{joint.join(said)}.{domain}", len(chunk), 20.0


def listed_words(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """Words of the PGP list, or proquints."""
    write = rng.choice((coding.pgp, coding.proquint))
    for chunk in _chunks(data, rng.choice((2, 6, 12))):
        said = write(chunk if len(chunk) % 2 == 0 else chunk + b"\0")
        yield f"{'-'.join(said)[:63].strip('-')}.{domain}", len(chunk), 20.0


def spelt(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """Hexadecimal digits as the spelling alphabet calls them."""
    for chunk in _chunks(data, rng.choice((2, 4, 8))):
        for name in _fit(coding.nato(chunk.hex().encode()), domain):
            yield f"{name}.{domain}", len(chunk), 10.0


def numbers(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """Codes of bytes, one in a label or run together, or a large number."""
    way = rng.randrange(3)
    for chunk in _chunks(data, rng.choice((3, 8, 16))):
        if way == 0:
            text = ".".join(str(byte) for byte in chunk)
        elif way == 1:
            text = "".join(f"{byte:03d}" for byte in chunk)
        else:
            text = str(int.from_bytes(chunk, "big"))
        yield f"{text}.{domain}", len(chunk), 5.0


def short_labels(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """Many names of two to four characters."""
    size = rng.choice((2, 3, 4))
    text = rng.choice((coding.base32, coding.base36))(data[:600])
    for piece in coding.cut(text, size):
        yield f"{piece}.{domain}", round(size * 5 / 8), 2.0


def bulk(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """A file as fast as it goes: names as long as they may be."""
    for chunk in _chunks(data, (245 - len(domain)) * 5 // 8 - 4):
        yield ".".join([*coding.cut(coding.base32(chunk), 62), domain]), len(chunk), 0.01


def polling(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """Counters and nonces that ask for what comes down; little goes up."""
    for number, chunk in enumerate(_chunks(data, 2)):
        nonce = rng.choice(("", coding.base36(chunk)))
        yield f"{nonce}{number:05d}.poll.{domain}", 2, 3.0


def lengths(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """The lengths of labels."""
    for chunk in _chunks(data, 6):
        yield ".".join([*coding.by_length(rng, chunk), domain]), len(chunk), 1.0


def cdn_like(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """Chunks that look like hashes and ids of content networks."""
    style = rng.randrange(4)
    for chunk in _chunks(data, (8, 16, 20, 10)[style]):
        text = (
            f"d{coding.base36(chunk)}.cdn",
            f"{chunk.hex()}.assets",
            f"app-{chunk.hex()}.edge.eu-west-1",
            f"rr{rng.randint(1, 9)}---sn-{coding.base32(chunk)}",
        )[style]
        yield f"{text}.{domain}", len(chunk), 30.0


def uuid_like(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """UUIDs, the bytes of which are the data's."""
    for chunk in _chunks(data, 16):
        yield f"{coding.uuids(chunk)[0]}.{domain}", len(chunk), 10.0


def nibbles(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """A digit in a label, as in names of IPv6 addresses."""
    for chunk in _chunks(data, rng.choice((4, 16))):
        yield ".".join([*chunk.hex(), domain]), len(chunk), 1.0


def addresses(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """Bytes as the addresses in names of hosts."""
    for chunk in _chunks(data, 4):
        yield f"ip-{'-'.join(str(b) for b in chunk)}.eu.{domain}", len(chunk), 4.0


def several_domains(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """Two domains by turns."""
    for number, chunk in enumerate(_chunks(data, 15)):
        yield f"{coding.base32(chunk)}.{'ab'[number & 1]}-{domain}", len(chunk), 1.0


def by_case(rng: random.Random, data: bytes, domain: str) -> Iterator[Step]:
    """The case of letters of ordinary names; what is carried is text."""
    text = data if data.isascii() else coding.base64url(data).encode()
    number = 0
    for name in coding.by_case(rng, text, f"www.account.support.{domain}"):
        number += sum(c.isalpha() for c in name)
        yield name, number // 8, 1.0
        number %= 8


SEQUENCES: Final = MappingProxyType(
    {
        "dnscat2": dnscat2,
        "iodine base32": _iodine(coding.base32, 60),
        "iodine base64": _iodine(coding.base64url, 80),
        "iodine base128": _iodine(_iodine128, 30),
        "base32 tokens": _pieces(coding.base32, (10, 20, 35), 2.0),
        "hex chunks": _pieces(bytes.hex, (8, 16, 30), 2.0),
        "base36": _pieces(coding.base36, (8, 16, 30), 2.0),
        "base58": _pieces(coding.base58, (8, 16, 30), 2.0),
        "deflated": _pieces(lambda c: coding.base32(coding.deflated(c)), (20, 40), 2.0),
        "indices": _indexed(shuffled=False),
        "shuffled indices": _indexed(shuffled=True),
        "drip of minutes": _pieces(coding.base32, (10, 20), 600.0),
        "drip of hours": slow_hours,
        "words": lambda *args: _unique(words(*args)),
        "listed words": listed_words,
        "spelling alphabet": spelt,
        "numbers": lambda *args: _unique(numbers(*args)),
        "short labels": lambda *args: _unique(short_labels(*args)),
        "bulk file": bulk,
        "polling": polling,
        "label lengths": lengths,
        "content network": cdn_like,
        "uuids": uuid_like,
        "nibbles": nibbles,
        "addresses": addresses,
        "several domains": several_domains,
        "case of letters": by_case,
    }
)


def _labels(text: str, rng: random.Random) -> str:
    return ".".join(coding.cut(text, rng.choice((63, 40, 17))))


def _plain(rng: random.Random, secret: bytes, domain: str) -> str:
    text = rng.choice((str, str.lower))(secret.decode())
    labels = coding.cut(text, rng.choice((63, 12)))
    if any(label.startswith("-") or label.endswith("-") for label in labels):
        labels = [text]
    return ".".join([*labels, domain])


def _placed(rng: random.Random, secret: bytes, domain: str, *, shuffled: bool) -> str:
    text = rng.choice((coding.base32, bytes.hex))(secret)
    pieces = coding.cut(text, -(-len(text) // rng.choice((2, 3, 5))))
    style = rng.choice(
        ("{i}-{d}", "{a}-{d}", "{d}-{i:02d}", "part{i}of{n}-{d}", "s{i}-{d}", "{i}.{d}", "{i}{d}")
    )
    first = rng.choice((0, 1))
    written = [
        style.format(i=at + first, a=string.ascii_lowercase[at], d=piece, n=len(pieces))
        for at, piece in enumerate(pieces)
    ]
    if shuffled:
        rng.shuffle(written)
    return ".".join([*written, domain])


def _words(write: Callable[[bytes], list[str]]) -> Single:
    def run(rng: random.Random, secret: bytes, domain: str) -> str:
        said = write(secret if len(secret) % 2 == 0 else secret + b"\n")
        joint = rng.choice("-.")
        if joint == ".":
            return ".".join([*said, domain])
        labels: list[str] = []
        for word in said:
            if labels and len(labels[-1]) + len(word) < 63:
                labels[-1] += f"-{word}"
            else:
                labels.append(word)
        return ".".join([*labels, domain])

    return run


def _text(write: Callable[[bytes], str]) -> Single:
    return lambda rng, secret, domain: f"{_labels(write(secret), rng)}.{domain}"


def _codes(rng: random.Random, secret: bytes, domain: str) -> str:
    way = rng.randrange(3)
    if way == 0:
        return ".".join([*(str(byte) for byte in secret), domain])
    if way == 1:
        return ".".join([*coding.cut("".join(f"{byte:03d}" for byte in secret), 60), domain])
    return ".".join([*coding.cut(str(int.from_bytes(secret, "big")), 60), domain])


SINGLES: Final = MappingProxyType(
    {
        "plain": _plain,
        "hex": _text(bytes.hex),
        "base32": _text(coding.base32),
        "base32hex": _text(coding.base32hex),
        "crockford": _text(lambda s: coding.turned_alphabet(s, "0123456789abcdefghjkmnpqrstvwxyz")),
        "z-base-32": _text(lambda s: coding.turned_alphabet(s, "ybndrfg8ejkmcpqxot1uwisza345h769")),
        "base64url": _text(coding.base64url),
        "base36": _text(coding.base36),
        "base58": _text(coding.base58),
        "codes": _codes,
        "deflated base32": _text(lambda s: coding.base32(coding.deflated(s))),
        "deflated hex": _text(lambda s: coding.deflated(s).hex()),
        "base64 in hex": _text(lambda s: coding.base64url(s).encode().hex()),
        "spelt": _words(coding.nato),
        "PGP words": _words(coding.pgp),
        "proquints": _words(coding.proquint),
        "uuids": lambda rng, s, domain: ".".join([*coding.uuids(s), domain]),
        "places": lambda rng, s, domain: _placed(rng, s, domain, shuffled=False),
        "shuffled places": lambda rng, s, domain: _placed(rng, s, domain, shuffled=True),
        "backwards": lambda rng, s, domain: ".".join(
            [*coding.cut(coding.base32(s), 20)[::-1], domain]
        ),
        "beside words": lambda rng, s, domain: f"img.{coding.base32(s)}.v1.static.{domain}",
    }
)
