# ruff: noqa: E501, S608 - templates of texts
"""Tables, dumps, numbers and mail."""

from __future__ import annotations

import base64
import json
import quopri
import random

from tests.bench.scanning.texts import prose
from tests.false_alarms.drawing import ALNUM, b64, guid, hexa, text, ulid, url64, when
from tests.false_alarms.items import Item

_NAMES = ("Jane Smith", "Raj Patel", "Marie Curie", "Li Wei", "Olu Ade", "Ana Souza", "Per Hansen")


def _orders(draw: random.Random) -> str:
    """Order numbers as long as card numbers, phone numbers, amounts, dates."""
    rows = [
        f"{20260000 + draw.randint(101, 1231)}{draw.randint(0, 10**8 - 1):08},{when(draw)},+1 555 {draw.randint(100, 999)} {draw.randint(1000, 9999)},{draw.uniform(1, 9999):.2f},{draw.choice(_NAMES)},EAN {draw.randint(10**12, 10**13 - 1)}"
        for _ in range(60)
    ]
    for row in (3, 20, 40):  # a few that are any number at all
        rows[row] = f"{draw.randint(10**15, 10**16 - 1)}{rows[row][16:]}"
    return "order,created,phone,amount,name,product\n" + "\n".join(rows)


def _people(draw: random.Random) -> str:
    rows = [
        f"INSERT INTO users VALUES ({n}, '{draw.choice(_NAMES)}', 'user{n}@example.com', '$2b$12${text(draw, ALNUM + './', 53)}', '{when(draw)}', '{guid(draw)}');"
        for n in range(30)
    ]
    return "BEGIN;\n" + "\n".join(rows) + "\nCOMMIT;\n"


def _readings(draw: random.Random) -> str:
    rows = [
        f"{1_760_000_000_000_000 + draw.randrange(10**12)}\t{draw.random()}\t{draw.uniform(-180, 180)!r}\t{draw.gauss(0, 1)!r}"
        for _ in range(120)
    ]
    return "time_us\tvalue\tlongitude\tscore\n" + "\n".join(rows)


def _identifiers(draw: random.Random) -> str:
    makers = (
        guid,
        ulid,
        lambda d: hexa(d, 24),
        lambda d: hexa(d, 32),
        lambda d: hexa(d, 40),
        lambda d: url64(d, 16),
        lambda d: str(d.randint(10**18, 10**19)),
        lambda d: hexa(d, 64),
    )
    return "\n".join(draw.choice(makers)(draw) for _ in range(150))


def _statement(draw: random.Random) -> str:
    """A ledger with references that are no account numbers."""
    rows = [
        f"{when(draw)[:10]};RF{draw.randint(10, 99)}{draw.randint(10**9, 10**10)};INV-{draw.randint(10**7, 10**8)};{draw.uniform(-500, 500):.2f};GB{draw.randint(10**8, 10**9)}"
        for _ in range(50)
    ]
    return "date;reference;invoice;amount;vat\n" + "\n".join(rows)


def _chain(draw: random.Random) -> str:
    """Calls of a blockchain's node: contracts, transactions, blocks."""
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "eth_call",
        "params": [{"to": f"0x{hexa(draw, 40)}", "data": f"0x70a08231{hexa(draw, 64)}"}, "latest"],
    }
    logs = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "eth_getTransactionReceipt",
        "params": [f"0x{hexa(draw, 64)}"],
    }
    return json.dumps(
        [
            call,
            logs,
            {
                "jsonrpc": "2.0",
                "id": 3,
                "method": "eth_getBlockByHash",
                "params": [f"0x{hexa(draw, 64)}", True],
            },
        ]
    )


def _notebook(draw: random.Random) -> str:
    cells = [
        {
            "cell_type": "code",
            "id": hexa(draw, 8),
            "source": prose(draw, 200).decode().splitlines(),
            "outputs": [
                {
                    "data": {
                        "image/png": "iVBORw0KGgoAAAANSUhEUgAA" + b64(draw, 1500) + "\n",
                        "text/plain": [f"array({[draw.random() for _ in range(20)]})"],
                    }
                }
            ],
        }
        for _ in range(4)
    ]
    return json.dumps({"cells": cells, "nbformat": 4})


