"""The authority: strict clients accept its leaves for their name and for nothing else."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from interceptor.tls.authority import LEAF_LIFETIME, Authority, LeafNameError

NOW = dt.datetime.now(dt.UTC)
LONG = ".".join(["x" * 60] * 4)  # 243 letters
NAMES = [
    "api.example.com",
    "localhost",
    "a_b.example",
    "xn--bcher-kva.example",
    "192.0.2.7",
    "2001:db8::7",
    "x" * 63 + ".example",
    LONG,
]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("test", NOW)


def strict_client(authority: Authority, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """As strict as Python 3.13's default: partial chains allowed, RFC 5280 enforced."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=authority.certificate_pem.decode())
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def handshake(
    client_context: ssl.SSLContext,
    server_context: ssl.SSLContext,
    name: str,
    session: ssl.SSLSession | None = None,
) -> ssl.SSLObject:
    """Both ends in memory; returns the client's after one byte was echoed."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(6):
        for end in (client, server):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
    assert done == {client, server}
    server.write(b"!")
    assert client.read(1) == b"!"  # reads the session ticket as well
    return client


@pytest.mark.parametrize("name", NAMES)
def test_a_strict_python_client_accepts_the_leaf(authority: Authority, name: str) -> None:
    server = authority.server_context(name, ("http/1.1",))
    client = handshake(strict_client(authority, ("h2", "http/1.1")), server, name)
    assert client.selected_alpn_protocol() == "http/1.1"
    assert client.version() == "TLSv1.3"


def test_a_leaf_is_good_for_its_name_only(authority: Authority) -> None:
    server = authority.server_context("api.example.com", ())
    for name in ("www.example.com", "a.api.example.com", "example.com", "192.0.2.7"):
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            handshake(strict_client(authority), server, name)


def test_another_jails_authority_is_not_trusted(authority: Authority) -> None:
    other = Authority("test", NOW)
    server = authority.server_context("api.example.com", ())
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(strict_client(other), server, "api.example.com")


def test_tls12_is_spoken_and_tls11_is_not(authority: Authority) -> None:
    server = authority.server_context("api.example.com", ())
    client = strict_client(authority)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(client, server, "api.example.com").version() == "TLSv1.2"
    assert server.minimum_version == ssl.TLSVersion.TLSv1_2


def test_sessions_resume(authority: Authority) -> None:
    client = strict_client(authority)
    server = authority.server_context("api.example.com", ())
    first = handshake(client, server, "api.example.com")
    again = authority.server_context("api.example.com", ())
    second = handshake(client, again, "api.example.com", first.session)
    assert (first.session_reused, second.session_reused) == (False, True)


@pytest.mark.parametrize("name", NAMES)
def test_openssl_verifies_strictly(authority: Authority, name: str, tmp_path: Path) -> None:
    ca, leaf = tmp_path / "ca.pem", tmp_path / "leaf.pem"
    ca.write_bytes(authority.certificate_pem)
    leaf.write_bytes(authority.leaf(name).certificate_pem)
    which = "-verify_ip" if name[0] == "2" or name[0].isdigit() else "-verify_hostname"
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(ca)]
    for wanted, code in ((name, 0), ("192.0.2.99" if which == "-verify_ip" else "b.test", 2)):
        done = subprocess.run(
            [*command, which, wanted, str(leaf)], capture_output=True, check=False, text=True
        )
        assert done.returncode == code, done.stderr


NODE = """
const tls = require("tls"), fs = require("fs");
const socket = tls.connect({host: "127.0.0.1", port: +process.argv[2],
  servername: process.argv[1], ca: fs.readFileSync(process.argv[3])}, () => {
  console.log(socket.authorized, socket.getPeerCertificate().subjectaltname); socket.end(); });
socket.on("error", error => { console.log(error.code); process.exit(1); });
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (LONG, f"true DNS:{LONG}"),
        ("api.example.com", "true DNS:api.example.com"),
        ("www.example.com", "ERR_TLS_CERT_ALTNAME_INVALID"),
    ],
)
def test_node(authority: Authority, tmp_path: Path, asked: str, answer: str) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    context = authority.server_context("api.example.com" if asked[0] == "w" else asked, ())
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_one() -> None:
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(1)
            except OSError:
                connection.close()

        thread = threading.Thread(target=answer_one)
        thread.start()
        port = str(listener.getsockname()[1])
        node = subprocess.run(
            ["node", "-e", NODE, asked, port, str(tmp_path / "ca.pem")],
            capture_output=True,
            check=False,
            text=True,
            timeout=30,
        )
        thread.join(10)
    assert node.stdout.strip() == answer, node.stderr


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_profile_of_the_root(authority: Authority) -> None:
    root = certificate(authority.certificate_pem)
    assert root.subject.rfc4514_string() == "CN=egressguard jail test"
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (
        True,
        True,
        0,
    )
    usage = root.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.digital_signature) == (True, False)
    assert root.not_valid_before_utc == (NOW - dt.timedelta(days=1)).replace(microsecond=0)
    assert len(Authority("j" * 200, NOW).certificate_pem) > 100
    root.verify_directly_issued_by(root)


