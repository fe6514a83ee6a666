"""First use of `scripts/egressguard`: what it installs, what it says when it cannot.

Run as root in a mount namespace of their own, where `/var/lib/egressguard` is empty and nothing of
the machine's own set-up is touched.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = shlex.quote(str(ROOT / "scripts" / "egressguard"))

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a mount namespace of its own")


def fresh(script: str, *, network: bool) -> subprocess.CompletedProcess[str]:
    """Run a shell script where egressguard was never used."""
    prepare = (
        "mkdir -p /var/lib/egressguard /var/cache/egressguard\n"
        "mount -t tmpfs -o mode=755 none /var/lib/egressguard\n"
        "mount -t tmpfs -o mode=755 none /var/cache/egressguard\n"
    )
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if not network:
        unshare.append("--net")
    return subprocess.run(
        [*unshare, "sh", "-euc", prepare + script],
        env={**os.environ, "PIP_RETRIES": "0"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@as_root
@pytest.mark.registries
@pytest.mark.timeout(300)
def test_first_use_interrupted_damaged_and_twice_at_once() -> None:
    """One long conversation, because every installation takes some ten seconds."""
    done = fresh(
        f"""
        {SCRIPT} --version > /tmp/egressguard-first.$$ 2> /var/cache/egressguard/said & first=$!
        {SCRIPT} --version & second=$!
        wait $first; wait $second
        rm /tmp/egressguard-first.$$
        cat /var/cache/egressguard/said >&2
        echo both-ended
        set -- /var/lib/egressguard/venv-*; test $# = 1
        ls /var/cache/egressguard/rules-*.db
        find "$1" -maxdepth 0 -perm -o=rx | grep -q . && echo readable-by-all

        {SCRIPT} --version 2>&1
        echo quiet-ended

        rm -r "$1/lib/python3."*/site-packages/click "$1/.complete"
        {SCRIPT} --version 2>&1 | tail -n 1
        echo repaired

        rm "$1/bin/python"
        {SCRIPT} --version 2>&1 | tail -n 1
        echo rebuilt
        """,
        network=True,
    )
    if done.returncode == 125 or "offline" in done.stderr:
        pytest.skip(f"the package index cannot be reached: {done.stderr}")
    assert done.returncode == 0, done.stderr
    both, rest = done.stdout.split("both-ended\n")
    assert both == "egressguard 0.1.0\n"
    assert done.stderr.count("making the Python environment") == 1
    assert "waiting for another set-up to end" in done.stderr
    assert "  click==" in done.stderr
    assert "ready after" in done.stderr
    assert "readable-by-all" in rest
    assert "egressguard 0.1.0\nquiet-ended\n" in rest
    assert rest.endswith("egressguard 0.1.0\nrepaired\negressguard 0.1.0\nrebuilt\n")


@as_root
@pytest.mark.timeout(120)
def test_offline_is_said_and_is_125() -> None:
    """A network namespace without any link stands for a machine without a network."""
    done = fresh(f"code=0; {SCRIPT} --version || code=$?; echo code $code", network=False)
    assert done.stdout == "code 125\n", done.stderr
    assert "cannot install the Python packages of requirements/runtime.txt: offline" in done.stderr
    assert "/var/lib/egressguard/setup.log" in done.stderr
    assert "Traceback" not in done.stderr


@as_root
def test_a_full_disk_is_said_and_is_125() -> None:
    script = (
        "mount -o remount,size=64k /var/lib/egressguard\n"
        "head -c 65536 /dev/zero > /var/lib/egressguard/full || true\n"
        f"code=0; {SCRIPT} --version || code=$?; echo code $code"
    )
    done = fresh(script, network=False)
    assert done.stdout.endswith("code 125\n"), done.stderr
    assert "egressguard: cannot" in done.stderr


@as_root
def test_a_damaged_environment_names_its_fix() -> None:
    script = (
        "hash=$(sha256sum < requirements/runtime.txt | cut -c1-16)\n"
        "/usr/bin/python3 -m venv --without-pip /var/lib/egressguard/venv-$hash\n"
        "touch /var/lib/egressguard/venv-$hash/.complete\n"
        f"code=0; {SCRIPT} --version || code=$?; echo code $code"
    )
    done = fresh(f"cd {shlex.quote(str(ROOT))}\n{script}", network=False)
    assert "code 125" in done.stdout
    assert "No module named 'click'" in done.stderr
    assert "Fix: rm -r /var/lib/egressguard/venv-" in done.stderr
    assert "Traceback" not in done.stderr


def packages(names: str, path: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
    """Call ensure_packages with a PATH of our own."""
    setup = shlex.quote(str(ROOT / "scripts/lib/setup.sh"))
    return subprocess.run(
        ["/bin/sh", "-c", f"data=/nowhere; . {setup}; ensure_packages {names}"],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        user=user,
        cwd="/",
    )


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """A PATH with no apt-get on it."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("id", "grep", "readlink"):
        (directory / name).symlink_to(f"/usr/bin/{name}")
    tmp_path.chmod(0o755)
    return str(directory)


def test_what_is_there_is_not_installed(tools: str) -> None:
    done = packages("sh:dash grep:grep libc.so.6:libc6", f"{tools}:/usr/bin:/bin")
    assert (done.returncode, done.stderr) == (0, "")


def test_no_apt_is_said(tools: str) -> None:
    done = packages("nosuch-a:package-a libnosuch.so.1:package-b grep:grep", tools)
    assert done.returncode == 1
    assert "cannot install package-a package-b: this system has no apt-get" in done.stderr
    assert "Fix:" in done.stderr


def test_not_root_is_said() -> None:
    user = 65534 if os.geteuid() == 0 else None
    setup = ROOT / "scripts/lib/setup.sh"
    if user is not None and not all(parent.stat().st_mode & 0o001 for parent in setup.parents):
        pytest.skip("the checkout cannot be read by another user")
    done = packages("nosuch-a:package-a", "/usr/bin:/bin", user)
    assert done.returncode == 1
    if "no apt-get" not in done.stderr:
        assert "not root.  Fix: sudo apt-get install package-a" in done.stderr
