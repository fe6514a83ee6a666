"""The agent's own secrets, as what judges is to know them.

Whatever serves an agent registers the secrets in its variables (docs/secrets.md), so it gets the
agent's variables that come from Secrets, and those by whose names secrets are told, or their homes.
Its own settings stand above, so that no name in a Secret changes what it trusts or loads.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from interceptor.kubernetes.workloads import Workload

_TELLING: Final = re.compile(
    r"KEY|TOKEN|SECRET|PASS|PWD|AUTH|DSN|COOKIE|PRIVATE|CREDENTIAL"
    r"|URL|HOST|ENDPOINT|ADDR|SERVER|BASE|INSTANCE",
    re.IGNORECASE,
)
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SETTINGS: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",  # noqa: S108 - the container's own
    "XDG_CACHE_HOME": "/var/cache",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    "SSL_CERT_DIR": "/etc/ssl/certs",
    "OPENSSL_CONF": "/etc/ssl/openssl.cnf",
    **dict.fromkeys(("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GLIBC_TUNABLES"), ""),
    **dict.fromkeys(("HOSTALIASES", "RES_OPTIONS", "EGRESSGUARD_DEBUG"), ""),
}
"""Variables of a container of ours, which stand above those of Secrets (`envFrom`)."""
_SOURCES: Final = ("secretKeyRef", "configMapKeyRef")


def environment(workload: Workload, given: Collection[str]) -> dict[str, Any]:
    """Return `env` and `envFrom` of the container that serves a workload.

    Args:
        workload: before or after it was rewritten.
        given: names of variables that a rewriting gives to agents.
    """
    taken: dict[str, dict[str, Any]] = {}
    whole: list[dict[str, Any]] = []
    for _, container in workload.containers():
        for entry in container.get("env") or ():
            _take(entry, taken, given)
        for source in container.get("envFrom") or ():
            if isinstance(source, dict) and "secretRef" in source and source not in whole:
                whole.append(source)
    own = [{"name": name, "value": value} for name, value in _SETTINGS.items()]
    found: dict[str, Any] = {"env": [*own, *taken.values()]}
    if whole:
        found["envFrom"] = whole
    return found


def _take(entry: dict[str, Any], taken: dict[str, dict[str, Any]], given: Collection[str]) -> None:
    name, source = entry.get("name"), entry.get("valueFrom")
    if not isinstance(name, str) or not _PLAIN.fullmatch(name) or name in _SETTINGS:
        return
    if name in given or name.startswith(("LD_", "PYTHON", "EGRESSGUARD_")):
        return
    secret = isinstance(source, dict) and "secretKeyRef" in source
    if isinstance(source, dict) and not any(each in source for each in _SOURCES):
        return  # of the pod itself: fieldRef and the like
    if not secret and not _TELLING.search(name):
        return
    number, wanted = 1, name
    while wanted in taken and taken[wanted] | {"name": name} != entry:  # another container's
        number += 1
        wanted = f"{name}_{number}"
    taken[wanted] = entry | {"name": wanted}
