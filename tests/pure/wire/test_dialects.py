"""Dialects: whole units, the way into TLS, and what is not of the protocol."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.dialect import HELD, Dialect, DialectError, Told
from interceptor.wire.dialects import DIALECTS
from interceptor.wire.farewell import farewell
from interceptor.wire.frames import Frames
from interceptor.wire.postgres import SSL_REQUEST

C, S = "client", "server"
TLS = b"(TLS)"
GSSENC = b"\x00\x00\x00\x08\x04\xd2\x16\x30"
Turn = tuple[str, bytes]


def dialect(name: str) -> Dialect:
    return DIALECTS[name]()


def told(spoken: Dialect, side: str, data: bytes) -> Told:
    return spoken.from_client(data) if side == C else spoken.from_server(data)


def pass_on(spoken: Dialect, turns: Sequence[Turn], size: int = 0) -> tuple[bytes, bytes]:
    """Bytes relayed to server and client; `size`: of the pieces, 0 for whole."""
    out = {C: b"", S: b""}
    for side, data in turns:
        step = size or len(data)
        for at in range(0, len(data), step):
            found = told(spoken, side, data[at : at + step])
            assert not found.seal
            assert not found.reply
            out[side] += found.data + found.opaque
    return out[C], out[S]


def pg(kind: bytes, payload: bytes) -> bytes:
    return kind + (4 + len(payload)).to_bytes(4) + payload


def packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((number,)) + payload


def mongo(code: int, payload: bytes) -> bytes:
    return struct.pack("<iiii", 16 + len(payload), 1, 0, code) + payload


def ssh(kind: int, payload: bytes) -> bytes:
    padding = 4 + -(6 + len(payload) + 4) % 8
    return struct.pack(">IBB", 2 + len(payload) + padding, padding, kind) + payload + bytes(padding)


_USER = b"user\0alice\0database\0app\0\0"
STARTUP = struct.pack(">II", 8 + len(_USER), 196608) + _USER
SASL = pg(b"R", (10).to_bytes(4) + b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
READY = pg(b"R", bytes(4)) + pg(b"Z", b"I")
_WANTS = 0x00FFA68D  # what a client of MySQL 8 asks for, TLS and compression left out
GREETING = packet(
    0,
    b"\x0a8.0.35\0"
    + bytes(4)
    + b"authdata\0"
    + b"\xff\xff\xff\x02\0\xff\xdf\x15"
    + bytes(31)
    + b"\0",
)
LOGIN = packet(1, struct.pack("<IIB", _WANTS, 1 << 24, 255) + bytes(23) + b"alice\0" + bytes(30))
SSL = packet(1, struct.pack("<IIB", _WANTS | 0x800, 1 << 24, 255) + bytes(23))
KEXINIT = ssh(20, bytes(16) + b"\0\0\0\x11curve25519-sha256" + bytes(30))
NEWKEYS = ssh(21, b"")

ORDINARY: dict[str, list[Turn]] = {
    "ssh": [
        (S, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
        (C, b"SSH-2.0-OpenSSH_9.6\r\n" + KEXINIT),
        (S, KEXINIT),
        (C, ssh(30, bytes(36))),
        (S, ssh(31, bytes(200)) + NEWKEYS),
        (C, NEWKEYS + b"\x91\x02encrypted"),
        (S, b"\x13\x37encrypted, too"),
        (C, b"\x00"),
    ],
    "smtp": [
        (S, b"220-mx.example.com\r\n220 ready\r\n"),
        (C, b"EHLO me\r\n"),
        (S, b"250-mx.example.com\r\n250 CHUNKING\r\n"),
        (C, b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"),
        (S, b"250 ok\r\n250 ok\r\n354 go on\r\n"),
        (C, b"Subject: how to\r\n\r\nSTARTTLS\r\nis a line.\r\n.\r\n"),
        (S, b"250 queued\r\n"),
        (C, b"BDAT 9\r\nSTARTTLS\n"),
        (C, b"BDAT 3 LAST\r\nend"),
        (S, b"250 ok\r\n250 ok\r\n"),
        (C, b"QUIT\r\n"),
        (S, b"221 bye\r\n"),
    ],
    "imap": [
        (S, b"* OK [CAPABILITY IMAP4rev1] ready\r\n"),
        (C, b"a1 LOGIN alice {8}\r\n"),
        (S, b"+ go on\r\n"),
        (C, b"password\r\n"),
        (S, b"a1 OK\r\n"),
        (C, b"a2 APPEND INBOX {17+}\r\na3 STARTTLS\r\nabc\r\n"),
        (S, b"a2 OK\r\n"),
        (C, b"a4 IDLE\r\n"),
        (S, b"+ idling\r\n* 1 FETCH (BODY {5}\r\nhello)\r\n"),
        (C, b"DONE\r\n"),
    ],
    "pop3": [
        (S, b"+OK ready\r\n"),
        (C, b"CAPA\r\n"),
        (S, b"+OK\r\nSTLS\r\nUSER\r\n.\r\n"),
        (C, b"USER alice\r\nPASS x\r\n"),
        (S, b"+OK\r\n+OK\r\n"),
        (C, b"RETR 1\r\n"),
        (S, b"+OK\r\nSubject: x\r\n\r\n+OK\r\n-ERR\r\n.\r\n"),
        (C, b"QUIT\r\n"),
    ],
    "ftp": [
        (S, b"220-Welcome\r\n  to us\r\n220 ready\r\n"),
        (C, b"USER anonymous\r\n"),
        (S, b"331 password\r\n"),
        (C, b"PASS x@example.com\r\nPASV\r\n"),
        (S, b"230 in\r\n227 Entering Passive Mode (192,0,2,1,4,1)\r\n"),
        (C, b"RETR x\r\n"),
        (S, b"150 opening\r\n226 done\r\n"),
    ],
    "irc": [
        (C, b"CAP LS 302\r\nNICK alice\r\nUSER alice 0 * :Alice\r\n"),
        (S, b":irc.example.com 001 alice :Welcome\r\nPING :x\r\n"),
        (C, b"PONG :x\r\nPRIVMSG #a :hello\r\n"),
    ],
    "postgres": [
        (C, STARTUP),
        (S, SASL),
        (C, pg(b"p", b"SCRAM-SHA-256\0" + (8).to_bytes(4) + b"n,,n=,r=")),
        (S, READY),
        (C, pg(b"Q", b"select 1\0")),
        (S, pg(b"T", bytes(30)) + pg(b"Z", b"I")),
        (C, pg(b"d", b"x" * 30_000) + pg(b"c", b"")),
        (C, pg(b"X", b"")),
    ],
    "mysql": [
        (
            S,
            GREETING.replace(b"\xff\xff\xff\x02", b"\xdf\xff\xff\x02").replace(
                b"\xff\xdf", b"\xff\xdb"
            ),
        ),
        (C, LOGIN),
        (S, packet(2, bytes(7))),
        (C, packet(0, b"\x03select 1")),
        (S, packet(1, b"\x01") + packet(2, bytes(20))),
        (C, packet(0, b"\x03insert " + b"x" * 20_000)),
    ],
    "redis": [
        (C, b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n"),
        (S, b"+OK\r\n"),
        (C, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nb\n\r\n"),
        (S, b"+OK\r\n"),
        (C, b"PING\r\n"),
    ],
    "mongodb": [
        (C, mongo(2004, b"\0\0\0\0admin.$cmd\0" + bytes(40))),
        (S, mongo(1, bytes(100))),
        (C, mongo(2013, bytes(30)) + mongo(2013, b"y" * 20_000)),
        (S, mongo(2013, bytes(30))),
    ],
    "any": [(C, b"\x00\x01whatever"), (S, b"you say"), (C, b"more")],
}


@pytest.mark.parametrize("size", [0, 1, 7, 100])
@pytest.mark.parametrize("name", list(DIALECTS))
def test_ordinary_conversations_pass_whole(name: str, size: int) -> None:
    turns = ORDINARY[name]
    out, back = pass_on(dialect(name), turns, size)
    assert out == b"".join(data for side, data in turns if side == C)
    assert back == b"".join(data for side, data in turns if side == S)


UNFINISHED = [
    ("smtp", b"EHLO me\r\nMAIL FROM:<a@exam", b"EHLO me\r\n"),
    ("imap", b"a1 LOGIN alice pass", b""),
    ("redis", b"*2\r\n$3\r\nGET\r\n$4\r\nk", b"*2\r\n$3\r\nGET\r\n$4\r\n"),
    ("irc", b"NICK a\r\nUSER", b"NICK a\r\n"),
    ("postgres", STARTUP + pg(b"Q", b"select 'x\0")[:-3], STARTUP),
    ("mongodb", mongo(2013, bytes(30)) + mongo(2013, bytes(30))[:-1], mongo(2013, bytes(30))),
    ("ssh", b"SSH-2.0-x\r\n" + KEXINIT[:-1], b"SSH-2.0-x\r\n"),
    ("any", b"half", b"half"),
]


@pytest.mark.parametrize(("name", "data", "gone"), UNFINISHED)
def test_an_unfinished_unit_stays(name: str, data: bytes, gone: bytes) -> None:
    """What would complete a secret is judged before the rest of its unit has left."""
    assert dialect(name).from_client(data).data == gone
    slowly = dialect(name)
    assert b"".join(slowly.from_client(data[i : i + 1]).data for i in range(len(data))) == gone


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("redis", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n"),
        ("smtp", b"EHLO me\r\n"),
        ("postgres", STARTUP + b"d" + (1_000_000).to_bytes(4)),
        ("mongodb", struct.pack("<iiii", 1_000_000, 1, 0, 2013)),
    ],
)
def test_long_units_pass_in_constant_memory(name: str, start: bytes) -> None:
    spoken = dialect(name)
    gone = len(spoken.from_client(start).data)
    fed = len(start)
    for _ in range(100):
        fed += 5_000
        gone += len(spoken.from_client(b"x" * 5_000).data)
        assert fed - gone <= HELD


def test_frames_go_on_after_a_long_one() -> None:
    spoken = dialect("postgres")
    spoken.from_client(STARTUP)
    long, short = pg(b"d", b"x" * 50_000), pg(b"c", b"")
    out = b"".join(
        spoken.from_client(piece).data for piece in (long[:20_000], long[20_000:] + short, short)
    )
    assert out == long + short + short


WRONG = [
    (name, data)
    for name in (
        "smtp",
        "imap",
        "pop3",
        "ftp",
        "irc",
        "postgres",
        "redis",
        "mongodb",
        "ssh",
        "mysql",
    )
    for data in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x13BitTorrent protocol\r\n",
        b"\x05\x01\x00\n" * 9,
    )
]


@pytest.mark.parametrize(("name", "data"), WRONG)
def test_other_protocols_are_refused(name: str, data: bytes) -> None:
    with pytest.raises(DialectError) as caught:
        dialect(name).from_client(data)
    assert caught.value.reason is Reason.PROTOCOL_REFUSED
    assert name in str(caught.value)
    slowly = dialect(name)
    with pytest.raises(DialectError):
        [slowly.from_client(data[i : i + 1]) for i in range(len(data))]


@pytest.mark.parametrize("name", ["smtp", "imap", "pop3", "ftp", "ssh", "mysql", "mongodb"])
def test_other_servers_are_refused(name: str) -> None:
    with pytest.raises(DialectError):
        dialect(name).from_server(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n")


@pytest.mark.parametrize("name", ["smtp", "redis", "irc", "ftp"])
def test_first_lines_without_end_are_refused(name: str) -> None:
    with pytest.raises(DialectError):
        dialect(name).from_client(b"A" * (HELD + 1))


# -- TLS -----------------------------------------------------------------------------------------

ASKING: list[tuple[str, list[Turn], bytes, bytes, bytes]] = [
    ("smtp", [(S, b"220 x\r\n"), (C, b"EHLO me\r\n"), (S, b"250-x\r\n250 STARTTLS\r\n")],
     b"STARTTLS\r\n", b"220 go ahead\r\n", b"454 not now\r\n"),
    ("smtp", [(S, b"220 x\r\n")], b"EHLO me\r\nSTARTTLS\r\n",
     b"250-x\r\n250 STARTTLS\r\n220 go ahead\r\n", b"250 x\r\n454 not now\r\n"),
    ("smtp", [(S, b"220 x\r\n"), (C, b"ehlo me\r\n"), (S, b"250 x\r\n")],
     b"starttls\r\n", b"220 go ahead\r\n", b"502 what?\r\n"),
    ("imap", [(S, b"* OK x\r\n"), (C, b"a1 CAPABILITY\r\n"), (S, b"* CAPABILITY X\r\na1 OK\r\n")],
     b"a2 STARTTLS\r\n", b"a2 OK begin\r\n", b"a2 NO\r\n"),
    ("imap", [(S, b"* OK x\r\n")], b"a1 CAPABILITY\r\na2 STARTTLS\r\n",
     b"* CAPABILITY X\r\na1 OK\r\na2 OK begin\r\n", b"a1 OK\r\na2 BAD\r\n"),
    ("pop3", [(S, b"+OK x\r\n"), (C, b"CAPA\r\n"), (S, b"+OK\r\nSTLS\r\n.\r\n")],
     b"STLS\r\n", b"+OK begin\r\n", b"-ERR no\r\n"),
    ("pop3", [(S, b"+OK x\r\n")], b"CAPA\r\nSTLS\r\n", b"+OK\r\nSTLS\r\n.\r\n+OK\r\n",
     b"-ERR\r\n-ERR no\r\n"),
    ("ftp", [(S, b"220-x\r\n220 y\r\n"), (C, b"FEAT\r\n"), (S, b"211-x\r\n TLS\r\n211 end\r\n")],
     b"AUTH TLS\r\n", b"234 go ahead\r\n", b"504 no\r\n"),
    ("postgres", [], SSL_REQUEST, b"S", b"N"),
]  # fmt: skip


def before(case: tuple[str, list[Turn], bytes, bytes, bytes]) -> Dialect:
    spoken = dialect(case[0])
    pass_on(spoken, case[1])
    return spoken


@pytest.mark.parametrize("case", ASKING)
def test_tls_begins_when_the_server_agrees(
    case: tuple[str, list[Turn], bytes, bytes, bytes],
) -> None:
    for size in (1, 100):
        spoken, ask, agree = before(case), case[2], case[3]
        asked = b"".join(
            spoken.from_client(ask[i : i + size]).data for i in range(0, len(ask), size)
        )
        assert asked == ask
        answers = [spoken.from_server(agree[i : i + size]) for i in range(0, len(agree), size)]
        assert [answer.seal for answer in answers] == [False] * (len(answers) - 1) + [True]
        assert b"".join(answer.data for answer in answers) == agree
        spoken.sealed()


@pytest.mark.parametrize("case", ASKING)
def test_a_refusal_is_relayed_and_goes_on_in_clear(
    case: tuple[str, list[Turn], bytes, bytes, bytes],
) -> None:
    name, _, ask, _, refuse = case
    spoken = before(case)
    assert spoken.from_client(ask).data == ask
    answer = spoken.from_server(refuse)
    assert (answer.data, answer.seal) == (refuse, False)
    on = {"smtp": b"QUIT\r\n", "imap": b"a9 NOOP\r\n", "pop3": b"QUIT\r\n", "ftp": b"QUIT\r\n"}
    more = on.get(name, STARTUP)
    assert spoken.from_client(more).data == more


@pytest.mark.parametrize("case", ASKING)
def test_nothing_may_stand_behind_the_request(
    case: tuple[str, list[Turn], bytes, bytes, bytes],
) -> None:
    for more in (b"QUIT\r\n", b"x", SSL_REQUEST):
        with pytest.raises(DialectError):
            before(case).from_client(case[2] + more)
        spoken = before(case)
        spoken.from_client(case[2])
        with pytest.raises(DialectError):
            spoken.from_client(more)


@pytest.mark.parametrize("case", ASKING)
def test_nothing_may_stand_behind_the_agreement(
    case: tuple[str, list[Turn], bytes, bytes, bytes],
) -> None:
    spoken = before(case)
    spoken.from_client(case[2])
    with pytest.raises(DialectError) as caught:
        spoken.from_server(case[3] + b"* OK injected\r\n")
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


def test_inside_of_tls_starttls_is_only_a_word() -> None:
    spoken = before(ASKING[0])
    spoken.from_client(b"STARTTLS\r\n")
    assert spoken.from_server(b"220 go ahead\r\n").seal
    spoken.sealed()
    assert spoken.from_client(b"EHLO me\r\nSTARTTLS\r\nQUIT\r\n").data.endswith(b"QUIT\r\n")
    assert not spoken.from_server(b"250 x\r\n503 in TLS\r\n221 bye\r\n").seal


@pytest.mark.parametrize("name", ["smtp", "imap", "pop3", "ftp", "irc", "redis"])
def test_tls_that_was_not_agreed_upon_is_refused(name: str) -> None:
    spoken = dialect(name)
    if spoken.server_first:
        pass_on(spoken, ORDINARY[name][:1])
    with pytest.raises(DialectError):
        spoken.from_client(b"\x16\x03\x01\x02\x00\x01" + bytes(50))


def test_imap_compression_is_answered_here() -> None:
    spoken = dialect("imap")
    pass_on(spoken, [(S, b"* OK x\r\n"), (C, b"a1 NOOP\r\n"), (S, b"a1 OK\r\n")])
    found = spoken.from_client(b"a2 COMPRESS DEFLATE\r\n")
    assert (found.data, found.reply) == (b"", b"a2 NO compression is not available here\r\n")
    found = spoken.from_client(b"a3 NOOP\r\na4 compress deflate\r\na5 NOOP\r\n")
    assert found.data == b"a3 NOOP\r\na5 NOOP\r\n"
    assert found.reply.startswith(b"a4 NO ")


def test_irc_starttls_is_answered_here() -> None:
    found = dialect("irc").from_client(b"STARTTLS\r\n")
    assert (found.data, found.reply[:22]) == (b"", b":egressguard 691 * :ST")
    found = dialect("irc").from_client(b"starttls\r\nNICK a\r\n")
    assert (found.data, found.reply[:22]) == (b"NICK a\r\n", b":egressguard 691 * :ST")


# -- postgres ------------------------------------------------------------------------------------


def test_postgres_gss_encryption_is_declined_here() -> None:
    spoken = dialect("postgres")
    found = spoken.from_client(GSSENC)
    assert (found.data, found.reply) == (b"", b"N")
    assert spoken.from_client(SSL_REQUEST).data == SSL_REQUEST
    assert spoken.from_server(b"N").data == b"N"
    assert spoken.from_client(STARTUP).data == STARTUP


def test_postgres_cancel() -> None:
    cancel = struct.pack(">IIII", 16, 80877102, 1, 2)
    spoken = dialect("postgres")
    assert spoken.from_client(cancel[:9]).data == b""
    assert spoken.from_client(cancel[9:]).data == cancel
    with pytest.raises(DialectError):
        spoken.from_client(b"more")


def test_postgres_tls_from_the_start_is_asked_for_in_the_old_way() -> None:
    spoken = dialect("postgres")
    spoken.sealed()
    assert spoken.from_client(STARTUP).data == STARTUP
    assert spoken.preamble() == SSL_REQUEST
    found = spoken.from_server(b"S")
    assert (found.data, found.seal) == (b"", True)
    without = dialect("postgres")
    without.sealed()
    without.preamble()
    with pytest.raises(DialectError) as caught:
        without.from_server(b"N")
    assert caught.value.reason is Reason.CONNECT_FAILED


@pytest.mark.parametrize(
    ("first", "works"),
    [
        (b"SCRAM-SHA-256\0" + (8).to_bytes(4) + b"n,,n=,r=", True),
        (b"SCRAM-SHA-256\0" + (8).to_bytes(4) + b"y,,n=,r=", False),
        (b"SCRAM-SHA-256-PLUS\0" + (30).to_bytes(4) + b"p=tls-server-end-point,,n=,r=x", False),
        (b"md5abcdef\0", True),
    ],
)
def test_postgres_channel_binding_is_refused_with_the_remedy(first: bytes, works: bool) -> None:
    spoken = dialect("postgres")
    spoken.from_client(SSL_REQUEST)
    spoken.from_server(b"S")
    spoken.sealed()
    spoken.from_client(STARTUP)
    for i in range(len(SASL)):
        spoken.from_server(SASL[i : i + 1])
    if works:
        assert spoken.from_client(pg(b"p", first)).data
        return
    with pytest.raises(DialectError, match="channel_binding=disable"):
        spoken.from_client(pg(b"p", first))


def test_postgres_messages_that_are_none() -> None:
    for bad in (b"\x00\x00\x00\x00\x05", b"Q\x00\x00\x00\x03", b"1234567"):
        spoken = dialect("postgres")
        spoken.from_client(STARTUP)
        with pytest.raises(DialectError):
            spoken.from_client(bad)


# -- mysql ---------------------------------------------------------------------------------------


def test_mysql_tls_begins_behind_the_request() -> None:
    hello = b"\x16\x03\x01"
    for pieces in ([SSL + hello], [SSL[:10], SSL[10:] + hello]):
        spoken = dialect("mysql")
        spoken.from_server(GREETING)
        found = [spoken.from_client(piece) for piece in pieces][-1]
        assert (found.data, found.seal, found.rest) == (SSL, True, hello)
        spoken.sealed()
        again = b"\x00".join((LOGIN[:3], b""))[:3] + b"\x02" + LOGIN[4:]
        assert spoken.from_client(again).data == again


def test_mysql_compression_is_taken_out_of_the_greeting() -> None:
    found = dialect("mysql").from_server(GREETING).data
    assert len(found) == len(GREETING)
    at = GREETING.index(b"authdata\0") + 9
    low, high = found[at : at + 2], found[at + 5 : at + 7]
    offered = int.from_bytes(low + high, "little")
    assert offered == 0xDFFFFFFF & ~(1 << 5) & ~(1 << 26)
    spoken = dialect("mysql")
    spoken.from_server(GREETING)
    with pytest.raises(DialectError) as caught:
        spoken.from_client(packet(1, struct.pack("<IIB", _WANTS | 1 << 5, 0, 0) + bytes(60)))
    assert caught.value.reason is Reason.INCOMPLETE


@pytest.mark.parametrize(
    "greeting",
    [packet(0, b"\x0a8.0"), packet(0, b"\x0a" + b"8" * 30), packet(0, b"\x0a8\0" + bytes(10))],
)
def test_mysql_greetings_that_are_none(greeting: bytes) -> None:
    with pytest.raises(DialectError):
        dialect("mysql").from_server(greeting)


def test_mysql_errors_in_place_of_a_greeting_pass() -> None:
    error = packet(0, b"\xff\x10\x04Too many connections")
    assert dialect("mysql").from_server(error).data == error


# -- mongodb, ssh, others ------------------------------------------------------------------------


def test_mongodb_compression_is_refused() -> None:
    with pytest.raises(DialectError, match="compressors") as caught:
        dialect("mongodb").from_client(mongo(2012, bytes(30)))
    assert caught.value.reason is Reason.INCOMPLETE


def test_ssh_is_unread_behind_its_keys_and_not_before() -> None:
    spoken = dialect("ssh")
    assert spoken.from_client(b"SSH-2.0-x\r\n" + KEXINIT) == Told(b"SSH-2.0-x\r\n" + KEXINIT)
    found = spoken.from_client(ssh(30, b"abc") + NEWKEYS + b"secret")
    assert (found.data, found.opaque) == (ssh(30, b"abc") + NEWKEYS, b"secret")
    assert spoken.from_client(b"\x00\x01") == Told(opaque=b"\x00\x01")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-" + b"x" * 300 + b"\r\n",
        b"SSH-1.5-old\r\n",
        b"hello\r\nSSH-2.0-x\r\n",
        b"SSH-2.0-x\r\nplain text in place of packets",
        b"SSH-2.0-x\r\n" + ssh(94, b"channel data before keys"),
        b"SSH-2.0-x\r\n" + struct.pack(">IBB", 40_000, 4, 20) + bytes(40_000),
    ],
)
def test_ssh_that_is_none(data: bytes) -> None:
    with pytest.raises(DialectError):
        dialect("ssh").from_client(data)


def test_ssh_servers_may_say_something_first() -> None:
    spoken = dialect("ssh")
    data = b"Welcome\r\nto us\r\nSSH-2.0-x\r\n" + KEXINIT
    assert spoken.from_server(data).data == data
    with pytest.raises(DialectError):
        dialect("ssh").from_server(b"line\r\n" * 2_000)


def test_any_protocol_may_begin_tls_in_the_middle() -> None:
    hello = b"\x16\x03\x01\x02\x00\x01" + bytes(40)
    spoken = dialect("any")
    spoken.from_client(b"0\x1d\x02\x01\x01w\x18...")
    spoken.from_server(b"0\x24...")
    assert spoken.from_client(hello[:3]) == Told()
    assert spoken.from_client(hello[3:]) == Told(seal=True, rest=hello)
    spoken.sealed()
    assert spoken.from_client(hello) == Told(hello)


def test_the_rest_of_a_line_is_not_lost() -> None:
    spoken = dialect("redis")
    assert spoken.from_client(b"PING\r\nGET k").data == b"PING\r\n"
    assert spoken.remainder(client=True) == b"GET k"
    assert spoken.remainder(client=True) == b""
    assert dialect("redis").remainder(client=True) == b""


def test_last_words() -> None:
    text = "egressguard: secret: AWS key\r\nin stream"
    assert (
        farewell("smtp", text, greeted=True)
        == b"554 5.7.1 egressguard: secret: AWS key??in stream\r\n"
    )
    error = farewell("postgres", text, greeted=True)
    assert error[:1] == b"E"
    assert len(error) == 1 + int.from_bytes(error[1:5])
    assert error.endswith(b"in stream\0\0")
    assert farewell("ssh", text, greeted=True) == farewell("vnc", text, greeted=False) == b""
    assert farewell("mysql", text, greeted=False)[3:7] == b"\0\xff\x6a\x04"
    assert farewell("mysql", text, greeted=True)[3:13] == b"\1\xff\x6a\x04#08004"
    line, _, data = farewell("ssh", text, greeted=False).partition(b"\r\n")
    length, padding, kind, reason, size = struct.unpack(">IBBII", data[:14])
    assert line.startswith(b"SSH-2.0-")
    assert len(data) == 4 + length
    assert len(data) % 8 == 0
    assert padding >= 4
    assert (kind, reason) == (1, 1)
    assert data[14 : 14 + size].endswith(b"in stream")


# -- any bytes -----------------------------------------------------------------------------------

PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([data for turns in ORDINARY.values() for _, data in turns if len(data) < 500]),
    st.sampled_from(
        [b"STARTTLS\r\n", b"a STARTTLS\r\n", b"STLS\r\n", b"AUTH TLS\r\n", SSL_REQUEST]
    ),
    st.sampled_from([b"\r\n", b".\r\n", b"{5}\r\n", b"S", b"220 x\r\n", b"+OK\r\n", b"a OK\r\n"]),
)


def outcome(
    make: Callable[[], Dialect], turns: Sequence[tuple[str, Sequence[bytes]]]
) -> list[tuple[str, bytes, bytes, bytes]]:
    """What came of each turn: bytes passed, answered, or the end."""
    spoken = make()
    found: list[tuple[str, bytes, bytes, bytes]] = []
    for side, pieces in turns:
        data = reply = opaque = b""
        try:
            for piece in pieces:
                one = told(spoken, side, piece)
                data, reply, opaque = data + one.data, reply + one.reply, opaque + one.opaque
                if one.seal:
                    return [*found, (side, data, reply, TLS)]
        except DialectError as error:
            return [*found, ("end", b"", b"", str(error.reason).encode())]
        found.append((side, data, reply, opaque))
    return found


@given(st.lists(st.integers(0, 20_000), max_size=6), st.lists(st.integers(1, 9_000), max_size=12))
def test_frames(sizes: list[int], cuts: list[int]) -> None:
    """Whole frames go on at once, at most `HELD` bytes stay, and nothing is lost or made up."""

    def length(buffer: bytes, at: int) -> int:
        return 4 + int.from_bytes(buffer[at : at + 4])

    data = b"".join(size.to_bytes(4) + bytes(size) for size in sizes)
    frames, out, at = Frames(4, length), b"", 0
    for cut in [*cuts, len(data)]:
        out += frames.feed(data[at : at + cut])
        at = min(len(data), at + cut)
        whole = last = 0
        for size in sizes:
            last = whole
            whole += 4 + size
            if whole > at:
                whole = last
                break
        assert out == data[: max(whole, at - HELD)]
    assert out == data


@given(
    st.sampled_from(sorted(DIALECTS)),
    st.lists(st.tuples(st.sampled_from([C, S]), PIECES.filter(len)), max_size=8),
)
def test_any_conversation(name: str, turns: list[Turn]) -> None:
    """Only DialectError comes out, nothing is made up, and cuts change nothing."""
    whole = outcome(DIALECTS[name], [(side, [data]) for side, data in turns])
    cut = [(side, [data[i : i + 1] for i in range(len(data))]) for side, data in turns]
    slowly = outcome(DIALECTS[name], cut)
    if not any(end in ("end", TLS) for side, _, _, opaque in whole for end in (side, opaque)):
        assert slowly == whole
    for side in (C, S):
        said = b"".join(data for who, data in turns if who == side)
        passed = b"".join(
            data + (b"" if opaque == TLS else opaque)
            for who, data, _, opaque in whole
            if who == side
        )
        if name not in ("imap", "irc", "mysql"):  # of which a line, or a bit, is taken out
            assert said.replace(GSSENC, b"").startswith(passed.replace(GSSENC, b""))
