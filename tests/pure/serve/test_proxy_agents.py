"""Agents of the explicit proxy: the file, tokens of ours, and tokens of Kubernetes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from interceptor.serve.proxy_agents import Agents, AgentsError, new_token, parse_agents
from interceptor.serve.proxy_tokens import KeysError, TokenVerifier, read_keys
from interceptor.wire.proxy_credentials import Credential

RSA = rsa.generate_private_key(65_537, 2_048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = rsa.generate_private_key(65_537, 2_048)
ISSUER = "https://kubernetes.default.svc.test"
NOW = 1_000_000.0


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


def jwks() -> bytes:
    one, two = RSA.public_key().public_numbers(), EC.public_key().public_numbers()
    keys = [
        {"kty": "RSA", "kid": "r", "use": "sig", "n": number(one.n), "e": number(one.e)},
        {"kty": "EC", "kid": "e", "crv": "P-256", "x": number(two.x), "y": number(two.y)},
        {"kty": "RSA", "use": "enc"},
    ]
    return json.dumps({"keys": keys}).encode()


def claims(**changed: Any) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "aud": ["egressguard"],
        "sub": "system:serviceaccount:work:builder",
        "exp": NOW + 600,
        "nbf": NOW,
        "kubernetes.io": {"pod": {"name": "builder-7"}},
    } | changed


def jwt(body: dict[str, Any], key: Any = RSA, **header: Any) -> bytes:
    head = {"alg": "RS256" if key is not EC else "ES256", "kid": "e" if key is EC else "r"} | header
    signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(body).encode())}".encode()
    if isinstance(key, rsa.RSAPrivateKey):
        mark = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
        mark = r.to_bytes(32) + s.to_bytes(32)
    return signed + b"." + b64(mark).encode()


def verifier() -> TokenVerifier:
    return TokenVerifier(read_keys(jwks()), ISSUER, "egressguard")


def test_tokens_of_ours() -> None:
    one, line = new_token("one", lambda size: b"\1" * size)
    two, other = new_token("two")
    agents = Agents(parse_agents(f"# who\n\n{line}\n{other}\n"))
    assert one != two
    assert one not in line
    for given_name, token, expected in (
        ("one", one, "one"),
        ("", one, "one"),
        ("two", two, "two"),
        ("two", one, ""),
        ("one", one[:-1], ""),
        ("one", "", ""),
        ("one", line.split(":")[1], ""),
    ):
        assert agents.find(Credential(given_name, token.encode()), NOW) == expected
    assert agents.find(None, NOW) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no agent"),
        ("# only this", "no agent"),
        ("one", "f:1: expected a name"),
        ("one sha256:12", "f:1: expected sha256"),
        ("one plain-word", "f:1: expected sha256"),
        ("One sha256:" + "0" * 64, "f:1: a name is"),
        ("a/b sha256:" + "0" * 64, "f:1: a name is"),
        (f"one sha256:{'0' * 64}\none sha256:{'1' * 64}", "f:2: one stands twice"),
        (f"one sha256:{'0' * 64}\ntwo sha256:{'0' * 64}", "f:2: two has the token of one"),
        ("one serviceaccount:work", "f:1: expected"),
    ],
)
def test_a_faulty_file_is_said_to_be_one(text: str, said: str) -> None:
    with pytest.raises(AgentsError, match=said):
        parse_agents(text, "f")


def test_a_pod_is_known_by_its_token() -> None:
    agents = Agents(parse_agents("worker serviceaccount:work/builder"), verifier())
    for key in (RSA, EC):
        token = jwt(claims(), key)
        assert agents.find(Credential("", token), NOW) == "worker/builder-7"
        assert agents.find(Credential("worker", token), NOW) == "worker/builder-7"
        assert agents.find(Credential("other", token), NOW) == ""
        assert agents.find(Credential("", token), NOW + 10_000) == ""  # known, and over
    alone = jwt(claims(**{"kubernetes.io": {}}))
    assert agents.find(Credential("", alone), NOW) == "worker"
    stranger = jwt(claims(sub="system:serviceaccount:work:other"))
    assert agents.find(Credential("", stranger), NOW) == ""
    with pytest.raises(AgentsError, match="service-account-keys"):
        Agents(parse_agents("worker serviceaccount:work/builder"))


def hs256(body: dict[str, Any]) -> bytes:
    """Signed with the public key's text as a shared secret: the confusion of RFC 8725, 2.1."""
    import hashlib
    import hmac

    head = b64(json.dumps({"alg": "HS256", "kid": "r"}).encode())
    signed = f"{head}.{b64(json.dumps(body).encode())}".encode()
    return signed + b"." + b64(hmac.new(jwks(), signed, hashlib.sha256).digest()).encode()


def test_nothing_else_proves_anything() -> None:
    good = jwt(claims())
    head, body, mark = good.split(b".")
    none = b64(b'{"alg":"none","kid":"r"}').encode()
    forged = b64(json.dumps(claims(sub="system:serviceaccount:work:admin")).encode()).encode()
    for token in (
        jwt(claims(), OTHER),
        jwt(claims(), alg="ES256"),
        jwt(claims(), alg="none"),
        jwt(claims(), kid="x"),
        jwt(claims(), crit=["b64"]),
        jwt(claims(aud=["another"])),
        jwt(claims(aud=None)),
        jwt(claims(iss="https://elsewhere.example")),
        jwt(claims(exp=NOW - 100)),
        jwt(claims(exp=None)),
        jwt(claims(exp="9999999999")),
        jwt(claims(nbf=NOW + 100)),
        jwt(claims(sub="builder")),
        jwt(claims(**{"kubernetes.io": {"pod": {"name": "../../x"}}})),
        hs256(claims()),
        none + b"." + body + b".",
        head + b"." + forged + b"." + mark,
        head + b"." + body,
        head + b"." + body + b".",
        good + b".x",
        b"..",
        b"",
    ):
        assert verifier().verify(token, NOW) is None, token
    assert verifier().verify(good, NOW) is not None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_token_that_proves_nothing(data: bytes) -> None:
    assert verifier().verify(data, NOW) is None
    head, body, _ = jwt(claims(), EC).split(b".")
    assert verifier().verify(head + b"." + body + b"." + b64(data).encode(), NOW) is None


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b'{"keys":[]}', b'{"keys":[{"kty":"RSA"}]}', b'{"keys":7}']
)
def test_faulty_keys(text: bytes) -> None:
    with pytest.raises(KeysError):
        read_keys(text)
    small = rsa.RSAPublicNumbers(65_537, (1 << 1_023) + 1)
    entry = {"kty": "RSA", "n": number(small.n), "e": "AQAB"}
    with pytest.raises(KeysError, match="1024 bits"):
        read_keys(json.dumps({"keys": [entry]}).encode())
