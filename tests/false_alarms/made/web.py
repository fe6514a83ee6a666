# ruff: noqa: E501 - templates of texts
"""What clients of the web send: telemetry, GraphQL, cookies, cursors, source maps, RPC."""

from __future__ import annotations

import json
import random
import struct
from urllib.parse import quote

from tests.bench.scanning.texts import code, prose
from tests.false_alarms.drawing import (
    ALNUM,
    LOWER,
    b64,
    encoded,
    guid,
    hexa,
    package,
    text,
    ulid,
    url64,
    version,
    when,
)
from tests.false_alarms.items import Item

_JSON = ("Content-Type", "application/json")


def telemetry(draw: random.Random, number: int) -> Item:
    """Traces, crash reports and analytics, with the write-only keys that vendors publish in pages."""
    span = {
        "traceId": hexa(draw, 32),
        "spanId": hexa(draw, 16),
        "name": "GET /v1/items",
        "startTimeUnixNano": str(draw.randint(17 * 10**17, 18 * 10**17)),
    }
    traces = {"resourceSpans": [{"scopeSpans": [{"spans": [span] * 9}]}]}
    crash = "\n".join(
        (
            json.dumps(
                {
                    "event_id": hexa(draw, 32),
                    "dsn": f"https://{hexa(draw, 32)}@o{draw.randint(1, 10**6)}.ingest.sentry.io/{draw.randint(1, 10**7)}",
                }
            ),
            json.dumps({"type": "event"}),
            json.dumps(
                {
                    "exception": prose(draw, 300).decode(),
                    "debug_meta": {"images": [{"debug_id": guid(draw), "code_id": hexa(draw, 40)}]},
                }
            ),
        )
    )
    product = {
        "api_key": "phc_" + text(draw, ALNUM, 43),
        "batch": [
            {
                "event": "$pageview",
                "distinct_id": guid(draw),
                "properties": {"$session_id": ulid(draw)},
            }
        ],
    }
    segment = {
        "writeKey": text(draw, ALNUM, 32),
        "anonymousId": guid(draw),
        "messageId": f"ajs-next-{draw.randint(10**12, 10**13)}-{guid(draw)}",
    }
    mobile = {
        "api_key": hexa(draw, 32),
        "events": [{"device_id": guid(draw), "insert_id": guid(draw), "time": 1_760_000_000_000}],
    }
    rum = [
        {
            "session": {"id": guid(draw)},
            "view": {"id": guid(draw)},
            "resource": {"url": f"https://cdn.example.com/{hexa(draw, 20)}.js"},
        }
    ]
    lines = "\n".join(
        f'http_requests_total{{pod="web-{hexa(draw, 10)}",code="200"}} {draw.random() * 1e9:.6f} {draw.randint(17 * 10**11, 18 * 10**11)}'
        for _ in range(30)
    )
    forms = (
        ("otel.example.com", "/v1/traces", (_JSON,), json.dumps(traces)),
        (
            f"o{draw.randint(1, 10**6)}.ingest.sentry.io",
            f"/api/7/envelope/?sentry_key={hexa(draw, 32)}&sentry_version=7",
            (("Content-Type", "application/x-sentry-envelope"),),
            crash,
        ),
        ("eu.i.posthog.com", "/batch/", (_JSON,), json.dumps(product)),
        ("analytics.example.com", "/v1/t", (_JSON,), json.dumps(segment)),
        ("api2.amplitude.com", "/2/httpapi", (_JSON,), json.dumps(mobile)),
        (
            "browser-intake-datadoghq.com",
            f"/api/v2/rum?ddsource=browser&dd-api-key=pub{hexa(draw, 32)}&dd-request-id={guid(draw)}",
            (("Content-Type", "text/plain"),),
            "\n".join(map(json.dumps, rum)),
        ),
        ("metrics.example.com", "/write", (("Content-Type", "text/plain"),), lines),
        (
            "www.google-analytics.com",
            f"/g/collect?v=2&tid=G-{text(draw, ALNUM, 10).upper()}&cid={draw.randint(10**8, 10**9)}.{draw.randint(10**9, 2 * 10**9)}&gtm=45je5{hexa(draw, 8)}&_p={draw.randint(10**12, 10**13)}",
            (),
            "",
        ),
    )
    host, path, fields, body = forms[number % len(forms)]
    return Item(
        f"telemetry/{host.partition('.')[0]}-{number}", host, path, "POST", fields, body.encode()
    )


