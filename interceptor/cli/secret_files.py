"""Files that hold credentials, read for what is secret in them: one reader for each format.

Readers get bytes and yield candidates; they open nothing, and raise ValueError where a file is not
what its name says. They run in a child process of the agent's user, so that a parser that fails, or
worse, has no more rights than whoever wrote the file.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from interceptor.cli.secret_values import (
    AUTHORIZATION,
    Found,
    beside,
    candidate,
    from_tree,
    from_value,
    home_at,
    unbase64,
)
from interceptor.scan.ruleset import Home
from interceptor.scan.worth import looks_random, says_secret

_QUOTED_LINES: Final = 200  # of a value; a quote that is never closed costs no more
_LINE: Final = re.compile(r"(?:export\s+|set\s+)?([A-Za-z_@/.:][\w@/.:-]*)\s*[=:]\s*(.*)\Z")


def env_file(file: str, text: str) -> Found:
    """`KEY=value` lines, as shells, docker and dotenv libraries read them; also `key: value`."""
    lines = iter(text.splitlines())
    for line in lines:
        match = _LINE.match(line.strip())
        if match is None or line.lstrip().startswith(("#", ";", "//")):
            continue
        name, value = match[1], match[2].strip()
        quote = value[:1]
        if quote in ("'", '"', "`") and quote:
            more = itertools.islice(lines, _QUOTED_LINES) if value.count(quote) < 2 else ()
            for following in more:
                value += "\n" + following
                if quote in following:
                    break
            value = value[1:].partition(quote)[0]
            if quote == '"':
                value = value.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
        else:
            value = re.split(r"\s#", value, maxsplit=1)[0].strip()
        sure = says_secret(name) or looks_random(value.encode())
        yield from from_value(f"{file}:{name}", value, sure=sure)


def netrc(file: str, text: str) -> Found:
    """`machine HOST login USER password VALUE` (netrc(5))."""
    words = iter(re.findall(r'"(?:\\.|[^"\\])*"|\S+', re.sub(r"(?m)(^|\s)#.*$", "", text)))
    machine = ""
    for word in words:
        if word == "machine":
            machine = next(words, "")
        elif word == "default":
            machine = ""
        elif word == "macdef":
            break
        elif word in ("password", "account", "passwd"):
            value = next(words, "").strip('"')
            where = home_at(machine) if machine else ()
            yield candidate(f"{file}:{machine or 'default'}", value, homes=where)


def ini(file: str, text: str) -> Found:
    """Sections of `key = value`: AWS, PyPI, pip, MySQL."""
    from configparser import ConfigParser, Error

    parser = ConfigParser(
        interpolation=None, strict=False, allow_no_value=True, delimiters=("=", ":")
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except (Error, AttributeError) as error:
        # AttributeError: a line that goes on a key without a value (CPython gh-107625).
        raise ValueError(type(error).__name__) from None
    for section in parser.sections():
        homes = home_at(parser.get(section, "repository", fallback="") or "")
        for key, value in parser.items(section):
            for number, line in enumerate((value or "").split()):
                name = f"{file}:{section}.{key}" + (f".{number}" if number else "")
                sure = says_secret(key)
                yield from from_value(name, line, sure=sure, homes=homes if sure else ())


def npmrc(file: str, text: str) -> Found:
    """`//host/path/:_authToken=...` and the like belong to that host."""
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or key.startswith(("#", ";")):
            continue
        key, value = key.strip(), value.strip().strip("\"'")
        host, _, option = key.rpartition(":")
        homes = home_at(host.strip("/")) if host.startswith("//") else ()
        name = f"{file}:{key}"
        if option in ("_auth", "_password"):  # base64
            decoded = unbase64(value) or ""
            secret = decoded.partition(":")[2] if option == "_auth" else decoded
            yield candidate(name, value, homes=homes)
            yield candidate(name, secret, homes=homes)
        elif not value.startswith("${"):
            yield from from_value(name, value, sure=says_secret(option), homes=homes)


def json_file(file: str, text: str) -> Found:
    """Any JSON; docker's `auths`, Terraform's `credentials` and key files are understood."""
    import json

    tree = json.loads(text)
    if isinstance(tree, dict):
        for host, entry in _pairs(tree.get("auths")):
            yield from _docker(file, host, entry)
        for host, entry in _pairs(tree.get("credentials")):
            if isinstance(entry, dict) and isinstance(entry.get("token"), str):
                yield candidate(f"{file}:{host}", entry.pop("token"), homes=home_at(host))
        tree.pop("auths", None)
    yield from _tree(file, tree)


def yaml_file(file: str, text: str) -> Found:
    """Any YAML; kubeconfig and gh's hosts are understood."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        tree = yaml.load(text, loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(type(error).__name__) from None
    if isinstance(tree, dict) and isinstance(tree.get("users"), list):
        yield from _kube(file, tree)
        return
    for host, entry in _pairs(tree):
        if "." in host and isinstance(entry, dict) and isinstance(entry.get("oauth_token"), str):
            homes = (*home_at(host), *home_at(f"api.{host}"))
            yield candidate(f"{file}:{host}", entry.pop("oauth_token"), homes=homes)
    yield from _tree(file, tree)


