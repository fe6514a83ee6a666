"""Protocols by their first bytes: whole, byte by byte, and with what follows."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire.protocols import ENOUGH, recognise, recognise_banner, usual
from interceptor.wire.signatures import CLIENT, SERVER

_H = bytes.fromhex
KEXINIT = b"\x00\x00\x00\x14\x04\x14" + bytes(18)
STARTUP = struct.pack(">II", 41, 196608) + b"user\0alice\0database\0app\0\0\0"
HELLO = _H("16030100c8010000c40303") + bytes(40)
OP_MSG = struct.pack("<iiii", 60, 1, 0, 2013) + bytes(44)
OP_QUERY = struct.pack("<iiii", 58, 7, 0, 2004) + bytes(42)

CLIENTS = [
    ("ssh", 22, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n" + KEXINIT),
    ("ssh", 443, b"SSH-2.0-libssh2_1.10.0\r\n"),
    ("smtp", 25, b"EHLO laptop.example.com\r\n"),
    ("smtp", 2525, b"helo laptop\r\n"),
    ("imap", 143, b"a001 CAPABILITY\r\n"),
    ("pop3", 110, b"CAPA\r\n"),
    ("pop3", 110, b"USER alice\r\n"),
    ("ftp", 21, b"USER anonymous\r\n"),
    ("ftp", 2121, b"AUTH TLS\r\n"),
    ("irc", 6667, b"CAP LS 302\r\nNICK alice\r\nUSER alice 0 * :Alice\r\n"),
    ("irc", 6667, b"NICK alice\r\nUSER alice 0 * :Alice\r\n"),
    ("irc", 6697, b"PASS x\r\nNICK alice\r\n"),
    ("telnet", 23, _H("fffd18fffd20fffd23")),
    ("postgres", 5432, STARTUP),
    ("postgres", 5432, _H("0000000804d2162f")),
    ("postgres", 6432, _H("0000000804d21630")),
    ("postgres", 5432, _H("0000001004d2162e") + bytes(8)),
    ("redis", 6379, b"*1\r\n$7\r\nCOMMAND\r\n"),
    ("redis", 6379, b"*12\r\n$4\r\nMSET\r\n"),
    ("redis", 6379, b"PING\r\n"),
    ("redis", 6379, b"HELLO 3\r\n"),
    ("mongodb", 27017, OP_MSG),
    ("mongodb", 27017, OP_QUERY),
    ("tor", 9001, _H("00000700060003000400050000000000000000")),
    ("bittorrent", 6881, b"\x13BitTorrent protocol" + bytes(8) + bytes(40)),
    ("wireguard", 51820, _H("01000000") + bytes(144)),
    ("wireguard", 443, _H("009401000000") + bytes(144)),
    ("openvpn", 1194, _H("000e38") + bytes(13)),
    ("openvpn", 443, _H("003638a1b2c3d4e5f60718") + bytes(45)),
    ("socks5", 1080, _H("050100")),
    ("socks5", 9050, _H("05020002")),
    ("socks4", 1080, _H("040101bbc000020100")),
    ("rdp", 3389, _H("030000130ee000000000000100080003000000")),
    ("vnc", 5900, b"RFB 003.008\n"),
    ("smb", 445, _H("00000054ff534d4272000000001843c8") + bytes(60)),
    ("smb", 445, _H("000000e4fe534d42") + bytes(60)),
    ("ldap", 389, _H("300c020101600702010304008000")),
    ("ldap", 389, _H("301d02010177188016312e332e362e312e342e312e313436362e3230303337")),
    ("ldap", 389, _H("30840000001002010160840000000702010304008000")),
    ("mqtt", 1883, _H("101000044d5154540402003c0004") + b"abcd"),
    ("mqtt", 1883, _H("10960100044d51545405") + bytes(120)),
    ("amqp", 5672, b"AMQP\x00\x00\x09\x01"),
    ("kafka", 9092, _H("00000023001200030000000000106b61666b612d") + bytes(20)),
    ("cassandra", 9042, _H("040000000500000000")),
    ("cassandra", 9042, _H("0500000001000000160001")),
    ("nats", 4222, b'CONNECT {"verbose":false}\r\nPING\r\n'),
    ("memcached", 11211, b"get key\r\n"),
    ("memcached", 11211, b"stats\r\n"),
    ("memcached", 11211, _H("800b00000000000000000000000000000000")),
    ("stun", 3478, _H("000100002112a442") + bytes(12)),
    ("stun", 3478, _H("000300082112a442") + bytes(12)),
    ("dns", 5353, _H("001d1a2b01000001000000000000076578616d706c65")),
    ("dns", 8853, _H("0028beef01200001000000000001076578616d706c65")),
    ("rtsp", 554, b"OPTIONS rtsp://cam.example.com/1 RTSP/1.0\r\n"),
    ("sip", 5060, b"REGISTER sip:example.com SIP/2.0\r\n"),
    ("sip", 5060, b"OPTIONS sip:example.com SIP/2.0\r\n"),
    ("git", 9418, b"0033git-upload-pack /project.git\0host=example.com\0"),
    ("rsync", 873, b"@RSYNCD: 31.0 sha512 sha256\n"),
    ("svn", 3690, b"( 2 ( edit-pipeline svndiff1 ) 36:svn://svn.example.com/x ) "),
    ("x11", 6000, _H("6c000b000000120010000000")),
    ("ajp", 8009, _H("1234006f02020008485454502f312e31")),
    ("thrift", 9090, _H("0000001a80010001") + b"\0\0\0\x04ping" + bytes(12)),
    ("thrift", 9090, _H("80010001") + b"\0\0\0\x04ping"),
    ("mssql", 1433, _H("1201002f0000010000001a")),
    ("oracle", 1521, _H("00c60000010000000136012c")),
    ("rpc", 2049, _H("800000286f1c3b2a00000000000000020001")),
    ("xmpp", 5222, b"<?xml version='1.0'?><stream:stream to='example.com'>"),
    ("stomp", 61613, b"CONNECT\naccept-version:1.2\n\n\0"),
    ("proxy", 443, b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"),
    ("proxy", 443, _H("0d0a0d0a000d0a515549540a2111000c")),
    ("http2", 80, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("http", 80, b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),
    ("http", 80, b"\r\nGET / HTTP/1.1\r\n"),
    ("http", 1080, b"CONNECT example.com:443 HTTP/1.1\r\n"),
    ("http", 8200, b"LIST /v1/secret HTTP/1.1\r\n"),
    ("http", 80, b"M-SEARCH * HTTP/1.1\r\n"),
    ("http", 80, b"OPTIONS * HTTP/1.1\r\n"),
    ("http", 80, b"SUBSCRIBE /event HTTP/1.1\r\n"),
    ("http", 80, b"VERSION-CONTROL /x HTTP/1.1\r\n"),
    ("tls", 443, HELLO),
]

BANNERS = [
    ("ssh", 22, b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    ("smtp", 25, b"220 mx.example.com ESMTP\r\n"),
    ("smtp", 587, b"220-mx.example.com\r\n220 ready\r\n"),
    ("ftp", 21, b"220 files.example.com\r\n"),
    ("imap", 143, b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
    ("pop3", 110, b"+OK ready\r\n"),
    ("mysql", 3306, _H("4a0000000a382e302e333500") + bytes(60)),
    ("mysql", 3306, _H("45000000ff6a04") + b"Host is not allowed"),
    ("irc", 6667, b":irc.example.com NOTICE * :*** Looking up\r\n"),
    ("vnc", 5900, b"RFB 003.008\n"),
    ("nats", 4222, b'INFO {"server_id":"x"}\r\n'),
    ("svn", 3690, b"( success ( 2 2 ( ) ( edit-pipeline ) ) ) "),
    ("http", 22, b"HTTP/1.1 400 Bad Request\r\n"),
    ("telnet", 23, _H("fffd18")),
    ("tls", 443, _H("15030100020246")),
]


@pytest.mark.parametrize(("name", "port", "data"), CLIENTS)
def test_clients(name: str, port: int, data: bytes) -> None:
    assert recognise(data, port) == name
    assert recognise(data + b"\r\nmore bytes" * 9, port) == name


@pytest.mark.parametrize(("name", "port", "data"), CLIENTS)
def test_byte_by_byte(name: str, port: int, data: bytes) -> None:
    """Nothing is named before it is certain, and what was named stays."""
    answers = [recognise(data[:end], port) for end in range(1, len(data) + 1)]
    decided = [answer for answer in answers if answer is not None]
    assert set(decided) == {name}
    assert answers[len(answers) - len(decided) :] == decided
    assert len(answers) - len(decided) < ENOUGH


@pytest.mark.parametrize(("name", "port", "data"), BANNERS)
def test_banners(name: str, port: int, data: bytes) -> None:
    assert recognise_banner(data, port) == name
    for end in range(1, len(data)):
        assert recognise_banner(data[:end], port) in (None, name)


@pytest.mark.parametrize(
    "data",
    [
        *(b"hello\r\n", b"GET\r\n", b"get-it /\r\n", b"\x00\x00\x00\x00\x00", b"\xff\xff\xff\xff"),
        *(b"A" * 40, b"{}\n", b"\n", b" GET /", b"\x16\x02\x00\x00", b"id;uname -a\n"),
        *(b"SSH", b"GE", b"US", b"\x05", b"\x00\x00"),
    ],
)
def test_unknown_bytes_are_nothing_or_undecided(data: bytes) -> None:
    assert not recognise(data, 443)


@pytest.mark.parametrize("data", [b"hello\r\n", b"{}\n\n", b"\x16\x02\x00\x33", b"id;uname -a\n"])
def test_unknown_bytes_are_decided_upon(data: bytes) -> None:
    assert recognise(data, 443) == ""


def test_the_port_decides_where_several_fit() -> None:
    names = {port: recognise(b"USER alice\r\n", port) for port in (21, 110, 6667, 4444)}
    assert names == {21: "ftp", 110: "pop3", 6667: "irc", 4444: "ftp"}


@given(st.binary(min_size=1, max_size=64), st.integers(1, 65535))
def test_any_bytes_have_one_answer(data: bytes, port: int) -> None:
    answers = [recognise(data[:end], port) for end in range(1, len(data) + 1)]
    decided = [answer for answer in answers if answer is not None]
    assert len(set(decided)) <= 1
    if len(data) >= ENOUGH:
        assert answers[-1] is not None
        assert recognise_banner(data, port) is not None


@given(st.sampled_from(CLIENTS), st.integers(0, 40), st.integers(0, 255))
def test_damaged_beginnings(case: tuple[str, int, bytes], at: int, byte: int) -> None:
    data = bytearray(case[2])
    data[at % len(data)] = byte
    assert recognise(bytes(data), case[1]) is None or recognise(bytes(data) * 4, 0) is not None


def test_usual_ports() -> None:
    assert [usual(port) for port in (22, 993, 5432, 443, 1)] == ["ssh", "imap", "postgres", "", ""]


def test_the_docs_name_every_protocol() -> None:
    page = (Path(__file__).parents[3] / "docs" / "services.md").read_text()
    listed = page.partition("first bytes: ")[2].partition(".")[0]
    names = {name.strip(" `\n") for name in listed.split(",")}
    assert names == {signature.name for signature in CLIENT} - {"tls", "http2"} | {"imap"}


def test_signatures_are_short_and_named() -> None:
    for signature in (*CLIENT, *SERVER):
        assert 0 < len(signature.places) <= ENOUGH
        assert signature.name.isalnum()
