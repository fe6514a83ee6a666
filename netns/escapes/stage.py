"""A throw-away outside for `egressguard self-test`: jails run in it and oracles listen.

A process of its own, `python -m netns.escapes.stage PLAN`. It leaves the machine's network, mounts,
processes and IPC behind before anything else happens; every address there is is its own, so that no
packet can go anywhere. When it ends, the kernel takes everything back. In a user namespace of its
own it does the same without root.

It writes a line of JSON for each result to stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from netns import launch, namespaces
from netns.escapes import furniture
from netns.escapes.attempts import all_local
from netns.escapes.channel import Channel, Evidence, PlayError
from netns.escapes.furniture import Furniture
from netns.escapes.play import Player
from netns.escapes.surroundings import HOST_V4, LAN_LINK, enter, mounts, network

_PLACE: Final = Path("/tmp/egressguard-self-test")  # noqa: S108 - of our own mount namespace
_SPOOLS: Final = ("/var/spool/cron", "/var/spool/at")
_TCP_PORTS: Final = (22, 25, 80, 443, 853, 4444, 8080)


class Plan(msgspec.Struct, kw_only=True):
    """What the command asks of the stage."""

    command: tuple[str, ...]
    """What starts egressguard."""
    keep: tuple[str, ...]
    """Directories that must stay visible."""
    uid: int
    gid: int
    """Whom the agent runs as."""
    rootless: bool


class _Stage:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._work = str(_PLACE / "work")
        self._sockets = furniture.streams(plan.uid, self._work, "")
        self._undo = contextlib.ExitStack()
        self._errors = _PLACE / "errors"
        self._marker = f"loot-{secrets.token_hex(8)}"
        self._registered = f"policy-{secrets.token_hex(8)}"

    # --- the outside

    def furnish(self) -> None:
        """Dress the mount namespace and the network namespace."""
        mounts(self._plan.keep)
        network()
        plan = self._plan
        for folder in (_PLACE, Path(self._work), _PLACE / "drop"):
            folder.mkdir()
        own = Path(f"/run/user/{plan.uid}")
        own.mkdir(parents=True)
        for folder in (Path(self._work), own):
            self._give(folder)
        (_PLACE / "drop").chmod(0o1777)
        if Path("/var/spool").is_mount():
            for spool in _SPOOLS:
                Path(spool).mkdir()
                Path(spool).chmod(0o1777)
        bundle = Path(self._work, "bundle")
        bundle.mkdir()
        self._runner = furniture.bundle(bundle)
        self._interpreter = launch.interpreter()
        self._helpers = furniture.helpers(Path(self._work), self._interpreter)
        self._left_open = _PLACE / "left-open"
        self._shm = Path("/dev/shm/egressguard-escape")  # noqa: S108
        self._stand_in = _PLACE / "other-evidence.jsonl"
        self._policy = _PLACE / f"{self._registered}.yaml"
        self._policy.write_text(f"# {self._marker}\nversion: 1\n")
        self._policy.chmod(0o600)
        self._stand_in.write_text(f"{self._marker}\n")
        self._stand_in.chmod(0o600)
        self._left_open.touch()
        self._shm.touch()
        self._shm.chmod(0o666)
        if not plan.rootless:
            os.chown(_PLACE / "drop", plan.uid, plan.gid)
        with contextlib.suppress(OSError):  # in a user namespace only its own numbers count
            span = f"{plan.gid} {plan.gid}" if plan.rootless else "0 2147483647"
            Path("/proc/sys/net/ipv4/ping_group_range").write_text(span)

    def _give(self, path: Path) -> None:
        if not self._plan.rootless:
            os.chown(path, self._plan.uid, self._plan.gid)

    def oracle(self) -> tuple[Channel, Furniture, dict[str, Any]]:
        """Start the oracle."""
        plan = self._plan
        wanted = Furniture(
            streams=self._sockets,
            datagrams={"log": f"{self._work}/log.sock"},
            packets={"work-packet": f"{self._work}/packet.sock"},
            abstract=furniture.ABSTRACT,
            tcp=_TCP_PORTS,
            files=(
                str(_PLACE / "drop"),
                str(self._left_open),
                str(self._shm),
                str(self._stand_in),
                *self._evidence_files(),
                *_SPOOLS,
            ),
            ipc=furniture.drawn_ipc_key(),
            queue="/egressguard-escape",
            key=f"egressguard-escape-{self._marker[5:13]}",
            victims=(plan.uid,) if plan.rootless else tuple({plan.uid: 0, 0: 0}),
            owner=plan.uid,
        )
        command = furniture.module("netns.escapes.oracle")
        channel = self._started([*command, msgspec.json.encode(wanted).decode()], "the oracle")
        return channel, wanted, channel.hear()

    def _evidence_files(self) -> tuple[str, ...]:
        return tuple(str(_PLACE / f"{mode}.jsonl") for mode in ("user", "root", "rootless"))

    def _started(
        self,
        command: list[str],
        name: str,
        *,
        change: Callable[[], None] | None = None,
        env: Mapping[str, str] | None = None,
        keep: tuple[int, ...] = (),
        uid: int | None = None,
        cwd: str | None = None,
    ) -> Channel:
        errors = self._undo.enter_context(self._errors.open("ab"))
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            pass_fds=keep,
            preexec_fn=change,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )
        return Channel(process, name, self._errors)

    # --- runners

    def control(self, who: str, world: Mapping[str, Any], left_open: int) -> Channel:
        """Start a runner beside the jail."""
        plan = self._plan
        change = _without_capabilities if plan.rootless and who == "user" else None
        uid = plan.uid if who == "user" and not plan.rootless else None
        channel = self._started(
            [self._interpreter, "-I", "-S", str(self._runner)],
            f"the control ({who})",
            change=change,
            env=furniture.environment(world["sockets"]),
            keep=(left_open,),
            uid=uid,
            cwd=self._work,
        )
        channel.ask(world)
        return channel

    def jail(self, mode: str, left_open: int) -> Channel:
        """Start a jail with a runner in it; it waits for the world."""
        plan = self._plan
        who = {"user": f"{plan.uid}:{plan.gid}", "root": "0", "rootless": ""}[mode]
        options = ["--user", who] if who else ["--rootless"]
        options += ["--home", "private", "--quiet", "--name", f"self-test-{mode}"]
        options += ["--policy", str(self._policy), "--evidence", str(_PLACE / f"{mode}.jsonl")]
        runner = [self._interpreter, "-I", "-S", str(self._runner)]
        return self._started(
            [*plan.command, "jail", *options, "--", *runner],
            f"the jail ({mode})",
            change=_without_capabilities if plan.rootless else None,
            env=furniture.environment(self._sockets),
            keep=(left_open,),
            cwd=self._work,
        )

    def play(self) -> Iterator[dict[str, Any]]:
        """Play everything; yields lines for stdout."""
        plan = self._plan
        modes = ("rootless",) if plan.rootless else ("user", "root")
        oracle, wanted, told = self.oracle()
        left_open = os.open(self._left_open, os.O_WRONLY | os.O_APPEND)
        # Sockets have to be there before the jail looks which to hide; see threat-model.md.
        jails = {mode: self.jail(mode, left_open) for mode in modes}
        yield {"faults": told["faults"]}
        public = {"public4": "11.22.33.66", "public6": "2d00:77::66", "lan4": "10.0.0.5"}
        public |= {"lan6": "fd12:3456:789a::5", "metadata4": "169.254.169.254"}
        world = furniture.world(
            wanted,
            told,
            **public,
            metadata6="fd00:ec2::254",
            host4=HOST_V4,
            source4=HOST_V4,
            neighbour4="192.168.78.9",
            loopback4="127.0.0.1",
            loopback6="::1",
            broadcast4="255.255.255.255",
            device=LAN_LINK,
            drop=str(_PLACE / "drop"),
            walk=["/run", "/tmp", "/var/tmp"],  # noqa: S108
            shm=str(self._shm),
            cron="/var/spool/cron/egx-NONCE",
            at="/var/spool/at/egx-NONCE",
            product=[*plan.keep],
            **{"drop-file": str(_PLACE / "drop" / "egx-NONCE")},
            **self._helpers,
        )
        beside = {"evidence": str(self._stand_in), "policy": str(self._policy)}
        beside["registry"] = str(_registry())
        loot = [
            self._marker,
            self._registered,
            *(victim["secret"] for victim in told["victims"].values()),
        ]
        player = Player(lambda nonces: dict(oracle.ask({"nonces": nonces})["found"]), loot)
        attempts = [each for each in all_local() if not each.loads]
        controls = {
            who: self.control(who, {**world, **beside}, left_open) for who in ("user", "root")
        }
        for mode, jail in jails.items():
            jail.say({**world, "evidence": str(_PLACE / f"{mode}.jsonl"), **_same(beside)})
        for mode, jail in jails.items():
            jail.hear(60.0)
            # Connections and packets go the same way whoever makes them.
            chosen = [each for each in attempts if mode != "root" or not each.event]
            evidence = Evidence(_PLACE / f"{mode}.jsonl")
            results = player.play(
                chosen,
                mode=mode,
                jail=jail,
                controls=controls,
                evidence=evidence,
            )
            yield {"jail": mode, "code": jail.close()}
            player.match(results, evidence, world)
            for result in results:
                yield {"result": msgspec.to_builtins(result)}
        for channel in controls.values():
            channel.close()
        oracle.close()
        yield {"done": True}


def _same(beside: Mapping[str, str]) -> dict[str, str]:
    return {name: path for name, path in beside.items() if name != "evidence"}


def _registry() -> Path:
    from netns.registry import default_directory

    return default_directory()


def _without_capabilities() -> None:
    namespaces.drop_capabilities()


def main() -> None:
    """Enter, furnish, play."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    try:
        enter(rootless=plan.rootless)
        stage = _Stage(plan)
        stage.furnish()
        for line in stage.play():
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
    except (OSError, PlayError) as error:
        sys.stdout.write(json.dumps({"failed": str(error)}) + "\n")
        sys.stdout.flush()
        sys.exit(70)


if __name__ == "__main__":
    main()
