"""The lab's internet on a machine of its own: `python -m tests.machines.internet --link eth1`.

What the lab's internet process serves (`tests.lab.internet`), behind a network card instead of the
lab's own veth pair. The card is taken into a network namespace of this process, so that nothing
else of the machine is reached by it. Besides, three pages on every name: the certificate of the
authority, the suite of attempts, and what of a run of it has arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from pyroute2 import IPRoute

from netns.namespaces import Namespace, unshare
from tests.lab import endpoints, internet, world
from tests.lab.certificates import Authority
from tests.lab.web_server import Exchange, WebServer
from tests.machines import suite

_NONCE: Final = re.compile(rb"egx([0-9a-f]{16})[0-9a-f]{4}", re.IGNORECASE)
_SYSCTLS: Final = {
    "ipv6/conf/all/disable_ipv6": "0",
    "ipv6/conf/default/disable_ipv6": "0",
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/all/accept_ra": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/ip_nonlocal_bind": "1",
}


class Machine(internet.Internet):
    """The internet behind one network card."""

    def __init__(self, authority: Authority) -> None:
        super().__init__(authority, world.NAMES)
        self._own_services = []
        self._root = authority.root_pem
        self._web = WebServer(self._book, self._answer)
        self._suite = suite.archive()

    def take(self, link: str) -> None:
        """Take the card `link` of this network namespace into one of our own, and configure it."""
        with IPRoute() as outside:
            index = outside.link_lookup(ifname=link)[0]
            unshare(Namespace.NET)
            for name, value in _SYSCTLS.items():
                Path("/proc/sys/net", name).write_text(value, "ascii")
            own = os.open("/proc/self/ns/net", os.O_RDONLY)
            outside.link("set", index=index, state="down")
            outside.link("set", index=index, net_ns_fd=own)
            os.close(own)
        with IPRoute() as inside:
            far = inside.link_lookup(ifname=link)[0]
            inside.link("set", index=far, ifname=world.INTERNET_LINK)
            inside.link("set", index=1, state="up")
            inside.link("set", index=far, state="up")
            for family, length, address, every in (
                (socket.AF_INET, world.LAN_V4, world.GATEWAY_V4, "0.0.0.0/0"),
                (socket.AF_INET6, world.LAN_V6, world.GATEWAY_V6, "::/0"),
            ):
                inside.addr("add", index=far, address=address, prefixlen=length, family=family)
                # AnyIP: every address is this namespace's own
                inside.route(
                    "add", family=family, dst=every, oif=1, type="local", table=254, scope=254
                )
        rules = internet.nft_rules()
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    async def serve_alone(self, ready: Callable[[], None]) -> None:
        """Serve for ever; `ready` is called as soon as that is so."""
        await self._listen()
        ready()
        await asyncio.Event().wait()

    async def _answer(self, exchange: Exchange) -> None:
        if exchange.path == "/authority.pem":
            await exchange.reply(self._root, "application/x-pem-file")
        elif exchange.path == "/escape-suite.tar":
            await exchange.reply(self._suite, "application/x-tar")
        elif exchange.path == "/arrived":
            found = self.arrived(exchange.query.get("of", ""))
            await exchange.reply(json.dumps(found).encode(), "application/json")
        else:
            await endpoints.answer(exchange)

    def arrived(self, run: str) -> dict[str, list[str]]:
        """Numbers of the attempts of a run that have arrived, and where.

        Args:
            run: first twelve digits of the SHA-256 of what the numbers of the run begin with.
        """
        found: dict[str, set[str]] = {}
        for where, data in self._seen():
            for nonce in _NONCE.finditer(data):
                if hashlib.sha256(nonce[1].lower()).hexdigest()[:12] == run:
                    found.setdefault(nonce[0].decode().lower(), set()).add(where)
        return {nonce: sorted(places) for nonce, places in found.items()}

    def _seen(self) -> Iterator[tuple[str, bytes]]:
        for arrival in (*self._book.arrivals, *self._book.dials):
            yield f"{arrival.protocol} to {arrival.destination}", arrival.data + arrival.plaintext
        for request in self._book.requests:
            yield f"web site {request.name or request.address}", request.head + request.body
        for question in self._book.questions:
            yield "resolver", question.name.encode("utf-8", "replace")


def main() -> int:
    """Take the card and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--link", required=True)
    parser.add_argument("--ready", required=True, type=Path)
    asked = parser.parse_args()
    machine = Machine(Authority("egressguard lab root", internet.now()))
    machine.take(asked.link)
    asyncio.run(machine.serve_alone(asked.ready.touch))
    return 0


if __name__ == "__main__":
    sys.exit(main())
