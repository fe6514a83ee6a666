"""Loading a policy from a file and a preset.

Every error names the file, the line and column, what is wrong, and what would be right.
PyYAML is imported only when there is a file or a preset to read.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from interceptor.policy import mcp as mcp_section
from interceptor.policy.inbound_checks import check_inbound
from interceptor.policy.patterns import parse_network, parse_pattern, parse_service
from interceptor.policy.schema import Policy, PresetName, RuleAt

MAX_BYTES = 262_144
"""Largest policy file."""
MAX_RULE_BYTES = 4 * 1024 * 1024
"""Largest rule file of an operator's own."""

_DIGEST = re.compile(r"[0-9a-f]{16}\Z")
_PLACE = re.compile(r"(?:url|body|header:[a-z0-9!#$%&'*+.^_`|~-]{1,100})\Z")


class PolicyError(Exception):
    """A policy that cannot be used. The CLI prints it and exits with code 2."""

    def __init__(
        self, cause: str, *, file: str = "", line: int = 0, column: int = 0, fix: str = ""
    ) -> None:
        self.cause = cause
        """What is wrong, one clause."""
        self.file = file
        self.line = line
        """Line in `file`, from 1; 0 if the error has no place."""
        self.column = column
        self.fix = fix
        """What to write instead, one clause; may be empty."""
        super().__init__(cause)

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = f"{place}: {self.cause}" if place else self.cause
        return f"{text}; {self.fix}" if self.fix else text


def load(path: str | Path | None, preset: str | None) -> Policy:
    """Return the policy of `path` laid over a preset.

    Args:
        path: policy file, or None for the preset alone.
        preset: name of a preset; overrides the file's own `preset:`. None: the file's, or
            `balanced`.

    Mappings of the file are merged over the preset key by key; lists and values replace.

    Raises:
        PolicyError: unreadable file, bad YAML, bad value, or no such preset.
    """
    name = _preset_name(preset) if preset is not None else None
    if path is None and name in (None, PresetName.BALANCED):
        return Policy()
    if path is None:
        return _convert(_preset_data(name or PresetName.BALANCED), None)
    from interceptor.policy import yaml_source

    source = yaml_source.parse(_read(Path(path)), str(path))
    if name is None:
        name = _preset_name(source.data.get("preset", PresetName.BALANCED), source)
    data = _merge(_preset_data(name), source.data)
    data["preset"] = str(name)
    policy = _convert(data, source)
    _check(policy, source)
    policy = _with_rule_files(policy, Path(path), source)
    return _with_ca_file(policy, Path(path), source)


def rule_files(policy: Policy) -> tuple[tuple[str, bytes], ...]:
    """Read the rule files that a policy names, as (path, content) pairs.

    `interceptor.scan.ruleset.load_user_rules` takes them.

    Raises:
        PolicyError: a file that cannot be read or is too large.
    """
    return tuple(
        (file, _read(Path(file), MAX_RULE_BYTES, "rules.files")) for file in policy.rules.files
    )


def _preset_name(text: Any, source: Any = None) -> PresetName:
    try:
        return PresetName(text)
    except ValueError:
        fix = "the presets are " + ", ".join(PresetName)
        if source is not None:
            raise source.error(("preset",), f"no preset {text!r}", fix) from None
        raise PolicyError(f"no preset {text!r}", fix=fix) from None


def _preset_data(name: PresetName) -> dict[str, Any]:
    from interceptor.policy import yaml_source

    entry = resources.files("interceptor.policy") / "presets" / f"{name}.yaml"
    return yaml_source.parse(entry.read_bytes(), f"preset {name}").data