def graphql(draw: random.Random, number: int) -> Item:
    """A query of one's own code host, with opaque ids and a persisted query's hash."""
    document = {
        "operationName": "Items",
        "query": "query Items($first: Int!, $after: String) { viewer { login repositories(first: $first, after: $after) { nodes { id name token: nameWithOwner } } } }",
        "variables": {
            "first": 50,
            "after": b64(draw, 18),
            "id": encoded([0, draw.randint(1, 10**9), "Repository"]),
            "apiKey": None,
        },
        "extensions": {"persistedQuery": {"version": 1, "sha256Hash": hexa(draw, 64)}},
    }
    return Item(
        f"graphql/{number}",
        "api.example.com",
        "/graphql",
        "POST",
        (_JSON, ("Authorization", f"Bearer {url64(draw, 30)}")),
        json.dumps(document).encode(),
    )


def cookies(draw: random.Random, number: int) -> Item:
    """The cookies of a session on a site, sent back to it."""
    jar = {
        "_ga": f"GA1.1.{draw.randint(10**8, 10**9)}.{draw.randint(10**9, 2 * 10**9)}",
        "__cf_bm": f"{url64(draw, 32)}-1760000000-1.0.1.1-{url64(draw, 90)}",
        "cf_clearance": f"{url64(draw, 32)}-1760000000-1.2.1.1-{url64(draw, 200)}",
        "connect.sid": quote(f"s:{url64(draw, 24)}.{b64(draw, 32)}", safe=""),
        "XSRF-TOKEN": quote(
            encoded({"iv": b64(draw, 16), "value": b64(draw, 64), "mac": hexa(draw, 64)}), safe=""
        ),
        "_gh_sess": quote(f"{b64(draw, 300)}--{b64(draw, 12)}--{b64(draw, 16)}", safe=""),
        "JSESSIONID": hexa(draw, 32).upper(),
        "PHPSESSID": text(draw, LOWER, 26),
        "AWSALB": b64(draw, 90),
        "intercom-session": b64(draw, 120),
        "ajs_anonymous_id": guid(draw),
        "NID": f"525={url64(draw, 150)}",
    }
    names = draw.sample(sorted(jar), 5)
    fields = (
        ("Cookie", "; ".join(f"{name}={jar[name]}" for name in names)),
        ("X-CSRF-Token", b64(draw, 64)),
        ("If-None-Match", f'W/"{hexa(draw, 40)}"'),
    )
    return Item(
        f"cookies/{number}", "www.example.com", f"/articles/{draw.randint(1, 999)}", "GET", fields
    )


