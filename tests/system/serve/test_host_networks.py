"""Addresses of the host as they come and go, in a network namespace of the test's own.

Run as a program this file is what happens inside that namespace.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

pytestmark = [pytest.mark.lab, pytest.mark.timeout(60)]


def inside() -> None:
    """Set links up, read, and compare with pyroute2; then change things under a running loop."""
    import uvloop
    from pyroute2 import IPRoute

    from interceptor.decide.addresses import Exceptions
    from interceptor.serve.host_networks import HostNetworks
    from netns.namespaces import Namespace, unshare

    unshare(Namespace.NET)
    kernel = IPRoute()
    kernel.link("set", index=1, state="up")
    kernel.link("add", ifname="near0", kind="veth", peer="far0")
    near, far = (kernel.link_lookup(ifname=name)[0] for name in ("near0", "far0"))
    for index in (near, far):
        kernel.link("set", index=index, state="up")
    kernel.addr("add", index=near, address="11.1.2.3", prefixlen=24)
    kernel.addr("add", index=near, address="2d00:77:1::2", prefixlen=64, family=socket.AF_INET6)
    kernel.addr("add", index=near, address="11.9.9.8", local="11.9.9.9", prefixlen=32)
    kernel.route("add", dst="default", gateway="11.1.2.1", oif=near)
    local = {"oif": 1, "type": "local", "table": 255, "scope": 254}
    kernel.route("add", family=socket.AF_INET, dst="11.5.0.0/16", **local)

    networks = HostNetworks()
    theirs = set()
    for entry in kernel.get_addr():
        own = entry.get("IFA_LOCAL") or entry.get("IFA_ADDRESS")
        theirs.add(f"{own}/{128 if ':' in own else 32}")
    ours = {entry.network: entry.what for entry in networks.now}
    result: dict[str, object] = {
        "missing": sorted(theirs - set(ours)),
        "first": {text: ours.get(text, "") for text in
                  ("11.1.2.3/32", "11.1.2.0/24", "11.9.9.9/32", "11.9.9.8/32", "11.5.0.0/16",
                   "2d00:77:1::2/128", "2d00:77:1::/64", "11.1.2.1/32")},
    }  # fmt: skip

    async def watch() -> None:
        here = Exceptions([])
        told = 0

        def tell(found: object) -> None:
            nonlocal here, told
            here, told = Exceptions([], networks.now), told + 1

        async def change(what: str, text: str, length: int) -> None:
            # In a thread: pyroute2 runs a loop of its own.
            await asyncio.to_thread(kernel.addr, what, index=near, address=text, prefixlen=length)

        async def until(text: str, *, public: bool) -> float:
            begin = time.monotonic()
            while here.classify(text).public is not public:
                if time.monotonic() - begin > 20:
                    return -1.0
                await asyncio.sleep(0.01)
            return time.monotonic() - begin

        networks.watch(asyncio.get_running_loop(), tell)
        result["before"] = [here.classify(text).public for text in ("11.1.2.9", "11.77.0.9")]
        await change("add", "11.77.0.1", 24)
        result["added"] = await until("11.77.0.9", public=False)
        await change("delete", "11.77.0.1", 24)
        result["removed"] = await until("11.77.0.9", public=True)
        before = told
        for n in range(1, 201):
            await change("add", f"11.78.0.{n}", 32)
        result["many"] = await until("11.78.0.200", public=False)
        result["told"] = told - before
        networks.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(watch())
    print(json.dumps(result))


def test_addresses_come_and_go() -> None:
    done = subprocess.run(
        [sys.executable, __file__], cwd=ROOT, capture_output=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    result = json.loads(done.stdout)
    assert result["missing"] == []
    own, network = "an address of this host", "a network of this host"
    assert result["first"] == {
        "11.1.2.3/32": own, "11.1.2.0/24": network, "11.9.9.9/32": own, "11.9.9.8/32": network,
        "11.5.0.0/16": own, "2d00:77:1::2/128": own, "2d00:77:1::/64": network,
        "11.1.2.1/32": "the gateway of this host",
    }  # fmt: skip
    assert result["before"] == [False, True]
    assert result["added"] >= 0
    assert result["removed"] >= 0
    assert result["many"] >= 0
    assert result["told"] < 30  # two hundred changes, read a few times


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    inside()
