# ruff: noqa: E501 - templates of texts
"""URLs that carry their own leave, and requests signed with a key that stays at home."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from urllib.parse import quote

from tests.false_alarms.drawing import (
    ALNUM,
    LOWER,
    b64,
    encoded,
    guid,
    hexa,
    jwt,
    key_id,
    text,
    url64,
)
from tests.false_alarms.items import Item

Url = tuple[str, str]
"""Host and path."""


def _s3_v4(draw: random.Random, *, session: bool = False, host: str = "") -> Url:
    token = (
        f"&X-Amz-Security-Token={quote('IQoJb3JpZ2luX2Vj' + b64(draw, 480), safe='')}"
        if session
        else ""
    )
    scope = f"{key_id(draw, session=session)}/20260301/eu-west-1/s3/aws4_request"
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={quote(scope, safe='')}"
        f"&X-Amz-Date=20260301T120000Z&X-Amz-Expires=900{token}&X-Amz-SignedHeaders=host"
        f"&X-Amz-Signature={hexa(draw, 64)}"
    )
    bucket = f"team-{text(draw, LOWER, 6)}"
    return host or f"{bucket}.s3.eu-west-1.amazonaws.com", f"/data/{guid(draw)}.bin?{query}"


def _s3_session(draw: random.Random) -> Url:
    return _s3_v4(draw, session=True)


def _s3_elsewhere(draw: random.Random) -> Url:
    """Releases of a code host lie in a bucket behind its own name; the client follows a redirect."""
    return _s3_v4(draw, host="objects.example.com")


def _s3_v2(draw: random.Random) -> Url:
    signature = quote(b64(draw, 20), safe="")
    query = f"AWSAccessKeyId={key_id(draw)}&Signature={signature}&Expires=1900000000"
    return f"backup-{text(draw, LOWER, 5)}.s3.amazonaws.com", f"/dump.sql.gz?{query}"


def _gcs(draw: random.Random) -> Url:
    account = f"uploader@proj-{text(draw, LOWER, 5)}.iam.gserviceaccount.com/20260301/auto/storage/goog4_request"
    query = (
        f"X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential={quote(account, safe='')}"
        f"&X-Goog-Date=20260301T120000Z&X-Goog-Expires=900&X-Goog-SignedHeaders=host"
        f"&X-Goog-Signature={hexa(draw, 512)}"
    )
    return "storage.googleapis.com", f"/bucket-{text(draw, LOWER, 4)}/o/file.bin?{query}"


def _azure(draw: random.Random) -> Url:
    query = (
        "sv=2024-11-04&st=2026-03-01T12%3A00%3A00Z&se=2026-03-01T13%3A00%3A00Z&sr=b&sp=r"
        f"&sig={quote(b64(draw, 32), safe='')}"
    )
    return f"acct{text(draw, LOWER, 6)}.blob.core.windows.net", f"/box/file.zip?{query}"


def _azure_delegated(draw: random.Random) -> Url:
    query = (
        f"skoid={guid(draw)}&sktid={guid(draw)}&skt=2026-03-01T12%3A00%3A00Z&ske=2026-03-01T13%3A00%3A00Z"
        f"&sks=b&skv=2024-11-04&sv=2024-11-04&se=2026-03-01T13%3A00%3A00Z&sr=b&sp=r"
        f"&sig={quote(b64(draw, 32), safe='')}"
    )
    return f"acct{text(draw, LOWER, 6)}.blob.core.windows.net", f"/{guid(draw)}/log.txt?{query}"


def _cdn(draw: random.Random) -> Url:
    policy = url64(draw, 180).replace("-", "~")
    query = f"Policy={policy}__&Signature={url64(draw, 256)}__&Key-Pair-Id=K{text(draw, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789', 13)}"
    return f"d{text(draw, LOWER, 13)}.cloudfront.net", f"/model/{hexa(draw, 64)}?{query}"


def _r2(draw: random.Random) -> Url:
    account = hexa(random.Random(draw.randrange(3)), 32)  # an agent knows an account or two
    scope = quote(f"{hexa(draw, 32)}/20260301/auto/s3/aws4_request", safe="")
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-Date=20260301T120000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature={hexa(draw, 64)}"
    return f"{account}.r2.cloudflarestorage.com", f"/box/{guid(draw)}?{query}"


def _release(draw: random.Random) -> Url:
    """A code host's redirect to an asset: a signature and a short token of the host's own."""
    query = (
        f"sp=r&sv=2018-11-09&sr=b&spr=https&se=2026-03-01T12%3A00%3A00Z&rscd=attachment"
        f"&skoid={guid(draw)}&sktid={guid(draw)}&sig={quote(b64(draw, 32), safe='')}"
        f"&jwt={jwt(draw, iss='code.example.com', key='key1', nbf=1, path='assets.example.com')}"
    )
    return (
        "release-assets.githubusercontent.com",
        f"/production-release-asset/{draw.randint(1, 10**9)}/{guid(draw)}?{query}",
    )


def _cdn_token(draw: random.Random) -> Url:
    return (
        "media.example.com",
        f"/v/{guid(draw)}.m3u8?token={draw.randint(10**9, 2 * 10**9)}_{hexa(draw, 64)}&hdnts=exp=1900000000~acl=/*~hmac={hexa(draw, 64)}",
    )


def _query_jwt(draw: random.Random) -> Url:
    """A stream that a browser opens: it can set no header, so its own token stands in the URL."""
    return "stream.example.com", f"/events?channel=7&access_token={jwt(draw)}"


def _oauth(draw: random.Random) -> Url:
    query = (
        f"response_type=code&client_id={text(draw, ALNUM, 32)}&redirect_uri=http%3A%2F%2Flocalhost%3A8765%2Fcb"
        f"&scope=openid%20offline_access&state={url64(draw, 24)}&code_challenge={url64(draw, 32)}"
        f"&code_challenge_method=S256&nonce={guid(draw)}"
    )
    return "login.example.com", f"/oauth2/authorize?{query}"


_URLS: tuple[Callable[[random.Random], Url], ...] = (
    *(_s3_v4, _s3_session, _s3_v2, _gcs, _azure, _azure_delegated, _cdn, _r2, _release),
    *(_s3_elsewhere, _cdn_token, _query_jwt, _oauth),
)


def signed_url(draw: random.Random, number: int) -> Item:
    """A signed URL that is fetched, or to which something is uploaded."""
    made = _URLS[number % len(_URLS)]
    host, path = made(draw)
    name = f"signed/{made.__name__.strip('_')}-{number}"
    if number // len(_URLS) % 2 and made not in (_oauth, _query_jwt, _release):
        fields = (("Content-Type", "application/octet-stream"),)
        return Item(name, host, path, "PUT", fields, draw.randbytes(3000))
    return Item(name, host, path, "GET")


def signed_request(draw: random.Random, number: int) -> Item:
    """A request to a cloud, signed in its header; every third with a session's token."""
    service, target = draw.choice(
        (
            ("s3", ""),
            ("sqs", ""),
            ("dynamodb", "DynamoDB_20120810.PutItem"),
            ("bedrock-runtime", ""),
        )
    )
    session = number % 3 == 0
    scope = f"{key_id(draw, session=session)}/20260301/eu-west-1/{service}/aws4_request"
    fields = [
        ("X-Amz-Date", "20260301T120000Z"),
        ("X-Amz-Content-Sha256", hexa(draw, 64)),
        (
            "Authorization",
            f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={hexa(draw, 64)}",
        ),
        ("Content-Type", "application/x-amz-json-1.1"),
        ("amz-sdk-invocation-id", guid(draw)),
    ]
    if session:
        fields.append(("X-Amz-Security-Token", "IQoJb3JpZ2luX2Vj" + b64(draw, 480)))
    if target:
        fields.append(("X-Amz-Target", target))
    body = json.dumps(
        {"TableName": "t", "Item": {"id": {"S": guid(draw)}, "blob": {"B": b64(draw, 300)}}}
    )
    path = f"/2015-03-31/{text(draw, LOWER, 8)}"
    return Item(
        f"signed-request/{service}-{number}",
        f"{service}.eu-west-1.amazonaws.com",
        path,
        "POST",
        tuple(fields),
        body.encode(),
    )


