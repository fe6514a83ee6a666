"""The lab as the outside: stand-ins on its host, sniffers on both networks, runners, jails."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from netns import launch
from netns.escapes import furniture
from netns.escapes.attempt import Attempt
from netns.escapes.attempts import all_local
from netns.escapes.channel import Channel, Evidence
from netns.escapes.furniture import Furniture
from netns.escapes.play import Player, Result
from tests.escape.attempts_files import in_the_home, in_the_work
from tests.escape.attempts_web import in_the_lab
from tests.lab import Lab
from tests.lab.agents import secret
from tests.lab.host_files import BUNDLE
from tests.lab.programs import JAIL_ENVIRONMENT, ROOT
from tests.lab.world import (
    ATTACKER,
    DEV_HOME,
    DEV_UID,
    DEV_WORK,
    GATEWAY_V4,
    HOST_LINK,
    HOST_V4,
    LAN_SERVER,
    METADATA,
    RESOLVER_V4,
    RESOLVER_V6,
)

SHARED = "/srv/egx"
_POLICY = """version: 1
upstream: {{ca_file: {bundle}}}
hosts: {{deny: [denied.example.com]}}
requests:
  - {{host: files.example.com, action: allow, methods: [GET], paths: [/public, /get]}}
  - {{host: files.example.com, action: deny}}
