"""A configuration of a client: read, edited, checked, and replaced as a whole."""

from __future__ import annotations

import contextlib
import copy
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from interceptor.mcp.clients import ClientFile
from interceptor.mcp.entries import ConfigError, Edit, Entry, apply, inner, unwrap, wrap

BACKUP: Final = ".before-egressguard"
"""Suffix of the copy that is made before the first change."""
_BIGGEST: Final = 16 * 1024 * 1024
_BOM: Final = "\ufeff"


class Server(NamedTuple):
    """A server in a configuration."""

    name: str
    line: tuple[str, ...]
    """Command and arguments, as they stand there."""
    wrapped: bool


class ConfigFile:
    """One file.

    Attributes:
        path: as it was named.
        text: what it says now.
    """

    def __init__(self, path: Path, rows: Sequence[ClientFile]) -> None:
        """Read it.

        Args:
            path: of the file; a link is followed, and stays.
            rows: how it may be laid out.

        Raises:
            ConfigError: it cannot be read, or is not what it should be.
        """
        self.path = path
        self._rows = rows
        self._real = Path(os.path.realpath(path))
        try:
            # O_NONBLOCK: opening a FIFO would wait for its writer.
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(self._real, flags), "rb") as file:
                self._status = os.fstat(file.fileno())
                if not stat.S_ISREG(self._status.st_mode):
                    raise ConfigError(f"{path}: is not an ordinary file")
                data = file.read(_BIGGEST + 1)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        if len(data) > _BIGGEST:
            raise ConfigError(f"{path}: is larger than a configuration should be")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: is not UTF-8") from None
        self._bom = text.startswith(_BOM)
        self.text = self._before = text.removeprefix(_BOM)

    def servers(self) -> list[Server]:
        """Return the servers that are started by a command.

        Raises:
            ConfigError: it cannot be understood.
        """
        found = self._entries(self.text)
        return [Server(entry.name, entry.line, inner(entry.line) >= 0) for entry in found]

    def wrap(
        self, program: Sequence[str], options: Sequence[str], named: Callable[[str], str] = str
    ) -> list[str]:
        """Put the judge before every server; returns the names of those that had none.

        Args:
            program: words that start egressguard.
            options: of `egressguard mcp`.
            named: makes of a server's name the one that its tools are pinned under.

        Raises:
            ConfigError: it cannot be done without harm; nothing is changed.
        """

        def put(text: str, entry: Entry) -> list[Edit]:
            if inner(entry.line) >= 0:
                return []
            return wrap(text, entry._replace(name=named(entry.name)), program, options)

        text, names = self._edit(self.text, put)
        # What was done must be undone to the byte, or it is not done at all.
        if names and self._edit(text, unwrap)[0] != self._edit(self.text, unwrap)[0]:
            raise self._unsafe(names[0])
        self.text = text
        return names

    def unwrap(self) -> list[str]:
        """Take the judge away; returns the names of the servers that had it.

        Raises:
            ConfigError: it cannot be done without harm; nothing is changed.
        """
        self.text, names = self._edit(self.text, unwrap)
        return names

    @property
    def changed(self) -> bool:
        """True when there is something to write."""
        return self.text != self._before

    @property
    def backup(self) -> Path:
        """Path of the copy."""
        return self._real.with_name(self._real.name + BACKUP)

    def save(self, *, backup: bool) -> None:
        """Replace the file; mode and owner stay.

        Args:
            backup: keep what it was, unless such a copy is there already. Otherwise remove the
                copy if the file is the same again.

        Raises:
            ConfigError: it could not be written, or was changed meanwhile; it is as it was.
        """
        try:
            now = self._real.lstat()
            if (now.st_ino, now.st_mtime_ns) != (self._status.st_ino, self._status.st_mtime_ns):
                raise ConfigError(f"{self.path}: was changed meanwhile; nothing was written")
            if backup and not os.path.lexists(self.backup):
                self._write(self.backup, self._before)
            self._write(self._real, self.text)
            if not backup:
                with contextlib.suppress(OSError):
                    if self.backup.read_bytes() == self._encoded(self.text):
                        self.backup.unlink()
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {error.strerror}") from None

    # -- editing -----------------------------------------------------------------------------

    def _edit(self, text: str, edits: Callable[[str, Entry], list[Edit]]) -> tuple[str, list[str]]:
        names: list[str] = []
        for at in range(len(self._entries(text))):
            # One after the other: an edit moves what stands behind it.
            entry = self._entries(text)[at]
            try:
                done = edits(text, entry)
            except ConfigError:
                raise self._unsafe(entry.name) from None
            if done:
                before, text = text, apply(text, done)
                names.append(entry.name)
                self._check(before, text, at, entry)
        return text, names

    def _check(self, before: str, after: str, at: int, entry: Entry) -> None:
        """Make sure that one server's command line changed and nothing else."""
        try:
            entries = self._entries(after)
            same = _without(self._data(before), entry.path) == _without(
                self._data(after), entry.path
            )
        except ConfigError:
            raise self._unsafe(entry.name) from None
        others = [found.line for found in entries]
        expected = [found.line for found in self._entries(before)]
        wrapped = inner(entry.line)
        line = others[at] if len(others) == len(expected) else ()
        unwrapped = line[inner(line) :] if wrapped < 0 else line
        if (
            not same
            or others[:at] + others[at + 1 :] != expected[:at] + expected[at + 1 :]
            or unwrapped != (entry.line if wrapped < 0 else entry.line[wrapped:])
        ):
            raise self._unsafe(entry.name)

    def _unsafe(self, name: str) -> ConfigError:
        return ConfigError(
            f"{self.path}: {name} is written in a way that cannot be edited without harm; put "
            "`egressguard`, `mcp`, `--` before its command by hand"
        )

    def _entries(self, text: str) -> list[Entry]:
        found: dict[int, Entry] = {}
        for row in self._rows:
            for entry in _form(row.form).servers(text, row.keys):
                place = entry.command or entry.words[0]
                found.setdefault(place.start, entry)
        return [found[start] for start in sorted(found)]

    def _data(self, text: str) -> Any:
        read = _form(self._rows[0].form).read(text)
        return read.data if self._rows[0].form == "json" else read

    # -- files -------------------------------------------------------------------------------

    def _encoded(self, text: str) -> bytes:
        return ((_BOM if self._bom else "") + text).encode()

    def _write(self, path: Path, text: str) -> None:
        temporary = path.with_name(f".{path.name}.egressguard-{os.getpid()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(self._encoded(text))
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), self._status.st_uid, self._status.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(self._status.st_mode))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _form(name: str) -> Any:
    if name == "toml":
        from interceptor.mcp import toml_text

        return toml_text
    if name == "yaml":
        from interceptor.mcp import yaml_text

        return yaml_text
    from interceptor.mcp import json_text

    return json_text


def _without(data: Any, path: tuple[str, ...]) -> Any:
    """The same without command and arguments of one server."""
    data = copy.deepcopy(data)
    node = data
    for key in path:
        if isinstance(node, list):
            node = next((item for item in node if item.get("name") == key), None)
        else:
            node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict):
        for place in (node, node.get("command")):
            if isinstance(place, dict):
                for key in ("args", "path", "cmd", "command"):
                    if not isinstance(place.get(key), dict):
                        place.pop(key, None)
    return data
