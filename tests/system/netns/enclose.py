"""Run a command in an enclosure, as a program of its own: the tests' supervisor.

Usage: enclose.py JSON, where JSON holds user, argv, cwd, env, masks, expect and rootless.
Writes one line `enclosed PID` to descriptor `tell` when the gate has opened.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[3]), str(Path(__file__).parent)]

from netns import environment, identity, trust  # noqa: E402
from netns.enclosure import Enclosure, EnclosureError, EnclosureSpec, LaunchError  # noqa: E402
from netns.layout import LayoutError  # noqa: E402
from tests.system.netns.jails import captive  # noqa: E402


def main() -> int:
    asked = json.loads(sys.argv[1])
    rootless = os.geteuid() if asked.get("rootless") else None
    user = None if rootless is not None else asked["user"]
    who = identity.resolve(user, {}, os.geteuid(), os.getegid())
    if "home" in asked:
        who = dataclasses.replace(who, home=asked["home"])
    cwd = asked.get("cwd", "/")
    variables = environment.build(
        {"PATH": os.environ["PATH"], **asked.get("env", {})}, who, cwd=cwd, home=who.home, trust={}
    )
    mounts: tuple[object, ...] = ()
    if asked.get("ca"):
        prepared = trust.prepare(Path(asked["ca"]).read_bytes(), variables, who.home, (cwd,))
        mounts = prepared.mounts
        variables |= prepared.environment
    with captive(rootless) as network:
        spec = EnclosureSpec(
            argv=tuple(asked["argv"]),
            cwd=cwd,
            identity=who,
            environment=variables,
            network_fd=network.network_fd,
            user_fd=network.user_fd,
            trust=mounts,  # type: ignore[arg-type]
            masks=tuple(asked.get("masks", ())),
            writable=tuple(asked.get("writable", ())),
            readable=tuple(asked.get("readable", ())),
            home_access=asked.get("home_access", "rw"),
            cwd_access=asked.get("cwd_access", "rw"),
            groups=tuple(asked.get("groups", ())),
            ptrace=asked.get("ptrace", True),
            unix_sockets=asked.get("unix_sockets", True),
            user_namespaces=bool(asked.get("user_namespaces")),
            expect_listener=bool(asked.get("expect")),
            expect_dns=bool(asked.get("expect")),
        )
        try:
            with Enclosure(spec) as enclosure:
                enclosure.start()
                if asked.get("shut"):
                    return 0
                enclosure.open_gate()
                if asked.get("tell"):
                    os.write(asked["tell"], f"enclosed {enclosure.pid}\n".encode())
                return enclosure.wait()
        except LaunchError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        except (EnclosureError, LayoutError) as error:
            print(f"not started: {error}", file=sys.stderr)
            return 70


if __name__ == "__main__":
    sys.exit(main())