# {marker}
"""


class LabStage:
    """Everything outside, in a lab of its own. A context manager; needs root."""

    def __init__(self) -> None:
        self.lab = Lab()
        self.faults: list[str] = []
        self._undo = contextlib.ExitStack()
        self._marker = f"loot-{secrets.token_hex(8)}"
        self._registered = f"policy-{secrets.token_hex(8)}"
        # A secret of no known form, which only the agent's environment tells of.
        self._known = secrets.token_urlsafe(24)
        self._sockets = furniture.streams(DEV_UID, DEV_WORK, DEV_HOME)
        self._jails = 0

    def __enter__(self) -> LabStage:  # noqa: PYI034
        self.lab.start()
        self._undo.callback(self.lab.close)
        try:
            self._furnish()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    # --- set up

    def _furnish(self) -> None:
        lab = self.lab
        script = f"""
        mount -t tmpfs -o mode=755 tmpfs /srv
        mount -t tmpfs -o mode=1777 tmpfs /dev/shm
        mount -t tmpfs -o mode=755 tmpfs /var/spool
        mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null || true
        mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || true
        mkdir -m 1777 /var/spool/cron /var/spool/at {SHARED} /tmp/egx-drop
        mkdir {SHARED}/bundle
        sysctl -qw net.ipv4.ping_group_range='0 2147483647'
        touch {SHARED}/left-open /dev/shm/egx /var/log/other.jsonl
        chmod 666 {SHARED}/left-open /dev/shm/egx
        chmod 600 /var/log/other.jsonl
        echo {self._marker} > /var/log/other.jsonl
        mkdir -p {DEV_WORK}/.git/hooks {DEV_HOME}/.config {DEV_HOME}/bin
        touch {DEV_HOME}/.bashrc
        chown -R dev: {DEV_HOME}
        """
        done = lab.run(["sh", "-ec", script])
        assert done.returncode == 0, done.stderr
        furniture.bundle(lab.path(f"{SHARED}/bundle"))
        self._python = launch.interpreter()
        self._runner = f"{SHARED}/bundle/netns/escapes/runner.py"
        made = furniture.helpers(lab.path(SHARED), self._python)
        self._helpers = {name: f"{SHARED}/{Path(path).name}" for name, path in made.items()}
        self._policy = f"/etc/{self._registered}.yaml"
        text = _POLICY.format(bundle=BUNDLE, marker=self._marker)
        lab.path(self._policy).write_text(text)
        lab.path(self._policy).chmod(0o600)
        wanted = Furniture(
            streams=self._sockets,
            datagrams={"log": f"{SHARED}/log.sock"},
            packets={"work-packet": f"{DEV_WORK}/packet.sock"},
            abstract=furniture.ABSTRACT,
            files=(
                "/tmp/egx-drop",
                f"{SHARED}/left-open",
                "/dev/shm/egx",
                "/var/log/other.jsonl",
                "/var/spool/cron",
                "/var/spool/at",
                f"{DEV_HOME}/.bashrc",
                f"{DEV_HOME}/.config",
                f"{DEV_HOME}/bin",
                f"{DEV_HOME}/.mcp.json",
                f"{DEV_WORK}/.git/hooks",
            ),
            ipc=furniture.drawn_ipc_key(),
            queue="/egressguard-escape",
            key=f"egressguard-escape-{self._marker[5:13]}",
            victims=(DEV_UID, 0),
            owner=DEV_UID,
        )
        self._host = self._oracle(wanted, "host")
        told = self._host.hear()
        self._internet = self._oracle(Furniture(), "internet")
        self._internet.hear()
        self.faults = list(told["faults"])
        self._world = furniture.world(
            wanted,
            told,
            modules=["web"],
            public4="9.9.9.9",
            public6="2d00:99::1",
            attacker4=ATTACKER[0],
            lan4=LAN_SERVER,
            lan6="fd12:3456:789a::5",
            metadata4=METADATA[0],
            metadata6=METADATA[1],
            resolver4=RESOLVER_V4,
            resolver6=RESOLVER_V6,
            host4=HOST_V4,
            source4=HOST_V4,
            neighbour4=GATEWAY_V4,
            loopback4="127.0.0.1",
            loopback6="::1",
            broadcast4="255.255.255.255",
            device=HOST_LINK,
            drop="/tmp/egx-drop",
            walk=["/run", "/tmp", "/home", "/srv", "/var/spool"],
            shm="/dev/shm/egx",
            cron="/var/spool/cron/egx-NONCE",
            at="/var/spool/at/egx-NONCE",
            product=[str(ROOT), sys.prefix],
            planted=secret(),
            known=self._known,
            authority=lab.path(BUNDLE).read_text(),
            **{"drop-file": "/tmp/egx-drop/egx-NONCE"},
            **self._helpers,
        )
        self._beside = {"evidence": "/var/log/other.jsonl", "policy": self._policy}
        self._beside["registry"] = "/run/egressguard"
        loot = [
            self._marker,
            self._registered,
            *(victim["secret"] for victim in told["victims"].values()),
        ]
        self._player = Player(self.seen, loot)
        self.controls = {who: self.control(who) for who in ("user", "root")}

    def _oracle(self, wanted: Furniture, where: str) -> Channel:
        command = [*furniture.module("netns.escapes.oracle"), msgspec.json.encode(wanted).decode()]
        program = self.lab.popen(command, stdin=-1, stderr=None, where=where)
        channel = Channel(program, f"the oracle of the {where}")
        self._undo.callback(channel.close)
        return channel

    def _with_left_open(self, command: Sequence[str], descriptors: int = 1024) -> list[str]:
        """Start a command with one more descriptor, as a careless program would."""
        limit = f"ulimit -n {descriptors}; exec 7>>{SHARED}/left-open"
        return ["sh", "-c", f"{limit}; exec {shlex.join(command)}"]

    def control(self, who: str) -> Channel:
        """Start a runner beside the jails, as the agent's user or as root."""
        program = self.lab.popen(
            self._with_left_open([self._python, "-I", "-S", self._runner]),
            user="dev" if who == "user" else None,
            env=furniture.environment(self._sockets),
            cwd=DEV_WORK,
            stdin=-1,
            stderr=None,
        )
        channel = Channel(program, f"the control ({who})")
        channel.ask({**self._world, **self._beside})
        self._undo.callback(channel.close)
        return channel

    # --- jails

    def jail(
        self, mode: str, *options: str, evidence: str = "", descriptors: int = 1024
    ) -> tuple[Channel, Evidence, Path]:
        """Start a runner in a jail; returns it, its evidence, and the file of its messages."""
        self._jails += 1
        rootless = mode == "rootless"
        folder = DEV_HOME if rootless else "/var/log"
        evidence = evidence or f"{folder}/egx-{mode}-{self._jails}.jsonl"
        policy = self._policy
        if rootless:
            policy = f"{DEV_HOME}/{self._registered}.yaml"
            text = self.lab.path(self._policy).read_text()
            self.lab.path(policy).write_text(text)
        who = {"user": ["--user", "dev"], "root": ["--user", "root"], "rootless": ["--rootless"]}
        words = [*who[mode], "--policy", policy, "--evidence", evidence, *options]
        words += ["--name", f"{mode}-{self._jails}", "--env", "DEPLOY_TOKEN"]
        command = [sys.executable, "-m", "interceptor.cli.main", "jail", *words, "--"]
        messages = Path(f"/run/lab/messages-{self._jails}")
        errors = self._undo.enter_context(self.lab.path(str(messages)).open("wb"))
        program = self.lab.popen(
            self._with_left_open([*command, self._python, "-I", "-S", self._runner], descriptors),
            user="dev" if rootless else None,
            env={
                **JAIL_ENVIRONMENT,
                **furniture.environment(self._sockets),
                "DEPLOY_TOKEN": self._known,
                # The compiled rules, as an earlier jail would have left them.
                **({"XDG_CACHE_HOME": "/var/cache"} if rootless else {}),
            },
            # Root without capabilities cannot enter the home of another.
            cwd=SHARED if mode == "root" else DEV_WORK,
            stdin=-1,
            stderr=errors,
        )
        shown = self.lab.path(str(messages))
        channel = Channel(program, f"the jail ({mode})", shown)
        registry = f"/tmp/egressguard-{DEV_UID}" if rootless else "/run/egressguard"
        inside = {"evidence": evidence, "policy": policy, "registry": registry}
        channel.say({**self._world, **inside})
        channel.hear(60.0)
        return channel, Evidence(self.lab.path(evidence)), shown

    def play(self, mode: str, attempts: Sequence[Attempt], *options: str) -> list[Result]:
        """Play attempts in a jail; the evidence and the messages are looked at as well."""
        channel, evidence, messages = self.jail(mode, *options)
        results = self._player.play(
            attempts, mode=mode, jail=channel, controls=self.controls, evidence=evidence
        )
        code = channel.close(30.0)
        self._player.match(results, evidence, self._world)
        if code != 0:
            self.faults.append(f"the jail ({mode}) ended with {code}")
        if evidence.broken:
            self.faults.append(f"{mode}: {len(evidence.broken)} broken lines in the evidence")
        said = messages.read_bytes()
        if b"\x1b" in said or b"\x07" in said or b"Traceback" in said:
            self.faults.append(f"{mode}: terminal escapes, or a traceback, in what the jail said")
        return results

    def play_all(self) -> Iterator[Result]:
        """Play everything in every kind of jail."""
        local, web, home = list(all_local()), list(in_the_lab()), list(in_the_home())
        yield from self.play("user", [*local, *web])
        yield from self.play("root", [each for each in local if each.root_jail])
        # The same interceptor reads the same bodies; one bomb is enough.
        yield from self.play("rootless", [*local, *(each for each in web if each.id != "bomb")])
        yield from self.play("user", home, "--home", "private")
        yield from self.play("user", home, "--home", "ro")
        yield from self.play("user", home, "--home", "overlay")
        yield from self.play("user", list(in_the_work()), "--workdir", "ro")

    def without_a_jail(self, attempts: Sequence[Attempt]) -> list[Result]:
        """Play attempts in a jail that is none: what the suite must call escaped."""
        return self._player.play(
            attempts,
            mode="user",
            jail=self.control("user"),
            controls=self.controls,
            evidence=Evidence(Path("/nonexistent")),
        )

    def seen(self, nonces: Sequence[str]) -> dict[str, list[str]]:
        """Places of the whole lab at which nonces were seen."""
        found: dict[str, set[str]] = {}
        for channel, name in ((self._host, "host"), (self._internet, "internet")):
            for nonce, places in channel.ask({"nonces": nonces})["found"].items():
                for place in places:
                    shown = f"{name}'s network" if place == "packets" else place
                    found.setdefault(nonce, set()).add(shown)
        received = list(self._received())
        for nonce in nonces:
            text = nonce.encode()
            for place, data in received:
                if text in data:
                    found.setdefault(nonce, set()).add(place)
        return {nonce: sorted(places) for nonce, places in found.items()}

    def _received(self) -> Iterator[tuple[str, bytes]]:
        for request in self.lab.requests():
            words = [request.name, request.target, *(value for _, value in request.fields)]
            yield "web server", request.head + request.body + " ".join(words).encode()
        for arrival in self.lab.oracle.records():
            yield f"lab's oracle ({arrival.where})", arrival.data + arrival.plaintext
        for question in self.lab.dns_log():
            yield "resolver", question.name.encode()


def missing() -> str:
    """Why there can be no suite here, or an empty text."""
    if not os.access("/usr/bin/python3", os.X_OK):
        return "the attempts run with /usr/bin/python3: apt-get install python3"
    return Lab.missing()
