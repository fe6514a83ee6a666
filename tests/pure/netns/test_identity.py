"""Who the agent runs as."""

from __future__ import annotations

import os
import pwd

import pytest

from netns.identity import IdentityError, resolve

SUDO = {"SUDO_UID": "61000", "SUDO_GID": "61001"}


def test_sudo_gives_the_invoking_user() -> None:
    who = resolve(None, SUDO, euid=0, egid=0)
    assert (who.uid, who.gid, who.groups) == (61000, 61001, (61001,))
    assert (who.name, who.home, who.shell) == ("61000", "", "/bin/sh")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"SUDO_UID": "0", "SUDO_GID": "0"},
        {"SUDO_UID": "x", "SUDO_GID": "1"},
        {"SUDO_UID": "61000"},
        {"SUDO_UID": "-5", "SUDO_GID": "1"},
        {"SUDO_UID": "4294967295", "SUDO_GID": "1"},
        {"SUDO_UID": "61000", "SUDO_GID": "4294967295"},
    ],
)
def test_root_alone_is_asked_whom(environ: dict[str, str]) -> None:
    with pytest.raises(IdentityError) as caught:
        resolve(None, environ, euid=0, egid=0)
    assert caught.value.exit_code == 2


def test_explicit_root_is_allowed_without_its_groups() -> None:
    who = resolve("root", {}, euid=0, egid=0)
    assert (who.uid, who.gid, who.groups) == (0, 0, (0,))


def test_names_and_numbers() -> None:
    nobody = pwd.getpwnam("nobody")
    by_name = resolve("nobody", SUDO, euid=0, egid=0)
    by_number = resolve(str(nobody.pw_uid), SUDO, euid=0, egid=0)
    assert by_name == by_number
    assert by_name.shell == "/bin/sh"  # nologin starts nothing
    both = resolve("61000:61002", {}, euid=0, egid=0)
    assert (both.uid, both.gid) == (61000, 61002)


@pytest.mark.parametrize(
    "user",
    ["nosuch-user", "", "61000", "nobody:5", "1:x", "1:", "4294967295:1", "1:4294967295", "a\0b"],
)
def test_what_cannot_be_used_says_why(user: str) -> None:
    with pytest.raises(IdentityError, match="--user"):
        resolve(user, SUDO, euid=0, egid=0)


def test_without_root_one_stays_who_one_is() -> None:
    assert resolve(None, SUDO, euid=61005, egid=61006).uid == 61005
    with pytest.raises(IdentityError, match="sudo"):
        resolve("root", {}, euid=61005, egid=61006)


def test_powerful_groups_are_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {70001: "docker", 70002: "team", 61000: "me"}

    class Group:
        def __init__(self, name: str) -> None:
            self.gr_name = name

    entry = pwd.struct_passwd(("me", "x", 61000, 61000, "", "/nonexistent", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: entry)
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, *names])
    monkeypatch.setattr("netns.identity.grp.getgrgid", lambda gid: Group(names[gid]))
    assert resolve("me", {}, euid=0, egid=0).groups == (61000, 70002)