def _words(draw: random.Random) -> str:
    """Sentences of short words, two thirds of them from BIP-39's list, as in simple English."""
    small = [
        "the",
        "of",
        "to",
        "is",
        "a",
        "and",
        "in",
        "it",
        "for",
        "as",
        "with",
        "at",
        "by",
        "from",
        "this",
        "was",
        "are",
        "be",
        "we",
        "they",
        "my",
        "her",
    ]
    words = """
about above actor again agent alone among animal answer arrive basic beach because become
before begin believe below better blue board book bring build busy call can car case choose
city civil claim clean clear close cloud code come common company cook cool copy country cover
create cross dad day decide deep degree detail doctor dream drive early earth east easy end
energy enjoy enough enter exact example exist eye fall family father find fine first follow
food force forest front full game garden gather general girl give glass good great group grow
guess half happy have health heart help high hold home hope hour human idea include inform
inside into issue job join kind know large later leave letter level life like list live long
love main make man mean middle minute miss moment month moral more mother music must name near
need never now offer open order other over own page paper party people phone pick place play
point power present price prize public put question real reason result right road room rule
run same save say school season second seem sense set shop similar simple since sing slow
small social some song soon speak spend sport start stay still stop story street strong such
sure talk that then there they thing this time today together tool topic town trade try turn
type uncle under unit update usual view visit wait walk want warm water way what when where
will wish woman word work world write year you young
    """.split()  # noqa: SIM905
    return "\n".join(
        " ".join(
            draw.choice(small if draw.random() < 0.33 else words)
            for _ in range(draw.randint(4, 30))
        )
        for _ in range(40)
    )


_TABLES = (_orders, _people, _readings, _identifiers, _statement, _chain, _notebook, _words)


def table(draw: random.Random, number: int) -> Item:
    """Data on its way to a service of one's own: as a file, a part of a form, or inside JSON."""
    made = _TABLES[number % len(_TABLES)]
    content = made(draw)
    name = f"data/{made.__name__.strip('_')}-{number}"
    way = number // len(_TABLES) % 3
    if way == 0:
        return Item(
            name,
            "data.example.com",
            "/import",
            "PUT",
            (("Content-Type", "text/csv"),),
            content.encode(),
        )
    if way == 1:
        body = f'--b7\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\n{content}\r\n--b7--\r\n'
        return Item(
            name,
            "data.example.com",
            "/upload",
            "POST",
            (("Content-Type", "multipart/form-data; boundary=b7"),),
            body.encode(),
        )
    document = json.dumps({"rows": content.splitlines(), "checksum": hexa(draw, 64)})
    return Item(
        name,
        "data.example.com",
        "/rows",
        "POST",
        (("Content-Type", "application/json"),),
        document.encode(),
    )


def mail(draw: random.Random, number: int) -> Item:
    """A message with signatures and attachments, sent by a mail service's API."""
    attachment = base64.encodebytes(draw.randbytes(3000)).decode()
    signature = "\r\n\t".join(b64(draw, 256)[at : at + 70] for at in range(0, 344, 70))
    text_part = quopri.encodestring(
        f"Grüße! {prose(draw, 500).decode()} = 3 × 4 — see https://www.example.com/?u=3D&t={hexa(draw, 20)}".encode()
    ).decode()
    message = (
        f"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=2026; bh={b64(draw, 32)};\r\n\tb={signature}\r\n"
        f"Message-ID: <{hexa(draw, 32)}@mail.example.com>\r\nSubject: =?utf-8?B?{b64(draw, 30)}?=\r\nMIME-Version: 1.0\r\n"
        f'Content-Type: multipart/mixed; boundary="=_{hexa(draw, 24)}"\r\n\r\n--=_x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{text_part}\r\n'
        f"--=_x\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{attachment}\r\n--=_x--\r\n"
    )
    if number % 2:
        return Item(
            f"mail/raw-{number}",
            "mail.example.com",
            "/v3/mime",
            "POST",
            (("Content-Type", "message/rfc822"),),
            message.encode(),
        )
    document = {
        "personalizations": [{"to": [{"email": "jane@example.com"}]}],
        "content": [{"type": "text/plain", "value": prose(draw, 400).decode()}],
        "attachments": [{"content": attachment.replace("\n", ""), "filename": "a.pdf"}],
    }
    return Item(
        f"mail/json-{number}",
        "mail.example.com",
        "/v3/send",
        "POST",
        (("Content-Type", "application/json"),),
        json.dumps(document).encode(),
    )
