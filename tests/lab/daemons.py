"""The lab's daemons: gRPC, WebSocket, MCP, mail, ssh, databases. Each starts once for each lab.

gRPC, WebSocket, MCP and mail run in the clients' environment; the others are the system's, or what
scripts/lib/clients.sh unpacked because installing them would start them on the machine.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import daemon, git_server, world
from tests.lab.clients import LIBRARIES, install_python_clients, no_environment
from tests.lab.daemon import Daemon
from tests.lab.programs import ROOT, LabError, search_path

if TYPE_CHECKING:
    from tests.lab.host import Lab

_SERVERS = ROOT / "tests" / "lab" / "servers"
PASSWORD = "an-honest-password"
"""Of the database's user `dev`."""


def grpc(lab: Lab) -> Daemon:
    """grpc.example.com: TLS on 443, in clear on 80 and 50051."""
    return _python(lab, "grpc", world.GRPC)


def websocket(lab: Lab) -> Daemon:
    """ws.example.com: TLS on 443 and 8443, in clear on 80."""
    return _python(lab, "websocket", world.WEBSOCKET)


def mcp(lab: Lab) -> Daemon:
    """mcp.example.com: TLS on 443, in clear on 80; see servers/mcp_server.py for its paths."""
    return _python(lab, "mcp", world.MCP)


def mail(lab: Lab) -> Daemon:
    """mail.example.com: SMTP on 25, 587 and (TLS) 465, IMAP on 143 and (TLS) 993, POP3, FTP."""
    return _python(lab, "mail", world.MAIL)


def _python(lab: Lab, name: str, addresses: tuple[str, ...]) -> Daemon:
    if name in lab.daemons:
        return lab.daemons[name]
    install_python_clients(lab)
    host = {"websocket": "ws.example.com"}.get(name, f"{name}.example.com")
    key, certificate = daemon.certificate(lab, host, f"{world.STATE}/{name}")
    program = [LIBRARIES, "-u", str(_SERVERS / f"{name}_server.py"), key, certificate, *addresses]
    places = [(address, port) for address in addresses for port in world.DAEMON_PORTS[address]]
    return daemon.start(lab, name, program, places)


_SSHD = """ListenAddress {v4}
ListenAddress {v6}
HostKey {state}/host_key
AuthorizedKeysFile {state}/authorized_keys
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
LogLevel VERBOSE
"""


