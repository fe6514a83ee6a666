"""Trust as data: bundles, hashed names, Java key stores, variables."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from netns import trust, trust_formats
from netns.mounts import Data, Mount, Sealed, Symlink, Tmpfs


def authority(*names: x509.NameAttribute[str]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(names or [x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    now = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1, now, now + dt.timedelta(days=1)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


PEM = authority()
(DER,) = trust_formats.certificates(PEM)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is the oracle")
@pytest.mark.parametrize(
    "names",
    [
        [x509.NameAttribute(NameOID.COMMON_NAME, "Plain")],
        [x509.NameAttribute(NameOID.COMMON_NAME, "  Many   Spaces \t Here ")],
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ünïcode ÄÖ"), *[]],
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Printable", _ASN1Type.PrintableString),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Größe", _ASN1Type.BMPString),
        ],
    ],
)
def test_subject_hash_is_openssls(names: list[x509.NameAttribute[str]]) -> None:
    pem = authority(*names)
    (der,) = trust_formats.certificates(pem)
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-hash"], input=pem, capture_output=True, check=True
    )
    assert trust_formats.subject_hash(der) == said.stdout.decode().strip()


@given(st.binary(max_size=200))
def test_subject_hash_of_rubbish_is_an_error_of_two_kinds(data: bytes) -> None:
    try:
        trust_formats.subject_hash(data)
    except (ValueError, IndexError):
        return


def test_every_cut_of_a_certificate_is_an_error() -> None:
    for cut in range(len(DER)):
        with pytest.raises((ValueError, IndexError)):
            trust_formats.subject_hash(DER[:cut])


def test_bundles_merge_and_read_back() -> None:
    other = authority()
    bundle = trust_formats.merged(b"# comment\n" + other + other, PEM)
    (other_der,) = trust_formats.certificates(other)
    assert trust_formats.certificates(bundle) == [DER, other_der, other_der]
    assert trust_formats.certificates(b"") == []


def test_key_store_grows_by_one() -> None:
    store = trust_formats.key_store([DER])
    grown = trust_formats.key_store_with(store, DER, "egressguard")
    assert grown is not None
    assert grown[8:12] == b"\0\0\0\x02"
    assert b"egressguard" in grown
    password = "changeit".encode("utf-16-be")
    for each in (store, grown):
        digest = hashlib.sha1(password + b"Mighty Aphrodite" + each[:-20])  # noqa: S324
        assert digest.digest() == each[-20:]
    for rubbish in (b"", b"0\x82\x01", store[:20]):
        assert trust_formats.key_store_with(rubbish, DER, "x") is None


@pytest.mark.skipif(shutil.which("keytool") is None, reason="keytool is the oracle")
def test_keytool_reads_the_key_store(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = trust_formats.key_store_with(trust_formats.key_store([DER]), DER, "egressguard")
    assert store is not None
    path.write_bytes(store)
    command = ["keytool", "-list", "-keystore", str(path), "-storepass", "changeit"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "2 entries" in said.stdout, said.stdout + said.stderr
    assert "egressguard" in said.stdout


def test_variables_name_files_that_are_mounted() -> None:
    prepared = trust.prepare(PEM, {"PATH": "/usr/bin"}, "")
    targets = {mount.target for mount in prepared.mounts if isinstance(mount, Data)}
    values = {value for value in prepared.environment.values() if value.startswith("/")}
    assert values <= targets
    wanted = "SSL_CERT_FILE REQUESTS_CA_BUNDLE PIP_CERT CURL_CA_BUNDLE GIT_SSL_CAINFO AWS_CA_BUNDLE"
    for name in [*wanted.split(), "NPM_CONFIG_CAFILE", "CARGO_HTTP_CAINFO"]:
        assert prepared.environment[name] == trust.BUNDLE
    assert prepared.environment["NODE_EXTRA_CA_CERTS"] == trust.AUTHORITY
    assert "NODE_OPTIONS" not in prepared.environment
    assert prepared.environment["PGCHANNELBINDING"] == "disable"
    assert "PGSSLROOTCERT" not in prepared.environment
    pinned = trust.prepare(PEM, {"PATH": "/usr/bin", "PGSSLROOTCERT": "/etc/own.pem"}, "")
    assert pinned.environment["PGSSLROOTCERT"] == trust.BUNDLE


def of(mounts: tuple[Mount, ...], target: str) -> Data:
    (found,) = [mount for mount in mounts if isinstance(mount, Data) and mount.target == target]
    return found


def test_default_files_are_covered_with_the_merged_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = tmp_path / "certs", authority()
    folder.mkdir()
    (folder / "bundle.crt").write_bytes(other)
    (folder / "own.pem").write_bytes(other)
    (folder / "link.pem").symlink_to("own.pem")
    (folder / "java").mkdir()
    (folder / "java" / "cacerts").write_bytes(trust_formats.key_store([DER]))
    name = trust_formats.subject_hash(DER)
    (folder / f"{name}.0").symlink_to("own.pem")
    (tmp_path / "alias.pem").symlink_to(folder / "bundle.crt")
    bundles = (str(folder / "bundle.crt"), str(tmp_path / "alias.pem"), "/absent")
    monkeypatch.setattr(trust, "BUNDLES", bundles)
    monkeypatch.setattr(trust, "HASHED", str(folder))
    monkeypatch.setattr(trust, "_JAVA", (str(folder / "java" / "cacerts"),))

    mounts = trust.prepare(PEM, {"PATH": ""}, "").mounts
    assert trust_formats.certificates(of(mounts, str(folder / "bundle.crt")).content)[0] == DER
    assert Symlink(str(folder / "link.pem"), "own.pem") in mounts
    assert Symlink(str(folder / f"{name}.1"), "egressguard.pem") in mounts  # .0 is taken
    assert of(mounts, str(folder / "java" / "cacerts")).content[8:12] == b"\0\0\0\x02"
    order = [type(m) for m in mounts if m.target == str(folder)]
    assert order == [Tmpfs, Sealed]
    assert not [m for m in mounts if m.target == str(tmp_path / "alias.pem")]


def test_bundles_the_agent_may_replace_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "venv" / "lib" / "python3.12" / "site-packages" / "certifi" / "cacert.pem"
    path.parent.mkdir(parents=True)
    path.write_bytes(PEM)
    environ = {"PATH": str(tmp_path / "venv" / "bin")}
    for own, covered in (("", True), (str(tmp_path), False)):
        targets = [mount.target for mount in trust.prepare(PEM, environ, own).mounts]
        assert (str(path) in targets) is covered


def test_no_certificate_is_our_mistake() -> None:
    for rubbish in (b"", b"rubbish", PEM + PEM):
        with pytest.raises(trust.TrustError):
            trust.prepare(rubbish, {}, "")


def test_report_has_a_row_for_each_runtime() -> None:
    rows = trust.report()
    assert [name for name, _ in rows] == [runtime.name for runtime in trust.RUNTIMES]
    assert all(re.search(r"\w", mechanism) for _, mechanism in rows)
    assert dict(rows)["Node.js, Bun"] == "NODE_EXTRA_CA_CERTS (adds)"