def plain_url(draw: random.Random, number: int) -> Item:
    """Ordinary URLs: assets with hashes, searches, filters, cursors, ids."""
    a, b = draw.choices(
        ("red", "token", "secret", "key", "password", "shoes", "python", "api"), k=2
    )
    paths = (
        f"/_next/static/chunks/{hexa(draw, 16)}.{hexa(draw, 20)}.js",
        f"/search?q={quote(prose(draw, 60).decode())}&page={number}&sort=price_asc&color={a}&color={b}",
        f"/search?q=how+to+rotate+{a}+and+{b}&hl=en&sei={url64(draw, 22)}&ved=2ahUKE{url64(draw, 40)}",
        f"/v1/items?limit=50&after={quote(b64(draw, 48), safe='')}&fields=id,name,{a}_{b}",
        f"/v1/items/{guid(draw)}/children/{ulid(draw)}?include={a}&request_id={hexa(draw, 32)}",
        f"/repos/a/b/commits/{hexa(draw, 40)}...{hexa(draw, 40)}?token_type=none",
        f"/pkg/{package(draw)}/-/{package(draw)}-{version(draw)}.tgz?integrity=sha512-{quote(b64(draw, 64), safe='')}",
        f"/image/upload/c_fill,w_300/v17{draw.randint(10**7, 10**8)}/{text(draw, LOWER, 20)}.webp?_a={text(draw, ALNUM, 12)}",
        f"/maps/@{draw.uniform(-90, 90):.7f},{draw.uniform(-180, 180):.7f},15z/data=!3m1!4b1!4m6!3m5!1s0x{hexa(draw, 16)}:0x{hexa(draw, 16)}",
        f"/watch?v={url64(draw, 8)}&list=PL{url64(draw, 24)}&t=42s&si={url64(draw, 12)}",
        f"/article/{'-'.join(prose(draw, 90).decode().lower().split()[:9])}-{draw.randint(10**6, 10**9)}.html?utm_source=newsletter&fbclid=IwAR{url64(draw, 45)}",
        f"/track?order={draw.randint(10**15, 10**16 - 1)}&carrier=x&parcel=1Z{text(draw, LOWER, 16).upper()}",
        f"/v2/library/alpine/blobs/sha256:{hexa(draw, 64)}",
        f"/download?file=report-{when(draw)[:10]}.pdf&expires=1900000000&signature={hexa(draw, 40)}&key=public",
    )
    fields = (
        ("Accept", "*/*"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
        ("Referer", f"https://www.example.com{paths[0]}"),
    )
    return Item(
        f"url/{number}",
        f"{hexa(random.Random(number % 7), 12)}.cdn.example.com"
        if number % 3
        else "www.example.com",
        paths[number % len(paths)],
        "GET",
        fields,
    )


def script(draw: random.Random, number: int) -> Item:
    """Minified scripts, source maps and styles with fonts inside, uploaded to a host of assets."""
    names = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_$"
    mappings = ";".join(
        ",".join(text(draw, "ACDEGIKMOQSUW", draw.choice((4, 4, 5))) for _ in range(30))
        for _ in range(60)
    )
    minified = "".join(
        f'function {draw.choice(names)}({draw.choice(names)}){{return {draw.choice(("sk", "npm_", "hf_", "e.token", "this.key", "r.secret"))}&&{draw.choice(names)}[{draw.randint(0, 999)}]||"{text(draw, names, draw.randint(1, 24))}"}}'
        for _ in range(150)
    )
    bundles = (
        (
            "app.js.map",
            json.dumps(
                {
                    "version": 3,
                    "sources": ["webpack://app/./src/a.ts"],
                    "sourcesContent": [code(draw, 3000).decode()],
                    "mappings": mappings,
                }
            ),
        ),
        (
            "app.min.js",
            f"(()=>{{var __webpack_modules__={{{draw.randint(1, 9999)}:(e,t,n)=>{{{minified}}}}}}})();//# sourceMappingURL=app.js.map",
        ),
        (
            "app.css",
            f"@font-face{{font-family:i;src:url(data:font/woff2;base64,d09GMgABAAAAA{b64(draw, 4000)}) format('woff2')}}",
        ),
        (
            "manifest.json",
            json.dumps(
                {
                    package(draw): {
                        "file": f"assets/{package(draw)}-{text(draw, ALNUM, 8)}.js",
                        "integrity": f"sha384-{b64(draw, 48)}",
                    }
                    for _ in range(40)
                }
            ),
        ),
        (
            "module.js",
            f'const wasm=Uint8Array.from(atob("AGFzbQEAAAABhYCAgAAB{b64(draw, 5000)}"),c=>c.charCodeAt(0));export const T=[{",".join(f"0x{hexa(draw, 8)}" for _ in range(256))}];',
        ),
        (
            "icon.svg",
            f'<svg viewBox="0 0 24 24"><path d="M{" ".join(f"{draw.uniform(0, 24):.3f}" for _ in range(300))}z"/><image href="data:image/png;base64,iVBORw0KGgo{b64(draw, 1500)}"/></svg>',
        ),
    )
    name, body = bundles[number % len(bundles)]
    return Item(
        f"script/{name}-{number}",
        "assets.example.com",
        f"/v{number}/{name}",
        "PUT",
        (("Content-Type", "application/octet-stream"),),
        body.encode(),
    )


def remote_call(draw: random.Random, number: int) -> Item:
    """Messages on a WebSocket or of gRPC: JSON, protobuf, events."""

    def field(tag: int, value: bytes) -> bytes:
        return bytes((tag << 3 | 2, len(value))) + value

    protobuf = b"".join(
        (
            field(1, guid(draw).encode()),
            field(2, draw.randbytes(32)),
            field(3, hexa(draw, 40).encode()),
            b"\x20\x96\x01",
            b"\x2d" + struct.pack("<f", draw.random()),
            field(6, prose(draw, 90)),
        )
    )
    events = "".join(
        f"id: {ulid(draw)}\nevent: delta\ndata: {json.dumps({'delta': prose(draw, 40).decode(), 'obfuscation': text(draw, ALNUM, 12)})}\n\n"
        for _ in range(9)
    )
    messages = (
        json.dumps({"type": "input_audio_buffer.append", "audio": b64(draw, 3000)}).encode(),
        json.dumps(
            {
                "id": number,
                "method": "Runtime.evaluate",
                "params": {"expression": code(draw, 600).decode()},
                "sessionId": hexa(draw, 32).upper(),
            }
        ).encode(),
        protobuf,
        draw.randbytes(2000),
        events.encode(),
        f'42["message",{{"room":"{guid(draw)}","text":"{prose(draw, 100).decode().strip()}"}}]'.encode(),
        json.dumps(
            {
                "op": 2,
                "d": {
                    "s": draw.getrandbits(60),
                    "channel_id": str(draw.randint(10**18, 10**19)),
                    "nonce": str(draw.randint(10**18, 10**19)),
                },
            }
        ).encode(),
        b"".join(struct.pack("<f", draw.uniform(-1, 1)) for _ in range(512)),
    )
    return Item(
        f"message/{number}",
        "realtime.example.com",
        "/socket",
        "GET",
        body=messages[number % len(messages)],
        message=True,
    )