def ssh(lab: Lab) -> Daemon:
    """git.example.com:22, user `git`; the lab's user has the key and knows the host.

    The repository of `git_server` is `ssh://git@git.example.com/run/lab/git/demo.git`.
    """
    if "ssh" in lab.daemons:
        return lab.daemons["ssh"]
    program = _program("sshd", "openssh-server", "/usr/sbin", "usr/sbin")
    state = f"{world.STATE}/ssh"
    place, home = lab.path(state), lab.path(f"{world.DEV_HOME}/.ssh")
    place.mkdir(mode=0o755, exist_ok=True)
    home.mkdir(mode=0o700, exist_ok=True)
    with lab.path("/etc/passwd").open("a") as accounts:
        accounts.write(f"git:x:4243:65534::{state}:/bin/sh\n")
        if "sshd:" not in lab.path("/etc/passwd").read_text():
            accounts.write("sshd:x:4245:65534::/run/sshd:/usr/sbin/nologin\n")
    lab.path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    keys = (f"{state}/host_key", f"{world.DEV_HOME}/.ssh/id_ed25519")
    for key in keys:
        _do(lab, ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    host_key = lab.path(keys[0] + ".pub").read_text()
    (home / "known_hosts").write_text(f"git.example.com {host_key}")
    shutil.copy(lab.path(keys[1] + ".pub"), place / "authorized_keys")
    for path in (home, *home.iterdir()):
        os.chown(path, world.DEV_UID, world.DEV_UID)
    v4, v6 = world.GIT
    configuration = _SSHD.format(v4=v4, v6=v6, state=state)
    helpers = daemon.unpacked("openssh-server") / "usr/lib/openssh"
    if (helpers / "sshd-session").exists():  # since OpenSSH 9.8 sshd is three programs
        configuration += f"SshdSessionPath {helpers}/sshd-session\n"
        if (helpers / "sshd-auth").exists():
            configuration += f"SshdAuthPath {helpers}/sshd-auth\n"
    (place / "sshd_config").write_text(configuration)
    command = [program, "-D", "-e", "-f", f"{state}/sshd_config"]
    lab.make_repository()
    _do(lab, ["chown", "-R", "git", f"{git_server.ROOT}/demo.git"])
    places = [(address, 22) for address in world.GIT]
    return daemon.start(lab, "ssh", command, places, env=daemon.libraries("openssh-server"))


_INITDB = "*/bin/initdb"
_POSTGRES = """listen_addresses = '{v4},{v6}'
unix_socket_directories = ''
ssl = on
ssl_key_file = '{key}'
ssl_cert_file = '{certificate}'
password_encryption = 'scram-sha-256'
log_statement = 'all'
log_connections = on
log_min_messages = info
fsync = off
"""


def postgres(lab: Lab) -> Daemon:
    """db.example.com:5432, TLS or not, user and database `dev`, SCRAM with `PASSWORD`.

    Its log has every statement.
    """
    if "postgres" in lab.daemons:
        return lab.daemons["postgres"]
    here = sorted(Path("/usr/lib/postgresql").glob(_INITDB))
    if here:  # the client alone has no initdb
        tools, libraries = here[-1].parent, {}
    else:
        found = sorted(daemon.unpacked("postgresql").glob(f"usr/lib/postgresql/{_INITDB}"))
        if not found:
            raise LabError("postgres is neither installed nor unpacked: run scripts/test")
        tools, libraries = found[-1].parent, daemon.libraries("postgresql")
    state = f"{world.STATE}/postgres"
    lab.path(state).mkdir(mode=0o700, exist_ok=True)
    os.chown(lab.path(state), world.DEV_UID, world.DEV_UID)
    (lab.path(state) / "password").write_text(PASSWORD + "\n")
    data = f"{state}/data"
    make = [str(tools / "initdb"), "-D", data, "-U", "dev", "-A", "scram-sha-256", "-N"]
    _do(lab, [*make, "--pwfile", f"{state}/password", "-E", "UTF8"], "dev", libraries)
    key, certificate = daemon.certificate(lab, "db.example.com", state, world.DEV_UID)
    v4, v6 = world.DATABASE
    configuration = _POSTGRES.format(v4=v4, v6=v6, key=key, certificate=certificate)
    with lab.path(f"{data}/postgresql.conf").open("a") as file:
        file.write(configuration)
    with lab.path(f"{data}/pg_hba.conf").open("a") as file:
        file.write("host all all all scram-sha-256\n")
    command = [str(tools / "postgres"), "-D", data]
    places = [(address, 5432) for address in world.DATABASE]
    return daemon.start(lab, "postgres", command, places, user="dev", env=libraries)


def redis(lab: Lab) -> Daemon:
    """cache.example.com: 6379 in clear, 6380 TLS. Its log has every command (MONITOR)."""
    if "redis" in lab.daemons:
        return lab.daemons["redis"]
    # The server is the program that redis-tools calls redis-check-rdb, under its own name.
    program = _program("redis-check-rdb", "redis-tools", "/usr/bin", "usr/bin")
    state = f"{world.STATE}/redis"
    key, certificate = daemon.certificate(lab, "cache.example.com", state)
    lab.path(f"{state}/redis-server").symlink_to(program)
    options = {
        "port": "6379",
        "tls-port": "6380",
        "tls-key-file": key,
        "tls-cert-file": certificate,
        "tls-ca-cert-file": certificate,
        "tls-auth-clients": "no",
        "protected-mode": "no",
        "dir": state,
        "appendonly": "no",
    }
    words = [word for option, value in options.items() for word in (f"--{option}", value)]
    words += ["--bind", *world.CACHE, "--save", ""]
    places = [(address, port) for address in world.CACHE for port in (6379, 6380)]
    daemon.start(lab, "redis-server", [f"{state}/redis-server", *words], places)
    watch = ["redis-cli", "-h", world.CACHE[0], "monitor"]
    watching = daemon.start(lab, "redis", watch, [])
    if not watching.wait_for("OK"):
        raise LabError(f"redis does not say what it is told: {watching.log()}")
    watching.clear()
    return watching


def missing(name: str) -> str:
    """Why a daemon cannot run here, or an empty text."""
    if name in ("grpc", "websocket", "mcp", "mail"):
        return no_environment()
    if name == "ssh":
        return _absent("sshd", "openssh-server") or _absent("ssh", "openssh-client")
    if name == "redis":
        return _absent("redis-check-rdb", "redis-tools")
    here = [*Path("/usr/lib/postgresql").glob(_INITDB)]
    here += [*daemon.unpacked("postgresql").glob(f"usr/lib/postgresql/{_INITDB}")]
    if not here:
        return "postgres is neither installed nor unpacked: run scripts/test"
    return _absent("psql", "postgresql-client")


def _absent(program: str, package: str) -> str:
    found = shutil.which(program, path=search_path())
    unpacked = daemon.unpacked(package).glob(f"usr/*bin/{program}")
    return "" if found or any(unpacked) else f"{program} is not installed: run scripts/test"


def _program(name: str, package: str, *places: str) -> str:
    """Path of a program: installed, or unpacked."""
    own = daemon.unpacked(package)
    for path in [Path(place) / name for place in places[:1]] + [own / places[1] / name]:
        if path.exists():
            return str(path)
    raise LabError(f"{name} is neither installed nor unpacked: run scripts/test")


def _do(
    lab: Lab, argv: list[str], user: str | None = None, env: dict[str, str | None] | None = None
) -> None:
    done = lab.run(argv, user=user, env=env)
    if done.returncode:
        raise LabError(f"{argv[0]}: {done.stderr.decode()}{done.stdout.decode()}")
