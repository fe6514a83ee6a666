"""MariaDB on db.example.com:3306, and its client where the lab's user and the jail see it.

Both are what scripts/lib/clients.sh unpacked: installing them would start a server.
"""

from __future__ import annotations

import itertools
import os
import shutil
from typing import TYPE_CHECKING

from tests.lab import daemon, world
from tests.lab.daemon import Daemon
from tests.lab.programs import LabError

if TYPE_CHECKING:
    from tests.lab.host import Lab

SERVER, CLIENT = "mariadb-server-core", "mariadb-client-core"
PASSWORD = "an-honest-password"
_STATE = f"{world.STATE}/mysql"
_HERE = f"{world.DEV_WORK}/mariadb"
_TABLES = ("mysql_system_tables", "mysql_performance_tables", "mysql_system_tables_data")


def missing() -> str:
    """Why it cannot run here, or an empty text."""
    found = (daemon.unpacked(SERVER) / "usr/sbin/mariadbd").exists()
    found = found and (daemon.unpacked(CLIENT) / "usr/bin/mariadb").exists()
    return "" if found else "mariadb is not unpacked: run scripts/test"


def client(*options: str) -> list[str]:
    """Argument vector of the client, as user `dev`."""
    words = ["env", f"LD_LIBRARY_PATH={_HERE}", f"{_HERE}/mariadb", "--no-defaults", "-N"]
    return [*words, "-h", "db.example.com", "-u", "dev", f"-p{PASSWORD}", *options]


def mysql(lab: Lab) -> Daemon:
    """Start it; TLS or not, user `dev` with `PASSWORD`. Its log has every statement."""
    if "mysql" in lab.daemons:
        return lab.daemons["mysql"]
    root = daemon.unpacked(SERVER)
    env = daemon.libraries(SERVER)
    lab.path(_STATE).mkdir(mode=0o755)
    key, certificate = daemon.certificate(lab, "db.example.com", _STATE, world.DEV_UID)
    share = root / "usr/share/mysql"
    tables = [(share / f"{name}.sql").read_text() for name in _TABLES]
    accounts = [
        "create database dev;",
        f"create user dev@'%' identified by '{PASSWORD}';",
        "grant all on dev.* to dev@'%';",
    ]
    start = "create database mysql;\nuse mysql;\n"
    lab.path(f"{_STATE}/tables.sql").write_text(start + "".join(tables))
    lab.path(f"{_STATE}/accounts.sql").write_text("\n".join(accounts) + "\n")
    lab.path(f"{_STATE}/data").mkdir(mode=0o700)
    for path in (lab.path(_STATE), *lab.path(_STATE).iterdir()):
        os.chown(path, world.DEV_UID, world.DEV_UID)
    program = [str(root / "usr/sbin/mariadbd"), "--no-defaults", f"--datadir={_STATE}/data"]
    program += [f"--lc-messages-dir={share}", f"--character-sets-dir={share}/charsets"]
    words = " ".join([*program, "--bootstrap", f"< {_STATE}/tables.sql"])
    made = lab.run(["sh", "-c", words], user="dev", env=env, where="internet")
    if made.returncode:
        raise LabError(f"mariadbd: {made.stdout.decode()}{made.stderr.decode()}")
    _bring_client(lab)
    v4, v6 = world.DATABASE
    program += [f"--init-file={_STATE}/accounts.sql", f"--bind-address={v4},{v6}", "--port=3306"]
    program += [f"--ssl-key={key}", f"--ssl-cert={certificate}", f"--socket={_STATE}/socket"]
    program += ["--general-log=1", f"--general-log-file={_STATE}/told", f"--pid-file={_STATE}/pid"]
    places = [(address, 3306) for address in world.DATABASE]
    daemon.start(lab, "mysql", program, places, user="dev", env=env)
    lab.daemons["mysql"] = told = Daemon(lab, f"{_STATE}/told")
    return told


def _bring_client(lab: Lab) -> None:
    """Copy the client and its library: what the jail hides is not seen by the agent."""
    root, place = daemon.unpacked(CLIENT), lab.path(_HERE)
    place.mkdir(mode=0o755)
    unpacked = (root.glob(f"{top}/*-linux-gnu*/lib*.so*") for top in ("usr/lib", "lib"))
    for file in (root / "usr/bin/mariadb", *itertools.chain.from_iterable(unpacked)):
        shutil.copy(file, place)
