# ruff: noqa: E501 - templates of texts
"""Documents about keys, with placeholders in place of keys, and outputs of programs."""

from __future__ import annotations

import json
import random

from tests.bench.scanning.texts import prose
from tests.false_alarms.drawing import (
    LOWER,
    b64,
    encoded,
    guid,
    hexa,
    package,
    text,
    url64,
    version,
    when,
)
from tests.false_alarms.items import Item

_AWS = ("AK" + "IAIOSFODNN7" + "EXAMPLE", "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY")
"""The pair that the vendor's own documentation shows everywhere."""

_ENV = f"""\
# Copy to .env and fill in. Never commit .env.
DATABASE_URL=postgresql://postgres:postgres@localhost:5432/app
REDIS_URL=redis://:changeme@cache:6379/0
MONGO_URL=mongodb://user:password@localhost:27017/app
AWS_ACCESS_KEY_ID={_AWS[0]}
AWS_SECRET_ACCESS_KEY={_AWS[1]}
OPENAI_API_KEY=sk-...
ANTHROPIC_API_KEY=sk-ant-your-key-here
STRIPE_SECRET_KEY=sk_test_xxxxxxxxxxxxxxxxxxxxxxxx
GITHUB_TOKEN=ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
SLACK_BOT_TOKEN=xoxb-your-token
SENDGRID_API_KEY=SG.xxxxxxxxxxxxxxxxxxxxxx.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
SECRET_KEY=change-me-in-production
JWT_SECRET=${{JWT_SECRET}}
SENTRY_DSN=
PASSWORD=hunter2
API_KEY=<your api key>
TOKEN=$(cat /run/secrets/token)
"""
_GUIDE = (
    f"""\
# Authentication

Create a key in the console, then send it with every request: `Authorization: Bearer YOUR_API_KEY`, or
`curl -u "$USER:$TOKEN" https://api.example.com/v1/items?token=YOUR_TOKEN`. Keys begin with `sk-ant-api03-`, test
keys with `sk_test_`, restricted ones with `rk_live_`. GitHub's are `ghp_` and 36 characters, or `github_pat_`; Slack's
`xoxb-`, `xoxp-`, `xapp-1-`; Google's `AIza`, AWS key ids `AKIA` or `ASIA` and 16 capitals, such as {_AWS[0]}.

    aws configure set aws_access_key_id {_AWS[0]}
    aws configure set aws_secret_access_key {_AWS[1]}
    export TWILIO_AUTH_TOKEN=your_auth_token
    psql "postgresql://user:password@db.example.com:5432/mydb"
    mysql://root:secret@127.0.0.1/test

A private key file begins with `-----BEGIN PRIVATE"""
    """ KEY-----` and ends with `-----END PRIVATE"""
    """ KEY-----`. A token such as
`eyJhbGciOiJIUzI1NiJ9...` has three parts. Rotate keys every 90 days; passwords should have at least 12 characters.
Card numbers for tests are in the vendor's guide; amounts are in cents (for example 4000 for 40.00).
"""
)
_COMPOSE = """\
services:
  db:
    image: postgres:16@sha256:{digest}
    environment:
      POSTGRES_USER: app
      POSTGRES_PASSWORD: ${{POSTGRES_PASSWORD:-postgres}}
  web:
    environment:
      - SECRET_KEY_BASE={{{{ vault_secret_key_base }}}}
      - DATABASE_URL=postgres://app:${{POSTGRES_PASSWORD}}@db/app
    secrets: [api_key, tls_key]
"""
_WORKFLOW = """\
on: push
jobs:
  release:
    steps:
      - uses: actions/checkout@{sha}
      - run: npm publish
        env:
          NODE_AUTH_TOKEN: ${{{{ secrets.NPM_TOKEN }}}}
          GITHUB_TOKEN: ${{{{ github.token }}}}
          AWS_SECRET_ACCESS_KEY: ${{{{ secrets.AWS_SECRET_ACCESS_KEY }}}}
          password: ${{{{ secrets.REGISTRY_PASSWORD }}}}
"""
_CODE = """\
import os

API_KEY = os.environ["API_KEY"]
password = getpass.getpass("Password: ")
token = request.headers.get("Authorization", "").removeprefix("Bearer ")
secret = hashlib.sha256(password.encode() + salt).hexdigest()
client = Client(api_key=os.getenv("OPENAI_API_KEY"), secret_key=settings.SECRET_KEY)
assert token == "test-token-1"
PATTERN = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[abp]-[0-9]{10,13}-")
fixtures = {"password": "password123", "api_key": "fake-api-key", "auth_token": "0" * 32}
const stripe = new Stripe(process.env.STRIPE_SECRET_KEY, { apiVersion: "2025-03-31.basil" });
String apiKey = config.getString("twilio.auth.token");  // never log this
"""


