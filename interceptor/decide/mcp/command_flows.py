"""What goes from one command of a text to another: fetched and run, read and sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from interceptor.decide.mcp.paths import Paths
from interceptor.decide.shell.commands import SHELLS, Command
from interceptor.decide.shell.expansion import UNKNOWN

_FETCHES: Final = frozenset(("curl", "wget", "aria2c", "fetch", "lynx", "http", "https"))
_RUNS: Final = SHELLS | {
    "eval",
    "source",
    ".",
    "python",
    "python3",
    "perl",
    "ruby",
    "node",
    UNKNOWN,
}
_SENDS: Final = frozenset((
    "curl", "wget", "nc", "ncat", "netcat", "socat", "telnet", "mail", "sendmail", "mutt", "scp",
    "sftp", "rsync", "ftp", "http", "https", "dig", "nslookup", "host", "ping", "openssl", "ssh",
))  # fmt: skip
_QUIET: Final = frozenset((
    "", "ls", "test", "[", "[[", "rm", "touch", "mkdir", "chmod", "chown", "stat", "git", "docker",
    "kubectl", "npm", "export", "echo", "printf", "ssh-keygen", "ssh-add", "cd", "find",
))  # fmt: skip
_PRINTS: Final = re.compile(
    r"^(?:env|printenv|export -p|declare -x|set)(?: |$)|^kubectl get secrets?\b.*-o|"
    r"^aws (?:sts|configure (?:get|export)|secretsmanager get|ssm get-param)|"
    r"^gcloud auth print|^gh auth token|^az account get-access|^vault (?:kv get|read)|^op read|"
    r"^pass show|^secret-tool lookup|^git credential fill|^security find-"
)
_PIECES: Final = re.compile(r"[=@:]")
_OUTPUT: Final = re.compile(r"\A-[A-Za-z]*[oO]\Z|\A--output(?:-document)?\Z")
_LENGTH: Final = 16_384


class Refused(msgspec.Struct, frozen=True, gc=False):
    """What a text does that is refused."""

    rule: str
    title: str
    kind: str


_LEAK: Final = Refused(
    "send-what-was-read",
    "Sends what a credential file or the environment holds to another machine",
    "exfiltration",
)


def leaks(found: Sequence[Command], paths: Paths) -> Refused | None:
    """Tell whether what is read from files of credentials goes to another machine."""
    readers: set[str] = set()
    files: set[str] = set()
    inside = False
    for command in found:
        words = command.words
        if command.name in _SENDS:
            if not readers.isdisjoint(command.before) or (
                inside and any(UNKNOWN in word for word in words)
            ):
                return _LEAK
            named = {_last(piece) for word in words for piece in _PIECES.split(word)}
            if not files.isdisjoint(named - {""}):
                return _LEAK
        reads = _PRINTS.search(" ".join((command.name, *words))[:_LENGTH]) is not None
        if not reads and command.name not in _QUIET:
            inputs = [to for sign, to in command.redirections if sign == "<"]
            reads = any(paths.within(word) for word in (*words, *inputs))
        reads = reads or not readers.isdisjoint(command.before)
        if reads:
            readers.add(command.name)
            inside = inside or command.within
            files.update(_last(to) for sign, to in command.redirections if ">" in sign)
            if command.name in ("cp", "mv", "tar", "zip", "base64", "gzip") and len(words) > 1:
                files.update(_last(word) for word in words if "." in word or "/" in word)
    return None


def fetched_and_run(found: Sequence[Command]) -> Refused | None:
    """Tell whether something is fetched and run by way of words or of a file."""
    fetched = False
    files: set[str] = set()
    for command in found:
        name = command.name
        if name in _FETCHES:
            fetched = fetched or command.within
            files.update(_written(command))
        elif fetched and name in _RUNS and (name == UNKNOWN or UNKNOWN in command.words):
            return Refused("fetch-and-run", "Runs what it has just fetched", "download")
        elif files:
            ran = {name} if name not in _RUNS else {_last(word) for word in command.words[:2]}
            if not files.isdisjoint(ran):
                return Refused("fetch-and-run", "Runs what it has just fetched", "download")
    return None


def _written(command: Command) -> list[str]:
    """Names of the files that a download is written to."""
    names = [to for sign, to in command.redirections if sign in (">", ">>", ">|")]
    words = command.words
    named = [words[at + 1] for at, word in enumerate(words[:-1]) if _OUTPUT.match(word)]
    if not named and (
        command.name == "wget" or any(word in ("-O", "-OL", "-LO") for word in words)
    ):
        named = [_last(word.partition("?")[0]) for word in words if "/" in word]
    return [_last(name) for name in (*names, *named) if _last(name) not in ("", "-", "null")]


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
