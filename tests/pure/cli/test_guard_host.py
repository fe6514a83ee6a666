"""What guard-host writes, and that it takes back all of it and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from interceptor.cli import guard_host, host_units
from interceptor.cli.host_units import HostError, Wanted

PROGRAM = ("/opt/egress guard/scripts/egressguard",)


def made(*units: str, spared: tuple[str, ...] = (), policy: str = "") -> dict[str, str]:
    variables = {"SSL_CERT_FILE": "/run/egressguard/ca-bundle.pem"}
    return host_units.files(Wanted(units, spared), PROGRAM, policy, variables)


def parsed(text: str) -> dict[str, list[tuple[str, str]]]:
    """Sections of a unit file; keys may come again (systemd.syntax(7))."""
    found: dict[str, list[tuple[str, str]]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(section, []).append((key, value))
    return found


def test_every_guarded_unit_starts_in_the_captive_namespace_or_not_at_all() -> None:
    files = made("runner.service", "agent@.service")
    drop_ins = {
        path: text
        for path, text in files.items()
        if path.endswith(".service.d/50-egressguard.conf")
    }
    names = {Path(path).parent.name.removesuffix(".d") for path in drop_ins}
    assert names == {*host_units.LOGINS, "runner.service", "agent@.service"}
    for text in drop_ins.values():
        unit = parsed(text)
        assert ("NetworkNamespacePath", host_units.NETWORK) in unit["Service"]
        assert ("Requires", host_units.UNIT) in unit["Unit"]
        assert ("After", host_units.UNIT) in unit["Unit"]
        hidden = [value for key, value in unit["Service"] if key == "InaccessiblePaths"]
        assert "-/run/docker.sock" in hidden
        assert all(value.startswith("-/") for value in hidden)  # those that are there


def test_the_namespace_is_made_before_anybody_logs_in() -> None:
    files = made(policy="/etc/egress guard.yaml")
    unit = parsed(files[f"/etc/systemd/system/{host_units.UNIT}"])
    assert ("Requires", "egressguard-gateway.service") in unit["Unit"]
    assert ("Before", "systemd-user-sessions.service") in unit["Unit"]
    (command,) = [value for key, value in unit["Service"] if key == "ExecStart"]
    assert command == (
        '"/opt/egress guard/scripts/egressguard" guard-host join --policy "/etc/egress guard.yaml"'
    )
    # In the machine's own mount namespace, or nobody else would see what it binds.
    private = ("Private", "Protect", "Bind", "ReadOnly", "Temporary", "Inaccessible", "RootD")
    assert not [key for key, _ in unit["Service"] if key.startswith(private)]


def test_units_may_be_spared_by_name() -> None:
    files = made(spared=("getty@.service",))
    assert not [path for path in files if "/getty@" in path]
    with pytest.raises(HostError, match="--except"):
        made(spared=("nobody.service",))


@pytest.mark.parametrize(
    "name", ["", "runner", "../x.service", "a b.service", "x.socket", "a/b.service"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(HostError, match="no name"):
        made(name)


def test_nobody_is_locked_out() -> None:
    server = "usr/lib/systemd/system/ssh.service"
    socket = "etc/systemd/system/sockets.target.wants/ssh.socket"
    assert {server, socket} <= set(host_units.looked_at())
    host_units.check_ssh(Wanted(), [])
    host_units.check_ssh(Wanted(), [server, socket])
    host_units.check_ssh(Wanted(spared=("ssh.service", "sshd.service")), [server])
    with pytest.raises(HostError, match=r"ssh\.socket"):
        host_units.check_ssh(Wanted(), [server])


def run(*words: str) -> Result:
    return CliRunner().invoke(guard_host.command, list(words), standalone_mode=False)


def test_install_and_remove_leave_a_machine_as_it_was(tmp_path: Path) -> None:
    other = tmp_path / "etc/systemd/system/cron.service.d/10-mine.conf"
    other.parent.mkdir(parents=True)
    other.write_text("[Service]\nNice=5\n")
    shown = run("install", "--root", str(tmp_path), "--unit", "runner.service", "--dry-run")
    assert shown.return_value == 0
    assert "NetworkNamespacePath=" in shown.output
    assert "root" in shown.output.lower()  # what root can undo is said
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == [other]
    assert run("install", "--root", str(tmp_path), "--unit", "runner.service").return_value == 0
    drop_in = tmp_path / "etc/systemd/system/runner.service.d/50-egressguard.conf"
    assert drop_in.read_text() == made("runner.service")[f"/{drop_in.relative_to(tmp_path)}"]
    assert drop_in.stat().st_mode & 0o777 == 0o644
    # Another installation, without that unit, takes its drop-in away.
    assert run("install", "--root", str(tmp_path)).return_value == 0
    assert not drop_in.exists()
    assert run("remove", "--root", str(tmp_path)).return_value == 0
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == [other]
    assert "Nothing" in run("remove", "--root", str(tmp_path)).output


def test_an_ssh_server_that_listens_by_itself_is_an_error(tmp_path: Path) -> None:
    unit = tmp_path / "usr/lib/systemd/system/ssh.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    assert run("install", "--root", str(tmp_path)).return_value == 2
    assert not (tmp_path / "etc").exists()


def test_status_says_that_nothing_is_guarded(tmp_path: Path) -> None:
    assert run("status", "--root", str(tmp_path)).return_value == 1


def test_variables_are_for_shells_and_for_services() -> None:
    files = made()
    line = 'SSL_CERT_FILE="/run/egressguard/ca-bundle.pem"\n'
    assert line in files["/etc/environment.d/50-egressguard.conf"]
    assert f"export {line}" in files["/etc/profile.d/egressguard.sh"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_reads_what_is_written(tmp_path: Path) -> None:
    assert run("install", "--root", str(tmp_path), "--unit", "runner.service").return_value == 0
    units = tmp_path / "etc/systemd/system"
    (units / "runner.service").write_text("[Service]\nExecStart=/bin/true\n")
    (units / "egressguard-gateway.service").write_text("[Service]\nExecStart=/bin/true\n")

    def said() -> str:
        command = ["systemd-analyze", "verify", str(units / "runner.service")]
        environment = {"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": os.environ["PATH"]}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return "\n".join(line for line in done.stderr.splitlines() if str(tmp_path) in line)

    assert said() == ""
    drop_in = units / "runner.service.d/50-egressguard.conf"
    drop_in.write_text(drop_in.read_text().replace("NetworkNamespacePath", "NetworkNamespacePth"))
    assert "NetworkNamespacePth" in said()  # the control
