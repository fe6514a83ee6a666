"""The dialect of each protocol that policy can open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from interceptor.wire.dialect import Dialect, Irc, Raw, Redis
from interceptor.wire.mongodb import Mongodb
from interceptor.wire.mysql import Mysql
from interceptor.wire.postgres import Postgres
from interceptor.wire.replies import Ftp, Smtp
from interceptor.wire.ssh import Ssh
from interceptor.wire.starttls import Imap, Pop3

DIALECTS: Final[dict[str, Callable[[], Dialect]]] = {
    "ssh": Ssh,
    "smtp": Smtp,
    "imap": Imap,
    "pop3": Pop3,
    "ftp": Ftp,
    "irc": Irc,
    "postgres": Postgres,
    "mysql": Mysql,
    "redis": Redis,
    "mongodb": Mongodb,
    "any": Raw,
}
"""By the names of `interceptor.policy.schema.TcpService.protocol`."""