def _read(path: Path, most: int = MAX_BYTES, given: str = "--policy") -> bytes:
    file = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except FileNotFoundError:
        raise PolicyError(
            "there is no such file", file=file, fix=f"check the path given to {given}"
        ) from None
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise PolicyError(
            f"cannot be read ({cause})", file=file, fix="a readable regular file is needed"
        ) from None
    if len(data) > most:
        raise PolicyError(
            f"the file is larger than {most} bytes", file=file, fix="it is meant to be a short text"
        )
    return data


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old or {}, value) if both else value
    return merged


def _convert(data: dict[str, Any], source: Any) -> Policy:
    try:
        return msgspec.convert(data, Policy)
    except msgspec.ValidationError as error:
        cause, _, where = str(error).partition(" - at ")
        if source is None:
            raise PolicyError(str(error)) from None
        raise source.error(_path_of(where), f"{cause[:1].lower()}{cause[1:]}", "") from None


def _path_of(where: str) -> tuple[str | int, ...]:
    """Turn msgspec's "`$.hosts.allow[2]`" into ("hosts", "allow", 2)."""
    path: list[str | int] = []
    for part in where.strip("`$").replace("[", ".[").split("."):
        if part.startswith("["):
            path.append(int(part[1:-1]) if part[1:-1].isdigit() else part)
        elif part:
            path.append(part)
    return tuple(path)


def _check(policy: Policy, source: Any) -> None:
    """Check what the types cannot say: host patterns and networks."""
    patterns: list[tuple[tuple[str | int, ...], str]] = []
    for key, texts in (("allow", policy.hosts.allow), ("deny", policy.hosts.deny)):
        patterns += [(("hosts", key, i), text) for i, text in enumerate(texts)]
    patterns += [(("requests", i, "host"), r.host) for i, r in enumerate(policy.requests)]
    for key, entries in (("suppress", policy.rules.suppress), ("warn", policy.rules.warn)):
        patterns += [(("rules", key, i, "host"), e.host) for i, e in enumerate(entries) if e.host]
    patterns += [(("rules", "homes", i, "host"), e.host) for i, e in enumerate(policy.rules.homes)]
    homes = policy.secrets.homes
    patterns += [(("secrets", "homes", i, "host"), home.host) for i, home in enumerate(homes)]
    patterns += [(("tcp", i, "host"), service.host) for i, service in enumerate(policy.tcp)]
    inbound = policy.inbound
    for key, texts in (("own", inbound.sources.own), ("llm", inbound.sources.llm)):
        patterns += [(("inbound", "sources", key, i), text) for i, text in enumerate(texts)]
    exempt = inbound.exempt
    patterns += [(("inbound", "exempt", i, "host"), e.host) for i, e in enumerate(exempt) if e.host]
    for i, rule in enumerate(policy.mcp.tools):
        for key, conditions in (("when", rule.when), ("unless", rule.unless)):
            for j, one in enumerate(conditions):
                at: tuple[str | int, ...] = ("mcp", "tools", i, key, j, "host")
                hosts = [(k, text) for k, text in enumerate(one.host) if text != "policy"]
                patterns += [((*at, k), text) for k, text in hosts]
    for path, text in patterns:
        try:
            pattern = parse_pattern(text)
        except ValueError as error:
            fix = "write a name, *.name, an address, or one of them with :port"
            raise source.error(path, f"{text!r} is no host pattern: {error}", fix) from None
        if path[0] == "tcp" and pattern.port is not None:
            raise source.error(path, f"{text!r} names a port", "write it as `port:` of the entry")
    _check_services(policy, source)
    check_inbound(policy.inbound, source)
    for spot, cause, fix in mcp_section.faults(policy.mcp):
        raise source.error(("mcp", *spot), cause, fix)
    for i, text in enumerate(policy.addresses.allow):
        try:
            parse_network(text)
        except ValueError as error:
            raise source.error(
                ("addresses", "allow", i), f"{text!r} is no network: {error}", ""
            ) from None
    for key, entries in (("suppress", policy.rules.suppress), ("warn", policy.rules.warn)):
        for i, entry in enumerate(entries):
            _check_tuning(entry, ("rules", key, i), policy, source)
    for i, home in enumerate(homes):
        for j, place in enumerate(home.places):
            if not _PLACE.match(place):
                raise source.error(
                    ("secrets", "homes", i, "places", j),
                    f"{place!r} is no place",
                    "write url, body or header:NAME, the name in lower case",
                )