def document(draw: random.Random) -> str:
    """A document of one kind or another."""
    manifest = (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ntype: Opaque\ndata:\n"
        f"  username: {encoded('admin')}\n  password: cGFzc3dvcmQ=\n  note: PGNoYW5nZSBtZT4=\n"
    )
    terraform = (
        'variable "db_password" {\n  type      = string\n  sensitive = true\n}\n\nprovider "aws" {\n'
        f"  access_key = var.access_key\n  secret_key = var.secret_key\n}}\n# ami-{hexa(draw, 17)}\n"
    )
    kinds = (
        _ENV,
        _GUIDE,
        _CODE,
        _COMPOSE.format(digest=hexa(draw, 64)),
        _WORKFLOW.format(sha=hexa(draw, 40)),
        manifest,
        terraform,
    )
    return prose(draw, draw.randint(0, 400)).decode() + "\n\n" + draw.choice(kinds)


def output(draw: random.Random) -> str:
    """What a program printed."""
    kinds = (
        "\n".join(f"{hexa(draw, 40)} {prose(draw, 50).decode().strip()}" for _ in range(20)),
        "\n".join(
            f"{hexa(draw, 64)}  ./dist/{package(draw)}-{version(draw)}.tar.gz" for _ in range(12)
        ),
        "\n".join(f"sha256:{hexa(draw, 64)}: Pull complete" for _ in range(8)),
        "\n".join(
            f'10.0.{draw.randint(0, 255)}.{draw.randint(1, 254)} - - [{when(draw)}] "GET /v1/items/{guid(draw)}?page={n} HTTP/1.1" 200 {draw.randint(10, 99999)} "-" "agent/1.0"'
            for n in range(20)
        ),
        "\n".join(
            f"{when(draw)} INFO [req={hexa(draw, 32)} span={hexa(draw, 16)}] login ok user={draw.randint(1, 10**9)} token=*** password=[FILTERED]"
            for _ in range(15)
        ),
        (
            "Run npm publish\n  env:\n    NODE_AUTH_TOKEN: ***\n    GITHUB_TOKEN: ***\n"
            f"npm notice shasum: {hexa(draw, 40)}\nnpm notice integrity: sha512-{b64(draw, 64)}\n"
        ),
        f"index {hexa(draw, 7)}..{hexa(draw, 7)} 100644\n-  token: {url64(draw, 4)}\n+  token: ${{TOKEN}}\n",
        "NAME                     READY   STATUS\n"
        + "\n".join(
            f"web-{hexa(draw, 9)}-{text(draw, LOWER, 5)}   1/1     Running" for _ in range(9)
        ),
        "\n".join(
            f"{n:08x}: {draw.randbytes(16).hex(' ', 2)}  {'.' * 16}" for n in range(0, 320, 16)
        ),
        f"The key's randomart image is:\nThe key fingerprint is:\nSHA256:{b64(draw, 32)[:43]} jane@laptop\n",
    )
    return draw.choice(kinds)


def page(draw: random.Random, number: int) -> Item:
    """A document or an output, sent to a wiki, an issue, a paste or a chat."""
    made = document(draw) if number % 2 else output(draw)
    kinds = (
        (
            "wiki.example.com",
            "/api/pages",
            "application/json",
            json.dumps({"title": "Setup", "body": made}),
        ),
        (
            "issues.example.com",
            "/repos/a/b/issues",
            "application/json",
            json.dumps({"title": "Fails", "body": f"```\n{made}\n```"}, ensure_ascii=False),
        ),
        ("paste.example.com", "/new", "text/plain; charset=utf-8", made),
        (
            "chat.example.com",
            "/api/chat.postMessage",
            "application/json",
            json.dumps({"blocks": [{"type": "section", "text": {"text": made}}]}),
        ),
    )
    host, path, kind, body = kinds[number // 2 % len(kinds)]
    return Item(
        f"document/{host.partition('.')[0]}-{number}",
        host,
        path,
        "POST",
        (("Content-Type", kind),),
        body.encode(),
    )