def test_profile_of_a_leaf(authority: Authority) -> None:
    root = certificate(authority.certificate_pem)
    leaf = certificate(authority.leaf("api.example.com").certificate_pem)
    leaf.verify_directly_issued_by(root)
    ext = leaf.extensions
    names = ext.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("api.example.com")]
    assert ext.get_extension_for_class(x509.BasicConstraints).critical
    usage = ext.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.digital_signature, usage.value.key_cert_sign) == (
        True,
        True,
        False,
    )
    key_identifier = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = ext.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert issuer.key_identifier == key_identifier.digest
    assert ext.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert dt.timedelta(days=80) < lifetime <= LEAF_LIFETIME
    assert leaf.not_valid_after_utc <= root.not_valid_after_utc


def test_serials_are_random_positive_and_ours(authority: Authority) -> None:
    serials = {
        certificate(authority.leaf("a.example").certificate_pem).serial_number for _ in range(50)
    }
    assert len(serials) == 50
    assert all(0 < serial < 2**127 for serial in serials)
    fixed = Authority("test", NOW, randomness=lambda size: b"\xfe" * size)
    serial = certificate(fixed.leaf("a.example").certificate_pem).serial_number
    assert serial == int.from_bytes(b"\x7f" * 16)


def test_long_names_are_not_in_the_common_name(authority: Authority) -> None:
    for name, count in (("x" * 56 + ".example", 1), ("x" * 57 + ".example", 0)):
        leaf = certificate(authority.leaf(name).certificate_pem)
        assert len(leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)) == count
        assert leaf.subject.rdns  # never empty


@pytest.mark.parametrize(
    "name",
    ["", ".", "*.example.com", "a..b", "A.example", "bücher.example", "a.example.", "a b", "a\n",
     "a\0.example", "-a.example", "x" * 64 + ".example", "fe80::1%lo", "a,DNS:b.example",
     LONG + "." + "y" * 20],
)  # fmt: skip
def test_names_no_leaf_is_made_for(authority: Authority, name: str) -> None:
    with pytest.raises(LeafNameError):
        authority.leaf(name)
    with pytest.raises(LeafNameError):
        authority.server_context(name, ())


def test_contexts_are_kept_and_bounded() -> None:
    authority = Authority("test", NOW, contexts=2)
    first = authority.server_context("a.example", ("h2",))
    assert authority.server_context("a.example", ("http/1.1",)) is not first
    assert authority.server_context("a.example", ("h2",)) is first
    authority.server_context("b.example", ("h2",))
    assert authority.server_context("a.example", ("h2",)) is first  # the other was the oldest
    authority.server_context("c.example", ("h2",))
    authority.server_context("d.example", ("h2",))
    assert authority.server_context("a.example", ("h2",)) is not first
    assert len(authority._contexts) == 2


def test_a_leaf_that_ends_soon_is_replaced() -> None:
    authority = Authority("test", NOW, days=200)
    first = authority.server_context("a.example", (), NOW)
    assert authority.server_context("a.example", (), NOW + dt.timedelta(days=80)) is first
    later = NOW + dt.timedelta(days=85)
    second = authority.server_context("a.example", (), later)
    assert second is not first
    assert authority.leaf("a.example", later).not_after > later + dt.timedelta(days=80)
    end = authority.leaf("a.example", NOW + dt.timedelta(days=150)).not_after
    assert end == NOW + dt.timedelta(days=200)


def test_the_key_stays_inside(authority: Authority) -> None:
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="stays in its process"):
            attempt(authority)
    public = [name for name in dir(authority) if not name.startswith("_")]
    assert public == ["certificate_pem", "leaf", "server_context"]
    # The only private key that exists as text is the leaves', and it does not sign for the root.
    key = serialization.load_pem_private_key(authority._leaf_key_pem, None)
    root = certificate(authority.certificate_pem)
    assert key.public_key() != root.public_key()
    for value in (repr(authority), str(vars(authority).keys())):
        assert "PRIVATE" not in value


SANDBOXED = """
import ctypes, datetime, os, resource, sys
sys.path.insert(0, {root!r})
from interceptor.tls.authority import Authority
authority = Authority("test", datetime.datetime.now(datetime.UTC))
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(4, 0, 0, 0, 0) == 0   # PR_SET_DUMPABLE
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
before = len(os.listdir("/proc/self/fd"))
for i in range(20):
    authority.server_context(f"h{{i}}.example", ("http/1.1",))
assert len(os.listdir("/proc/self/fd")) == before
print("made as", os.geteuid(), libc.prctl(3, 0, 0, 0, 0))
"""


def test_contexts_are_made_without_privilege_and_undumpable(pytestconfig: pytest.Config) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SANDBOXED.format(root=str(pytestconfig.rootpath))],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("made as ")
    assert done.stdout.rstrip().endswith(" 0")