def _check_services(policy: Policy, source: Any) -> None:
    """Check `services`: names, addresses, and that no name and port comes twice."""
    found: dict[tuple[str, int], str] = {}
    for name, place in policy.services.items():
        try:
            entry = parse_service(name, place)
        except ValueError as error:
            fix = "write NAME: ADDRESS:PORT, or NAME:PORT: ADDRESS:PORT"
            raise source.error(("services", name), f"{place!r}: {error}", fix) from None
        other = found.setdefault((entry.name, entry.port), name)
        if other != name:
            cause = f"{name!r} and {other!r} are the same name and port"
            raise source.error(("services", name), cause, "keep one of them")


def _check_tuning(entry: RuleAt, at: tuple[str | int, ...], policy: Policy, source: Any) -> None:
    """Check one entry of `rules.suppress` or `rules.warn`."""
    if entry.rule == "*" and not entry.digest:
        raise source.error(
            (*at, "rule"), "`*` without a digest would switch every rule off", "name a rule"
        )
    if entry.digest and not _DIGEST.match(entry.digest):
        fix = "copy the 16 lower-case hex digits of a finding"
        raise source.error((*at, "digest"), f"{entry.digest!r} is no digest", fix)
    if entry.digest and not policy.rules.digest_key:
        cause = "digests differ from jail to jail as long as rules.digest_key is empty"
        raise source.error((*at, "digest"), cause, "set rules.digest_key to a random text")
    wrong = _wrong_path(entry.path)
    if wrong:
        raise source.error((*at, "path"), f"{entry.path!r} {wrong}", "write a prefix such as /docs")


def _wrong_path(path: str) -> str:
    """Say what keeps a path prefix from being compared with the paths of requests."""
    if not path:
        return ""
    if not path.startswith("/"):
        return "does not begin with `/`"
    if any(sign in path for sign in "?#\\"):
        return "is more than a path"
    segments = path.split("/")[1:]
    if any(segment in (".", "..") for segment in segments) or "" in segments[:-1]:
        return "holds empty or dot segments, and paths of requests that do fit no prefix"
    if "%" in path or not path.isascii() or not path.isprintable() or " " in path:
        return "holds an escape or a character that must be escaped"
    return ""


def _with_rule_files(policy: Policy, path: Path, source: Any) -> Policy:
    """Resolve `rules.files` beside the policy file and see that they are there."""
    files: list[str] = []
    for i, name in enumerate(policy.rules.files):
        try:
            file = path.parent.joinpath(name).absolute()
            found = file.is_file()
        except (OSError, ValueError):
            found = False
        if not found:
            raise source.error(
                ("rules", "files", i),
                f"there is no file {name!r}",
                "name a rule file (TOML), relative to the policy file",
            )
        files.append(str(file))
    if not files:
        return policy
    rules = msgspec.structs.replace(policy.rules, files=tuple(files))
    return msgspec.structs.replace(policy, rules=rules)


def _with_ca_file(policy: Policy, path: Path, source: Any) -> Policy:
    """Resolve `upstream.ca_file` beside the policy file and see that it is there."""
    if policy.upstream.ca_file is None:
        return policy
    try:
        file = path.parent / policy.upstream.ca_file
        found = file.is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise source.error(
            ("upstream", "ca_file"),
            f"there is no file {policy.upstream.ca_file!r}",
            "name a PEM bundle, relative to the policy file",
        )
    upstream = msgspec.structs.replace(policy.upstream, ca_file=str(file))
    return msgspec.structs.replace(policy, upstream=upstream)
