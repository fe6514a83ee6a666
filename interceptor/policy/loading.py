"""Loading a policy from a file and a preset.

Every error names the file, the line and column, what is wrong, and what would be right.
PyYAML is imported only when there is a file or a preset to read.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from interceptor.policy.patterns import parse_network, parse_pattern
from interceptor.policy.schema import Policy, PresetName

MAX_BYTES = 262_144
"""Largest policy file."""


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
    return _with_ca_file(policy, Path(path), source)


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


def _read(path: Path) -> bytes:
    file = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise PolicyError(
            "there is no such file", file=file, fix="check the path given to --policy"
        ) from None
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise PolicyError(
            f"cannot be read ({cause})", file=file, fix="a readable regular file is needed"
        ) from None
    if len(data) > MAX_BYTES:
        raise PolicyError(
            f"the file is larger than {MAX_BYTES} bytes", file=file, fix="a policy is a short text"
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
    patterns += [(("tcp", i, "host"), service.host) for i, service in enumerate(policy.tcp)]
    for path, text in patterns:
        try:
            pattern = parse_pattern(text)
        except ValueError as error:
            fix = "write a name, *.name, an address, or one of them with :port"
            raise source.error(path, f"{text!r} is no host pattern: {error}", fix) from None
        if path[0] == "tcp" and pattern.port is not None:
            raise source.error(path, f"{text!r} names a port", "write it as `port:` of the entry")
    for i, text in enumerate(policy.addresses.allow):
        try:
            parse_network(text)
        except ValueError as error:
            raise source.error(
                ("addresses", "allow", i), f"{text!r} is no network: {error}", ""
            ) from None


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
