"""What follows from what was found, and how a probe that fails is told."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from interceptor.cli import doctor
from netns import probe, remedies
from netns.probe import CAPTIVE_ROOT, CAPTIVE_ROOTLESS, Feature, Need, choose, try_apart


def machine(*missing: str) -> list[Feature]:
    needs = {
        CAPTIVE_ROOT: Need.ROOT,
        CAPTIVE_ROOTLESS: Need.ROOTLESS,
        "no limit on user namespaces": Need.ROOTLESS,
        "bubblewrap": Need.BOTH,
        "Landlock": Need.BETTER,
        probe.NFT_QUEUE: Need.BETTER,
        probe.IPTABLES_QUEUE: Need.BETTER,
        "io_uring": Need.INFORMATION,
    }
    return [
        Feature(name, need, present=name not in missing, detail="d", fix="f")
        for name, need in needs.items()
    ]


@pytest.mark.parametrize(
    ("missing", "root", "mode"),
    [
        ((), True, "sudo"),
        ((), False, "rootless"),
        ((CAPTIVE_ROOT,), False, "rootless"),
        ((CAPTIVE_ROOT,), True, "none"),
        ((CAPTIVE_ROOTLESS,), True, "sudo"),
        ((CAPTIVE_ROOTLESS,), False, "none"),
        (("no limit on user namespaces",), False, "rootless"),  # it works all the same
        (("bubblewrap",), True, "none"),
        (("bubblewrap",), False, "none"),
        (("Landlock", "io_uring", probe.NFT_QUEUE, probe.IPTABLES_QUEUE), True, "sudo"),
    ],
)
def test_what_is_missing_decides_for_whom_a_jail_runs(
    missing: tuple[str, ...], root: bool, mode: str
) -> None:
    choice = choose(machine(*missing), root=root)
    assert (choice.mode, choice.runs) == (mode, mode != "none")
    if mode == "none":
        assert missing[0] in choice.mode_reason


def test_nothing_found_means_nothing_runs() -> None:
    assert not choose([], root=True).runs


@pytest.mark.parametrize(
    ("missing", "queue"),
    [
        ((), probe.NFT_QUEUE),
        ((probe.NFT_QUEUE,), probe.IPTABLES_QUEUE),
        ((probe.NFT_QUEUE, probe.IPTABLES_QUEUE), ""),
    ],
)
def test_the_queue_that_the_kernel_offers_is_named(missing: tuple[str, ...], queue: str) -> None:
    assert choose(machine(*missing), root=True).queue == queue


def test_a_probe_that_works_carries_its_answer() -> None:
    assert try_apart(lambda: "seen") == "seen"


def test_a_probe_that_fails_says_why() -> None:
    def fails() -> str:
        raise OSError("no such thing")

    with pytest.raises(OSError, match="no such thing"):
        try_apart(fails)


def test_a_probe_that_hangs_or_dies_is_a_failure() -> None:
    def hangs() -> str:
        signal.pause()
        return "never"

    def dies() -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"

    with pytest.raises(OSError, match="no answer"):
        try_apart(hangs, seconds=1)
    with pytest.raises(OSError, match="no answer"):
        try_apart(dies)


@pytest.mark.parametrize(("mode", "code"), [("sudo", 0), ("none", 1)])
def test_doctor_ends_with_0_when_a_jail_can_run_and_1_when_not(
    monkeypatch: pytest.MonkeyPatch, mode: str, code: int
) -> None:
    found = machine() if mode == "sudo" else machine("bubblewrap")
    monkeypatch.setattr(doctor, "probe", lambda: found)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for arguments in ([], ["--json"]):
        ended = CliRunner().invoke(doctor.command, arguments)
        assert ended.exit_code == code, ended.output
    answer = json.loads(ended.output)
    assert answer["choice"]["mode"] == mode
    assert msgspec.convert(answer["features"], list[Feature]) == found


def test_doctor_does_not_read_markup_in_what_programs_say(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Feature("nft", Need.BOTH, present=False, detail="[/red] [link=x]y", fix="[bold]z")
    monkeypatch.setattr(doctor, "probe", lambda: [*machine(), odd])
    said = CliRunner().invoke(doctor.command, [], env={"COLUMNS": "200"})
    assert said.exit_code == 1
    assert "[/red] [link=x]y" in said.output
    assert "[bold]z" in said.output


def sysctls(root: Path, **values: str) -> Path:
    for name, value in values.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    return root


def test_the_setting_that_restricts_user_namespaces_is_named(tmp_path: Path) -> None:
    root = sysctls(
        tmp_path,
        kernel__apparmor_restrict_unprivileged_userns="1",
        kernel__unprivileged_userns_clone="1",
        user__max_user_namespaces="0",
    )
    assert remedies.user_namespace_limits(root) == [
        (
            "kernel.apparmor_restrict_unprivileged_userns=1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user.max_user_namespaces=0", "sudo sysctl -w user.max_user_namespaces=10000"),
    ]
    assert remedies.user_namespace_limits(tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("step", "number", "rootless", "expected"),
    [
        ("namespace", 1, True, "apparmor_restrict_unprivileged_userns=0"),
        ("addresses", 1, True, "apparmor_restrict_unprivileged_userns=0"),
        ("namespace", 1, False, "sudo"),
        ("rules", 0, True, "modprobe"),
        ("nft", 2, True, "apt-get install nftables"),
        ("listeners", 98, False, "doctor"),
    ],
)
def test_every_failure_has_a_remedy(
    tmp_path: Path, step: str, number: int, rootless: bool, expected: str
) -> None:
    root = sysctls(tmp_path, kernel__apparmor_restrict_unprivileged_userns="1")
    assert expected in remedies.remedy(step, number, rootless=rootless, root=root)
