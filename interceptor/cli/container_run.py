"""What `egressguard container run` and `attach` do: an engine's commands, and ours between them."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from interceptor.containers import engines, hook, plugging, seccomp, trust_files
from interceptor.containers.engines import Additions, Line
from interceptor.containers.inspection import GoneError, Process
from interceptor.containers.plugging import PlugError, Wish
from interceptor.evidence.place import default_path
from netns import trust
from netns.identity import Identity

_PATIENCE: Final = 60.0
"""Seconds in which a container that was started must be there."""
_STEP: Final = 0.005
_IT: Final = "CONTAINER"
_SECCOMP: Final = "seccomp.json"


def wish(
    name: str,
    policy: str | None,
    preset: str | None,
    evidence: str | None,
    run: str,
    line: Line | None,
) -> Wish:
    """What the gateway is to be asked for."""
    image = f"container {line.rest[0]}" if line else "container"
    return Wish(
        name,
        policy=str(Path(policy).absolute()) if policy else "",
        preset=preset or "",
        evidence=str(Path(evidence).absolute()) if evidence else "",
        user=image[:128],
        run=run,
    )


def evidence_of(wish: Wish) -> Path:
    """Where a guest's evidence goes."""
    return Path(wish.evidence) if wish.evidence else default_path(wish.name)


@dataclass(slots=True)
class Run:
    """One container, from its command line to its end."""

    line: Line
    wish: Wish
    who: Identity | None
    """Whom the engine runs as; None: as this process."""
    seccomp: str
    """Profile that ours begins with, where vsock leads out; empty: there is none."""

    def steps(self) -> Iterator[str]:
        """The engine's commands, in their order, for people; ours are comments."""
        line = self.line
        plugs = f"# egressguard looks at it, and plugs it as the guest {self.wish.name}"
        yield shlex.join(engines.create(line, self._additions(self._folder()), "PID-FILE"))
        if words := engines.init(line, _IT):
            yield from (shlex.join(words), plugs)
        if line.engine != "ctr":
            yield shlex.join(engines.start(line, _IT))
        if not words:
            yield plugs

    def carry_out(self) -> int:
        """Make, plug and start it, and, unless it is detached, wait for its end.

        Returns:
            The container's exit code, or the engine's.

        Raises:
            PlugError: nothing of it runs.
        """
        plugging.ask(self.wish.run, lambda gateway: gateway.status())
        folder = self._folder()
        try:
            folder.make()
            if self.seccomp and seccomp.vsock_leads_out():
                profile = seccomp.without_vsock(json.loads(Path(self.seccomp).read_bytes()))
                (folder.path / _SECCOMP).write_text(json.dumps(profile), "utf-8")
        except (OSError, ValueError) as error:
            raise PlugError(str(error)) from error
        lasting = False
        try:
            if self.line.engine == "ctr":
                code, lasting = self._by_ctr(folder)
            else:
                code, lasting = self._by_steps(folder)
            return code
        finally:
            if not lasting:
                folder.remove()

    def _folder(self) -> trust_files.Folder:
        return trust_files.Folder(self.wish.name)

    def _additions(self, folder: trust_files.Folder) -> Additions:
        profile = ""
        if self.seccomp and seccomp.vsock_leads_out():
            profile = str(folder.path / _SECCOMP)
        return Additions(folder.mounts(), trust.variables(), profile)

    def _by_steps(self, folder: trust_files.Folder) -> tuple[int, bool]:
        line = self.line
        made = self._engine(engines.create(line, self._additions(folder)), stdout=subprocess.PIPE)
        said = made.communicate()[0].decode("utf-8", "replace").split()
        if made.returncode or not said:
            return made.returncode or 125, False
        container = said[-1]
        detached = line.is_set("detach")
        done = False
        try:
            if words := engines.init(line, container):
                self._asked(words)
                self._plug(container, folder, running=False)
            started = self._engine(engines.start(line, container))
            try:
                if not engines.init(line, container):
                    self._plug(container, folder, running=True, alive=started)
                done = True
                return _wait(started), detached
            finally:
                if not done:
                    started.kill()
                    started.wait()
        finally:
            if not done:
                with contextlib.suppress(PlugError):
                    self._asked(engines.remove(line, container))
            elif not detached:
                with contextlib.suppress(PlugError):
                    plugging.unplug(self.wish.name, self.wish.run)

    def _by_ctr(self, folder: trust_files.Folder) -> tuple[int, bool]:
        line, detached = self.line, self.line.is_set("detach")
        with tempfile.TemporaryDirectory(prefix="egressguard-") as place:
            pid_file = Path(place, "pid")
            words = engines.create(line, self._additions(folder), str(pid_file))
            started = self._engine(words)
            done = False
            try:
                end = time.monotonic() + _PATIENCE
                while not (pid := _number(pid_file)):
                    if (code := started.poll()) is not None and not detached:
                        return code, False
                    if time.monotonic() > end:
                        raise PlugError("the container does not come up")
                    time.sleep(_STEP)
                with Process(pid) as process:
                    plug(process, self.wish, folder, "")
                done = True
                return _wait(started), detached
            finally:
                if not done:
                    with contextlib.suppress(PlugError):
                        self._asked(engines.remove(line, line.rest[1]))
                    started.kill()
                    started.wait()

    def _plug(
        self,
        container: str,
        folder: trust_files.Folder,
        *,
        running: bool,
        alive: subprocess.Popen[bytes] | None = None,
    ) -> None:
        """Plug the container when it is there."""
        end = time.monotonic() + _PATIENCE
        while True:
            said = self._asked(engines.inspect(self.line, container)).split()
            pid = int(said[0]) if said and said[0].isdigit() else 0
            if pid:
                break
            if alive is not None and alive.poll() is not None and not self.line.is_set("detach"):
                return  # it has ended already, and had no network
            if time.monotonic() > end:
                raise PlugError("the container does not come up")
            time.sleep(_STEP)
        config = said[1] if len(said) > 1 else ""
        try:
            with Process(pid) as process:
                plug(process, self.wish, folder, config, running=running)
        except GoneError:
            if not running:
                raise PlugError("the container has ended before it was started") from None

    def _engine(self, words: Sequence[str], **more: Any) -> subprocess.Popen[bytes]:
        return _engine(words, self.who, **more)

    def _asked(self, words: Sequence[str]) -> str:
        return _asked(words, self.who)