def toml_file(file: str, text: str) -> Found:
    """Any TOML."""
    import tomllib

    yield from from_tree(file, tomllib.loads(text))


def url_lines(file: str, text: str) -> Found:
    """One URL with a password on each line, as git keeps them."""
    for line in text.splitlines():
        host = line.strip().rpartition("@")[2].partition("/")[0]
        yield from from_value(f"{file}:{host}", line, sure=False)


def pgpass(file: str, text: str) -> Found:
    """`host:port:database:user:password`."""
    for line in text.splitlines():
        fields = re.split(r"(?<!\\):", line.strip())
        if len(fields) == 5 and not line.startswith("#"):
            host, port, password = fields[0], fields[1], re.sub(r"\\(.)", r"\1", fields[4])
            homes = () if "*" in (host, port) else home_at(f"postgres://{host}:{port}")
            yield candidate(f"{file}:{host}", password, homes=homes)


def token(file: str, text: str) -> Found:
    """One token and nothing else."""
    yield from from_value(f"{file}:token", text, sure=True)


def key_file(file: str, text: str) -> Found:
    """Private keys; certificates beside them are public."""
    number = 0
    for part in text.split("-----BEGIN ")[1:]:
        body, end, _ = part.partition("-----END ")
        title = body[:60].partition("-----")[0]
        if end and "PRIVATE" in title:
            name = f"{file}:key{number or ''}"
            yield candidate(name, f"-----BEGIN {body}-----END {title}-----\n")
            number += 1


Reader = Callable[[str, str], Found]

_BY_NAME: Final[tuple[tuple[str, Reader], ...]] = (
    (r"[._]?netrc", netrc),
    (r"\.?git-credentials", url_lines),
    (r"\.?npmrc", npmrc),
    (r"\.?pgpass(\.conf)?", pgpass),
    (r"(.*\.)?env(\..+)?", env_file),
    (r".*\.json", json_file),
    (r".*\.ya?ml(\.\w+)?|\.yarnrc", yaml_file),
    (r".*\.toml", toml_file),
    (r".*\.(ini|cfg|conf|cnf|properties)|\.?pypirc|\.my\.cnf|\.boto|\.s3cfg", ini),
)


def reader_for(name: str, text: str) -> Reader:
    """Choose by the file's name, else by what stands in it."""
    for pattern, reader in _BY_NAME:
        if re.fullmatch(pattern, name):
            return reader
    start = text.lstrip()[:200]
    if "-----BEGIN " in start:
        return key_file
    if start.startswith("{"):
        return json_file
    if re.match(r"(?:[#;][^\n]*\n\s*)*\[[^\]\n]+\]\s*\n", start):
        return ini
    if re.search(r"(?m)^(apiVersion|users|clusters):", text):
        return yaml_file
    lines = text.split()
    if len(lines) == 1 and "=" not in lines[0].rstrip("="):
        return token
    return url_lines if "://" in start.partition("\n")[0].partition("=")[0] else env_file


def _docker(file: str, host: str, entry: Any) -> Found:
    homes = home_at(host)
    if host.endswith("/v1/") and homes:
        index = homes[0].hosts[0]
        homes = (Home((index, *beside(index)), AUTHORIZATION),)
    for key, value in _pairs(entry):
        if not isinstance(value, str):
            continue
        name = f"{file}:{host}"
        if key == "auth":
            yield candidate(name, (unbase64(value) or "").partition(":")[2], homes=homes)
        elif says_secret(key):
            yield candidate(f"{name}.{key}", value, homes=homes)


def _kube(file: str, tree: dict[str, Any]) -> Found:
    servers = {
        name: server
        for name, entry in _named(tree.get("clusters"), "cluster")
        if isinstance(server := entry.get("server"), str)
    }
    uses: dict[str, list[str]] = {}
    for _, context in _named(tree.get("contexts"), "context"):
        if server := servers.get(str(context.get("cluster"))):
            uses.setdefault(str(context.get("user")), []).append(server)
    for user, entry in _named(tree.get("users"), "user"):
        homes = tuple(home for server in uses.get(user, ()) for home in home_at(server))
        for key in ("token", "password", "client-key-data"):
            if isinstance(value := entry.get(key), str):
                yield from from_value(f"{file}:{user}.{key}", value, sure=True, homes=homes)
        provider = entry.get("auth-provider")
        if isinstance(provider, dict):
            yield from from_tree(file, provider, path=user)


def _tree(file: str, tree: Any) -> Found:
    if isinstance(tree, (dict, list)):
        yield from from_tree(file, tree)


def _named(entries: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get(key), dict):
            yield str(entry.get("name")), entry[key]


def _pairs(tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        yield from ((str(key), value) for key, value in tree.items())
