"""Where package-registry tokens are at home: asked of the clients' own configuration.

No registry stands in this program. What a user's configuration and variables name counts, and the
default that an installed client brings along is read from its own source. A project's configuration
does not count: it comes with whatever was cloned.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from interceptor.cli.secret_values import beside, home_at

Read = Callable[[str], str | None]
"""Reads a text file; None where there is none that can be read."""


class Client(NamedTuple):
    """How one kind of registry is configured."""

    rules: tuple[str, ...]
    """First words of the ids of its tokens' rules."""
    variables: tuple[str, ...]
    """Regular expressions of whole names, of variables whose values hold URLs."""
    files: tuple[str, ...]
    """Of the user and the system; `$NAME` is a variable that names one."""
    setting: str
    """Regular expression of a line of them that holds a URL, its group."""
    default: Callable[[Mapping[str, str]], Iterable[str]] | None = None
    """Finds files of the installed client that may hold its default."""
    default_setting: str = ""


def hosts_of_registries(
    environ: Mapping[str, str], home: str, read: Read
) -> dict[str, tuple[str, ...]]:
    """Return hosts by the first word of the ids of the rules whose tokens belong there.

    Args:
        environ: the agent's.
        home: its home directory as the jail shows it; empty if that is a private one.
        read: see there.
    """
    found: dict[str, dict[str, None]] = {}
    for client in CLIENTS:
        urls = _urls(client, environ, home, read)
        hosts = dict.fromkeys(host for url in urls for host in _hosts(url))
        for word in client.rules if hosts else ():
            found.setdefault(word, {}).update(hosts)
    return {word: tuple(hosts) for word, hosts in found.items()}


def _urls(client: Client, environ: Mapping[str, str], home: str, read: Read) -> Iterator[str]:
    for name, value in environ.items():
        if any(re.fullmatch(pattern, name, re.IGNORECASE) for pattern in client.variables):
            yield from re.findall(r"https://[^\s'\"]+", value)
    for place in client.files:
        path = environ.get(place[1:], "") if place.startswith("$") else place
        if path.startswith("~"):
            path = home + path[1:] if home else ""
        if path and path != os.devnull:
            yield from re.findall(client.setting, read(path) or "", re.MULTILINE)
    if client.default is not None:
        for path in client.default(environ):
            text = read(path)
            match = re.search(client.default_setting, text) if text else None
            if match:
                yield match[1]
                return


def _hosts(url: str) -> Iterator[str]:
    for home in home_at(url):
        yield from home.hosts
        if url.endswith("/v1/"):
            yield from beside(home.hosts[0])


def _npm(environ: Mapping[str, str]) -> Iterator[str]:
    program = shutil.which("npm", path=environ.get("PATH"))
    if program:
        folder = Path(program).resolve().parent.parent
        for packages in (folder, folder / "lib/node_modules/npm", Path("/usr/share/nodejs/npm")):
            inner = packages / "node_modules/@npmcli/config/lib/definitions/definitions.js"
            yield str(inner)
            yield str(packages / "lib/utils/config/definitions.js")


def _pypi(environ: Mapping[str, str]) -> Iterator[str]:
    folders = {
        str(Path(part).resolve().parent) for part in environ.get("PATH", "").split(":") if part
    }
    for folder in sorted(folders | {"/usr", "/usr/local"}):
        for place in (
            "python3*/site-packages/twine/utils.py",
            "python3/dist-packages/twine/utils.py",
            "python3*/site-packages/setuptools/_distutils/config.py",
            "python3/dist-packages/setuptools/_distutils/config.py",
            "python3*/distutils/config.py",
        ):
            yield from _below(f"{folder}/lib", place)


def _rubygems(environ: Mapping[str, str]) -> Iterator[str]:
    program = shutil.which("gem", path=environ.get("PATH"))
    if program:
        yield "/usr/lib/ruby/vendor_ruby/rubygems.rb"
        folder = Path(program).resolve().parent.parent
        yield from _below(f"{folder}/lib/ruby", "*/rubygems.rb")


def _below(folder: str, pattern: str) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from sorted(map(str, Path(folder).glob(pattern)))


_URL: Final = r"""["']?(?:sparse\+)?(https://[^\s'"]+)"""

CLIENTS: Final[tuple[Client, ...]] = (
    Client(
        ("npm",),
        (r"npm_config_(?:.*[:_])?registry", "yarn_npm_registry_server", "yarn_registry"),
        (
            *("$NPM_CONFIG_USERCONFIG", "$npm_config_userconfig", "~/.npmrc", "/etc/npmrc"),
            *("/usr/etc/npmrc", "/usr/local/etc/npmrc", "~/.yarnrc.yml", "~/.bunfig.toml"),
        ),
        rf"^\s*(?:(?:@[\w.-]+:)?registry\s*=|npm(?:Publish)?RegistryServer:)\s*{_URL}",
        _npm,
        r"""registry['"]?[^\n]{0,60}\{\s*default:\s*['"`](https://[^'"`]+)""",
    ),
    Client(
        ("pypi",),
        (
            *(r"pip_(?:extra_)?index_url", r"uv_(?:default_|extra_)?index(?:_url)?"),
            *("uv_publish_url", "twine_repository_url", r"poetry_repositories_.*_url"),
        ),
        (
            *("$PIP_CONFIG_FILE", "~/.pypirc", "~/.config/pip/pip.conf", "~/.pip/pip.conf"),
            *("/etc/pip.conf", "~/.config/uv/uv.toml"),
        ),
        rf"^\s*(?:repository|(?:extra-)?index-url|default-index|publish-url|url)\s*[=:]\s*{_URL}",
        _pypi,
        r"""DEFAULT_REPOSITORY\s*(?::[^=\n]+)?=\s*['"](https://[^'"]+)""",
    ),
    Client(
        ("cargo", "crates"),
        (r"cargo_registries_.*_index",),
        ("~/.cargo/config.toml", "~/.cargo/config"),
        rf"^\s*(?:index|registry)\s*=\s*{_URL}",
    ),
    Client(
        ("rubygems",),
        ("rubygems_host",),
        ("~/.gemrc", "/etc/gemrc"),
        rf"^\s*(?:-|:rubygems_host:)\s*{_URL}",
        _rubygems,
        r"""DEFAULT_HOST\s*=\s*['"](https://[^'"]+)""",
    ),
    Client(
        ("nuget",),
        (r"nuget_(?:url|source|server)",),
        ("~/.nuget/NuGet/NuGet.Config", "~/.config/NuGet/NuGet.Config"),
        rf"<add\s[^>\n]{{0,200}}value={_URL}",
    ),
    Client(
        ("docker", "dockerhub"),
        (),
        ("~/.docker/config.json", "~/.config/containers/auth.json"),
        r"\"(https://[^\"\s]+/v1/)\"\s*:",
    ),
)
"""Kinds of registry. Where nothing names a host, tokens have no home but those of `rules.homes`."""
