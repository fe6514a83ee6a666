# ruff: noqa: E501 - templates of texts
"""Lockfiles of every package manager: long lists of hashes next to names."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from tests.false_alarms.drawing import LOWER, b64, guid, hexa, package, text, url64, version, when
from tests.false_alarms.items import Item

_INDEX = "https://packages.example.org"


def _npm(draw: random.Random) -> str:
    def entry() -> dict[str, object]:
        name = package(draw)
        return {
            "version": version(draw),
            "resolved": f"{_INDEX}/{name}/-/{name}-{version(draw)}.tgz",
            "integrity": f"sha512-{b64(draw, 64)}",
            "engines": {"node": ">=18"},
        }

    packages = {f"node_modules/{package(draw)}{n}": entry() for n in range(60)}
    return json.dumps({"name": "app", "lockfileVersion": 3, "packages": packages}, indent=2)


def _yarn(draw: random.Random) -> str:
    rows = []
    for _ in range(60):
        name = package(draw)
        rows.append(
            f'"{name}@^{version(draw)}":\n  version "{version(draw)}"\n  resolved "{_INDEX}/{name}/-/'
            f'{name}-{version(draw)}.tgz#{hexa(draw, 40)}"\n  integrity sha512-{b64(draw, 64)}\n'
        )
    return "# yarn lockfile v1\n\n" + "\n".join(rows)


def _berry(draw: random.Random) -> str:
    rows = [
        f'"{package(draw)}@npm:^{version(draw)}":\n  version: {version(draw)}\n'
        f"  checksum: 10c0/{hexa(draw, 128)}\n  languageName: node\n  linkType: hard\n"
        for _ in range(60)
    ]
    return "__metadata:\n  version: 8\n  cacheKey: 10c0\n\n" + "\n".join(rows)


def _pnpm(draw: random.Random) -> str:
    rows = [
        f"  {package(draw)}@{version(draw)}:\n    resolution: {{integrity: sha512-{b64(draw, 64)}}}\n"
        f"    engines: {{node: '>=6'}}\n"
        for _ in range(60)
    ]
    return "lockfileVersion: '9.0'\n\npackages:\n\n" + "\n".join(rows)


def _pip(draw: random.Random) -> str:
    rows = []
    for _ in range(50):
        hashes = " \\\n".join(f"    --hash=sha256:{hexa(draw, 64)}" for _ in range(3))
        rows.append(f"{package(draw)}=={version(draw)} \\\n{hashes}")
    return "\n".join(rows)


def _poetry(draw: random.Random) -> str:
    rows = []
    for _ in range(40):
        name = package(draw)
        files = "\n".join(
            f'    {{file = "{name}-{version(draw)}-py3-none-any.whl", hash = "sha256:{hexa(draw, 64)}"}},'
            for _ in range(2)
        )
        rows.append(
            f'[[package]]\nname = "{name}"\nversion = "{version(draw)}"\nfiles = [\n{files}\n]\n'
        )
    return "\n".join(rows) + f'\n[metadata]\ncontent-hash = "{hexa(draw, 64)}"\n'


def _uv(draw: random.Random) -> str:
    rows = []
    for _ in range(40):
        name = package(draw)
        rows.append(
            f'[[package]]\nname = "{name}"\nversion = "{version(draw)}"\nsdist = {{ url = "{_INDEX}/'
            f'packages/{hexa(draw, 2)}/{hexa(draw, 2)}/{hexa(draw, 60)}/{name}.tar.gz", hash = '
            f'"sha256:{hexa(draw, 64)}", size = {draw.randint(1000, 9_999_999)} }}\n'
        )
    return "version = 1\n\n" + "\n".join(rows)


def _pipfile(draw: random.Random) -> str:
    default = {
        package(draw): {
            "hashes": [f"sha256:{hexa(draw, 64)}" for _ in range(4)],
            "version": f"=={version(draw)}",
        }
        for _ in range(30)
    }
    return json.dumps({"_meta": {"hash": {"sha256": hexa(draw, 64)}}, "default": default}, indent=4)


def _cargo(draw: random.Random) -> str:
    rows = [
        f'[[package]]\nname = "{package(draw)}"\nversion = "{version(draw)}"\n'
        f'source = "registry+{_INDEX}/index"\nchecksum = "{hexa(draw, 64)}"\n'
        for _ in range(60)
    ]
    return "version = 4\n\n" + "\n".join(rows)


def _go(draw: random.Random) -> str:
    rows = []
    for _ in range(60):
        name = f"example.org/{package(draw)}/{package(draw)} v{version(draw)}"
        rows.append(f"{name} h1:{b64(draw, 32)}\n{name}/go.mod h1:{b64(draw, 32)}")
    stamp = f"example.org/x/tools v0.0.0-20260101120000-{hexa(draw, 12)} h1:{b64(draw, 32)}"
    return "\n".join([*rows, stamp])


def _composer(draw: random.Random) -> str:
    packages = [
        {
            "name": f"{package(draw)}/{package(draw)}",
            "version": version(draw),
            "source": {"type": "git", "reference": hexa(draw, 40)},
            "dist": {"type": "zip", "reference": hexa(draw, 40), "shasum": ""},
            "time": when(draw),
        }
        for _ in range(40)
    ]
    return json.dumps({"content-hash": hexa(draw, 32), "packages": packages}, indent=4)


def _nuget(draw: random.Random) -> str:
    packages = {
        package(draw).title(): {
            "type": "Transitive",
            "resolved": version(draw),
            "contentHash": b64(draw, 64),
        }
        for _ in range(40)
    }
    return json.dumps({"version": 1, "dependencies": {"net8.0": packages}}, indent=2)


def _mix(draw: random.Random) -> str:
    rows = [
        f'  "{package(draw)}": {{:hex, :{package(draw)[:4]}, "{version(draw)}", "{hexa(draw, 64)}", '
        f'[:mix], [], "hexpm", "{hexa(draw, 64)}"}},'
        for _ in range(40)
    ]
    return "%{\n" + "\n".join(rows) + "\n}"


def _terraform(draw: random.Random) -> str:
    hashes = "\n".join(f'    "zh:{hexa(draw, 64)}",' for _ in range(12))
    return (
        f'provider "providers.example.org/hashicorp/aws" {{\n  version = "{version(draw)}"\n  hashes = [\n'
        f'    "h1:{b64(draw, 32)}",\n{hashes}\n  ]\n}}\n'
    ) * 6


def _flake(draw: random.Random) -> str:
    nodes = {
        package(draw): {
            "locked": {
                "lastModified": draw.randint(1_600_000_000, 1_760_000_000),
                "narHash": f"sha256-{b64(draw, 32)}",
                "owner": "example",
                "rev": hexa(draw, 40),
                "type": "github",
            }
        }
        for _ in range(20)
    }
    return json.dumps({"nodes": nodes, "root": "root", "version": 7}, indent=2)


def _gradle(draw: random.Random) -> str:
    rows = [
        f'      <component group="org.{package(draw)}" name="{package(draw)}" version="{version(draw)}">\n'
        f'         <artifact name="a.jar"><sha256 value="{hexa(draw, 64)}" origin="Generated"/>'
        f"</artifact>\n      </component>"
        for _ in range(40)
    ]
    return "<verification-metadata>\n   <components>\n" + "\n".join(rows) + "\n</components>"


_PODS = (
    *(
        "AFNetworking",
        "Alamofire",
        "AppAuth",
        "Charts",
        "FBLPromises",
        "Firebase",
        "GoogleUtilities",
    ),
    *("GTMAppAuth", "JWTDecode", "KeychainAccess", "KeychainSwift", "Kingfisher", "Lottie", "Moya"),
    *(
        "nanopb",
        "PromiseKit",
        "Realm",
        "RxSwift",
        "SDWebImage",
        "Sentry",
        "SimpleKeychain",
        "SnapKit",
    ),
)


def _pods(draw: random.Random) -> str:
    names = [
        f"{draw.choice(_PODS)}{draw.choice(('', '', '/Core', 'Kit', 'UI'))}" for _ in range(40)
    ]
    rows = [f"  {name}: {hexa(draw, 40)}" for name in names]
    return "SPEC CHECKSUMS:\n" + "\n".join(rows) + f"\n\nPODFILE CHECKSUM: {hexa(draw, 40)}\n"


def _sbom(draw: random.Random) -> str:
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:generic/{package(draw)}@{version(draw)}?uuid={guid(draw)}",
            "hashes": [
                {"alg": "SHA-1", "content": hexa(draw, 40)},
                {"alg": "SHA-512", "content": hexa(draw, 128)},
            ],
        }
        for _ in range(30)
    ]
    return json.dumps({"bomFormat": "CycloneDX", "components": components})


def _module_graph(draw: random.Random) -> str:
    chunks = {hexa(draw, 8): f"/_next/static/chunks/{n}-{hexa(draw, 16)}.js" for n in range(100)}
    return json.dumps({"buildId": url64(draw, 15), "chunks": chunks, "key": text(draw, LOWER, 12)})


_MAKERS: tuple[Callable[[random.Random], str], ...] = (
    *(_npm, _yarn, _berry, _pnpm, _pip, _poetry, _uv, _pipfile, _cargo, _go, _composer, _nuget),
    *(_mix, _terraform, _flake, _gradle, _pods, _sbom, _module_graph),
)


def content(draw: random.Random) -> str:
    """A lockfile of some package manager."""
    return draw.choice(_MAKERS)(draw)


def lockfile(draw: random.Random, number: int) -> Item:
    """A lockfile, sent to be audited or as a part of a change."""
    made = _MAKERS[number % len(_MAKERS)]
    lock = made(draw)
    name = f"lockfile/{made.__name__.strip('_')}-{number}"
    if number // len(_MAKERS) % 2:
        return Item(
            name,
            "audit.example.org",
            "/v1/lockfiles",
            fields=(("Content-Type", "text/plain"),),
            body=lock.encode(),
        )
    document = {"path": "lock", "message": "Update dependencies", "content": lock}
    return Item(
        name,
        "code.example.org",
        "/api/files",
        "PUT",
        (("Content-Type", "application/json"),),
        json.dumps(document).encode(),
    )