def attach(line: Line, container: str, pid: int, wish: Wish, who: Identity | None) -> str:
    """Plug a container that runs.

    Args:
        line: names the engine.
        container: its name or id there.
        pid: its first process instead; 0: the engine is asked.
        wish: see there.
        who: whom the engine is asked as.

    Returns:
        The certificate of its authority, PEM.

    Raises:
        PlugError: it was not plugged, and is as it was.
    """
    config = ""
    if not pid:
        said = _asked(engines.inspect(line, container), who).split()
        pid = int(said[0]) if said and said[0].isdigit() else 0
        if not pid:
            raise PlugError(f"{container} does not run")
        config = said[1] if len(said) > 1 else ""
    try:
        with Process(pid) as process:
            return plug(process, wish, None, config)
    except GoneError as error:
        raise PlugError(str(error)) from error


def plug(
    process: Process,
    wish: Wish,
    folder: trust_files.Folder | None,
    config: str,
    *,
    running: bool = True,
) -> str:
    """Look at a container, plug it, and fill its folder.

    Args:
        process: its first one.
        wish: see there.
        folder: files that it has been given, if it has.
        config: path of its OCI configuration; empty: the engine shows none.
        running: its own program runs already.

    Raises:
        PlugError: it was not plugged.
        GoneError: it has ended.
    """
    try:
        found = []
        if config:
            bundle = str(Path(config).parent)
            found += hook.faults(hook.read_config(config), process, bundle)
        found += process.faults(running=running)
        plugging.refuse(list(dict.fromkeys(found)))
        certificate = plugging.plug(process, wish)
        if folder is not None:
            folder.fill(certificate)
    except OSError as error:
        raise PlugError(str(error)) from error
    return certificate


def _process(pid: int) -> Process:
    return Process(pid)


def _number(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text("ascii"))
    return 0


def _wait(program: subprocess.Popen[bytes]) -> int:
    """Wait for the engine's client, which gets our signals; its exit code."""

    def forward(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            program.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)  # the terminal's own way
    try:
        code = program.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _engine(words: Sequence[str], who: Identity | None, **more: Any) -> subprocess.Popen[bytes]:
    if who is not None:
        more |= {"user": who.uid, "group": who.gid, "extra_groups": who.groups}
        more |= {"env": _environment(who), "cwd": who.home or "/"}
    try:
        return subprocess.Popen(list(words), **more)
    except OSError as error:
        raise PlugError(f"{words[0]}: {error.strerror}. Fix: install it") from error


def _asked(words: Sequence[str], who: Identity | None) -> str:
    """Run a command of the engine's that says something; raises PlugError where it fails."""
    asked = _engine(words, who, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE)  # fmt: skip
    told, complained = asked.communicate()
    if asked.returncode:
        why = complained.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise PlugError(f"{' '.join(words[:2])}...: {why or asked.returncode}")
    return told.decode("utf-8", "replace").strip()


def _environment(who: Identity) -> dict[str, str]:
    """The environment of a user's engine: their own places, nothing of root's."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ}
    runtime = f"/run/user/{who.uid}"
    if os.path.isdir(runtime):  # noqa: PTH112
        kept["XDG_RUNTIME_DIR"] = runtime
    return kept | {"HOME": who.home, "USER": who.name, "LOGNAME": who.name}