def bearer(draw: random.Random, number: int) -> Item:
    """The agent's own login at a service of its own: tokens of every usual form, where they go."""
    opaque = draw.choice((url64(draw, 32), hexa(draw, 40), guid(draw), text(draw, ALNUM, 48)))
    service = "api.internal-tools.example.com"
    forms: tuple[tuple[str, str], ...] = (
        ("Authorization", f"Bearer {jwt(draw)}"),
        ("Authorization", f"Bearer {opaque}"),
        (
            "Cookie",
            f"session={url64(draw, 32)}; id_token={jwt(draw)}; csrftoken={text(draw, ALNUM, 64)}",
        ),
        ("X-Api-Key", opaque),
        ("Authorization", f"Token {hexa(draw, 40)}"),
        ("apikey", jwt(draw, role="anon", ref=text(draw, LOWER, 20))),
        (
            "Authorization",
            f"vapid t={jwt(draw, aud='https://push.example.com')}, k={url64(draw, 65)}",
        ),
        ("Authorization", f"DPoP {jwt(draw)}"),
        ("Proxy-Authorization", f"Bearer {opaque}"),
        (
            "Authorization",
            f'Digest username="u", realm="r", nonce="{hexa(draw, 32)}", response="{hexa(draw, 32)}"',
        ),
        (
            "Authorization",
            f'Signature keyId="main",algorithm="rsa-sha256",headers="date",signature="{b64(draw, 256)}"',
        ),
        ("X-Goog-IAP-JWT-Assertion", jwt(draw)),
    )
    field = forms[number % len(forms)]
    body = json.dumps({"query": "open tickets", "page": number}).encode()
    fields = (field, ("Content-Type", "application/json"))
    return Item(f"bearer/{field[0].lower()}-{number}", service, "/v2/search", "POST", fields, body)


