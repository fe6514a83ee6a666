"""One call of the CNI plugin: what the runtime says, checked before anything is done.

Container Network Interface specification 1.1.0, sections "CNI operations" and "Parameters".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from interceptor.containers import plugging

VERSIONS: Final = ("0.4.0", "1.0.0", "1.1.0")
"""Of the specification that are understood."""

# Codes of the specification, section "Error".
INCOMPATIBLE: Final = 1
UNKNOWN_CONTAINER: Final = 3
ENVIRONMENT: Final = 4
INPUT: Final = 5
DECODING: Final = 6
CONFIGURATION: Final = 7
LATER: Final = 11
UNAVAILABLE: Final = 50
REFUSED: Final = 100
"""Ours: the container has what leads past us."""
NOT_ADDED: Final = 101
"""Ours: the gateway did not do it."""
NOT_AS_ADDED: Final = 102
"""Ours, of CHECK: it is not what it was."""

LARGEST: Final = 4 * 1024 * 1024
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_INTERFACE: Final = re.compile(r"[^/:\s]{1,15}")
_READABLE: Final = 22
"""Letters of a guest's name that are for people."""


class CniError(Exception):
    """What the runtime is told; `code` is the specification's or ours."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code, self.details = code, details


class Call:
    """One call of the plugin: its environment and configuration, checked."""

    def __init__(self, environ: Mapping[str, str], text: bytes) -> None:
        """Read them.

        Raises:
            CniError: see there.
        """
        self.verb = environ.get("CNI_COMMAND", "")
        self.config = decoded(text)
        self.version = text_of(self.config, "cniVersion") or "0.1.0"
        if self.verb == "VERSION":
            return
        if self.version not in VERSIONS:
            known = ", ".join(VERSIONS)
            raise CniError(INCOMPATIBLE, f"version {self.version} is not known", f"known: {known}")
        self.network = text_of(self.config, "name")
        if not _ID.fullmatch(self.network):
            raise CniError(CONFIGURATION, "the network has no name, or none that is allowed")
        for key in ("policy", "evidence", "run"):
            if (path := text_of(self.config, key)) and not path.startswith("/"):
                raise CniError(CONFIGURATION, f"{key}: {path!r} is no absolute path")
        self.run = text_of(self.config, "run") or plugging.RUN
        self.container = self.interface = self.sandbox = self.pod = ""
        if self.verb in ("ADD", "CHECK", "DEL"):
            self._attachment(environ)

    def _attachment(self, environ: Mapping[str, str]) -> None:
        self.container = environ.get("CNI_CONTAINERID", "")
        self.interface = environ.get("CNI_IFNAME", "")
        self.sandbox = environ.get("CNI_NETNS", "")
        if not _ID.fullmatch(self.container):
            raise CniError(ENVIRONMENT, "CNI_CONTAINERID is missing or malformed")
        if not _INTERFACE.fullmatch(self.interface) or self.interface in (".", ".."):
            raise CniError(ENVIRONMENT, "CNI_IFNAME is missing or malformed")
        if self.verb != "DEL" and not self.sandbox:
            raise CniError(ENVIRONMENT, "CNI_NETNS is missing")
        pairs = (part.partition("=") for part in environ.get("CNI_ARGS", "").split(";"))
        args = {name: text for name, _, text in pairs}
        if args.get("K8S_POD_NAME"):
            self.pod = f"{args.get('K8S_POD_NAMESPACE', '')}/{args['K8S_POD_NAME']}"

    @property
    def prefix(self) -> str:
        """How names of this network's guests begin."""
        return f"cni-{_digest(self.network, 3)}-"

    def start_of(self, container: str, interface: str) -> str:
        """How the name of an attachment's guest begins: the same whoever asks."""
        return f"{self.prefix}{_digest(f'{container}/{interface}', 5)}-"

    @property
    def guest(self) -> str:
        """The guest's name: the attachment's, and something for people."""
        readable = self.pod.rpartition("/")[2] or self.container[:12]
        tail = re.sub(r"[^a-z0-9]+", "-", readable.lower())[:_READABLE].strip("-") or "x"
        return self.start_of(self.container, self.interface) + tail


def decoded(text: bytes) -> Mapping[str, Any]:
    """Read a configuration. Raises CniError."""
    if len(text) > LARGEST:
        raise CniError(DECODING, f"the configuration has more than {LARGEST} bytes")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CniError(DECODING, f"the configuration is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise CniError(DECODING, "the configuration is no object")
    return found


def text_of(config: Mapping[str, Any], key: str) -> str:
    """A text of a configuration, empty where there is none. Raises CniError."""
    value = config.get(key, "")
    if not isinstance(value, str) or "\0" in value:
        raise CniError(CONFIGURATION, f"{key} is no text")
    return value


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=size).hexdigest()