_ISSUERS = (
    ("oauth2.googleapis.com", "/token"),
    ("login.microsoftonline.com", "/organizations/oauth2/v2.0/token"),
    ("login.example.com", "/oauth2/token"),
    ("dev-4711.okta.com", "/oauth2/v1/token"),
    ("tenant.eu.auth0.com", "/oauth/token"),
)
"""Where assertions are exchanged for tokens: well-known issuers, and one of somebody's own."""


def login(draw: random.Random, number: int) -> Item:
    """Talk with an identity provider: codes, verifiers, assertions."""
    forms = (
        f"grant_type=authorization_code&code={url64(draw, 43)}&redirect_uri=http%3A%2F%2Flocalhost%3A8765&client_id={guid(draw)}&code_verifier={url64(draw, 48)}",
        f"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code={text(draw, ALNUM, 40)}&client_id={text(draw, ALNUM, 20)}",
        f"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={jwt(draw)}",
        f"grant_type=refresh_token&refresh_token={url64(draw, 120)}&client_id={guid(draw)}",
        f"SAMLResponse={quote(b64(draw, 3000), safe='')}&RelayState={url64(draw, 16)}",
        f"protected={encoded({'alg': 'ES256', 'nonce': url64(draw, 16)})}&payload={encoded({'csr': b64(draw, 300)})}&signature={url64(draw, 64)}",
        f"authenticity_token={quote(b64(draw, 64), safe='')}&user%5Bname%5D=jane&commit=Save",
        f"__VIEWSTATE={quote(b64(draw, 900), safe='')}&__VIEWSTATEGENERATOR={hexa(draw, 8).upper()}&__EVENTVALIDATION={quote(b64(draw, 120), safe='')}",
        f"csrfmiddlewaretoken={text(draw, ALNUM, 64)}&title=Notes&body=All+well",
        f"g-recaptcha-response=03AFcWeA{url64(draw, 400)}&email=jane%40example.com",
    )
    body = forms[number % len(forms)]
    host, path = "login.example.com", "/oauth2/token"
    if "assertion=" in body:
        host, path = _ISSUERS[number // len(forms) % len(_ISSUERS)]
    return Item(
        f"login/{body.partition('=')[0]}-{number}",
        host,
        path,
        "POST",
        (("Content-Type", "application/x-www-form-urlencoded"),),
        body.encode(),
    )
