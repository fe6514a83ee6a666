"""The CNI plugin (Container Network Interface specification 1.1.0).

A program of its own, `egressguard-cni`: what to do is in its environment, the configuration of the
network on its stdin, a result or an error on its stdout. ADD gives a container one end of a veth
pair, whose other end is in a captive namespace of the gateway's; DEL removes the guest. After any
error the runtime starts no container.

Keys of the configuration, beside the specification's: `policy` and `evidence` (absolute paths; of
the latter a directory), `preset`, `run` (directory of the gateway's socket).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from interceptor.containers import boundary, plugging
from interceptor.containers.cni_call import (
    CONFIGURATION,
    ENVIRONMENT,
    INPUT,
    LARGEST,
    LATER,
    NOT_ADDED,
    NOT_AS_ADDED,
    REFUSED,
    UNAVAILABLE,
    UNKNOWN_CONTAINER,
    VERSIONS,
    Call,
    CniError,
    text_of,
)
from interceptor.containers.plugging import PlugError
from interceptor.gateway.client import Gateway, GatewayError
from interceptor.gateway.messages import Guest, Nic
from netns import namespaces
from netns.nic import GATEWAY_LINK_LOCAL, Kind, mac_of
from netns.nic import Nic as Link

_T = TypeVar("_T")


def obey(environ: Mapping[str, str], text: bytes) -> dict[str, Any] | None:
    """Carry out a call; returns what is to be printed, if anything.

    Raises:
        CniError: see there.
    """
    call = Call(environ, text)
    if call.verb == "VERSION":
        return {"cniVersion": call.version, "supportedVersions": list(VERSIONS)}
    verbs = {"ADD": add, "CHECK": check, "DEL": delete, "STATUS": status, "GC": collect}
    work = verbs.get(call.verb)
    if work is None:
        raise CniError(ENVIRONMENT, f"CNI_COMMAND is {call.verb!r}, which is not known")
    return work(call)


def add(call: Call) -> dict[str, Any]:
    """Plug a container.

    Behind another plugin, what that has made must lead nowhere: a second way out is refused.
    """
    network = _open(call.sandbox)
    try:
        if _is_ours(network):
            raise CniError(REFUSED, boundary.shared("network"))
        if faults := boundary.link_faults(_links(network)):
            raise CniError(REFUSED, "; ".join(faults))
        config = call.config
        folder = text_of(config, "evidence")
        guest = Guest(
            call.guest,
            policy=text_of(config, "policy"),
            preset=text_of(config, "preset"),
            evidence=str(Path(folder, f"{call.guest}.jsonl")) if folder else "",
            user=call.pod or f"container {call.container[:12]}",
            nic=Nic("veth", peer_name=call.interface),
        )

        def work(gateway: Gateway) -> None:
            # The runtime may call again for the same, when the first call was cut short.
            if any(state.guest.name == guest.name for state in gateway.guests()):
                gateway.remove(guest.name)
            gateway.add(guest, network).close()

        _ask(call, work)
    finally:
        os.close(network)
    return result(call)


def result(call: Call) -> dict[str, Any]:
    """The result of ADD (the specification's section "Success"), behind that of plugins before."""
    link = _link(call)
    before = call.config.get("prevResult")
    before = before if isinstance(before, dict) else {}
    interfaces = [*before.get("interfaces", ())]
    own: dict[str, Any] = {"name": call.interface, "mac": link.mac, "sandbox": call.sandbox}
    if call.version == "1.1.0":
        own["mtu"] = link.mtu
    four: dict[str, Any] = {
        "address": f"{link.guest_ipv4}/{link.bits_ipv4}",
        "gateway": link.gateway_ipv4,
        "interface": len(interfaces),
    }
    six: dict[str, Any] = {
        "address": f"{link.guest_ipv6}/128",
        "gateway": GATEWAY_LINK_LOCAL,
        "interface": len(interfaces),
    }
    if call.version == "0.4.0":
        four["version"], six["version"] = "4", "6"
    return {
        **before,
        "cniVersion": call.version,
        "interfaces": [*interfaces, own],
        "ips": [*before.get("ips", ()), four, six],
        "routes": [
            *before.get("routes", ()),
            {"dst": "0.0.0.0/0", "gw": link.gateway_ipv4},
            {"dst": "::/0", "gw": GATEWAY_LINK_LOCAL},
        ],
        "dns": {"nameservers": [link.gateway_ipv4]},
    }


def check(call: Call) -> None:
    """See that a container is as ADD has left it: served, and with no way out besides."""
    if not isinstance(call.config.get("prevResult"), dict):
        raise CniError(CONFIGURATION, "CHECK needs prevResult")
    states = _ask(call, lambda gateway: gateway.guests())
    start = call.start_of(call.container, call.interface)
    found = [state for state in states if state.guest.name.startswith(start)]
    if not found:
        raise CniError(UNKNOWN_CONTAINER, f"the gateway has no guest for {call.container}")
    if found[0].state != "served":
        raise CniError(NOT_AS_ADDED, f"{found[0].guest.name} is offline: {found[0].fault}")
    network = _open(call.sandbox)
    try:
        links = _links(network)
    finally:
        os.close(network)
    if call.interface not in links:
        raise CniError(NOT_AS_ADDED, f"the container has no {call.interface}")
    if faults := boundary.link_faults(links, call.interface):
        raise CniError(NOT_AS_ADDED, "; ".join(faults))


def delete(call: Call) -> None:
    """Remove the guest of an attachment, if there is one."""
    _remove(call, lambda name: name.startswith(call.start_of(call.container, call.interface)))


def collect(call: Call) -> None:
    """Remove the guests of this network that the runtime does not know any more (GC)."""
    valid = call.config.get("cni.dev/valid-attachments", call.config.get("cni.dev/attachments"))
    if not isinstance(valid, list):
        raise CniError(CONFIGURATION, "GC needs cni.dev/valid-attachments")
    kept = tuple(
        call.start_of(str(each.get("containerID", "")), str(each.get("ifname", "")))
        for each in valid
        if isinstance(each, dict)
    )
    _remove(call, lambda name: name.startswith(call.prefix) and not name.startswith(kept))


def status(call: Call) -> None:
    """Say whether ADD would work: the gateway answers."""
    try:
        plugging.ask(call.run, lambda gateway: gateway.status())
    except PlugError as error:
        raise CniError(UNAVAILABLE, str(error)) from error


def _remove(call: Call, goes: Callable[[str], bool]) -> None:
    def work(gateway: Gateway) -> None:
        for state in gateway.guests():
            if goes(state.guest.name):
                try:
                    gateway.remove(state.guest.name)
                except GatewayError as error:
                    if error.code != "name":
                        raise

    _ask(call, work)


def _ask(call: Call, work: Callable[[Gateway], _T]) -> _T:
    try:
        with Gateway(Path(call.run, "gateway.sock")) as gateway:
            return work(gateway)
    except GatewayError as error:
        code = LATER if error.code in ("absent", "busy") else NOT_ADDED
        code = CONFIGURATION if error.code == "policy" else code
        raise CniError(code, str(error)) from error


def _link(call: Call) -> Link:
    return Link(Kind.VETH, mac_of(call.guest), peer_name=call.interface)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CniError(UNKNOWN_CONTAINER, f"{path}: {error.strerror}") from error


def _is_ours(network: int) -> bool:
    theirs = os.fstat(network)
    for who in ("self", "1"):
        try:
            ours = os.stat(f"/proc/{who}/ns/net")  # noqa: PTH116
        except OSError:
            continue
        if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino):
            return True
    return False


def _links(network: int) -> list[str]:
    """Names of the links of a network namespace, which this process enters and leaves again."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.setns(network, namespaces.Namespace.NET)
        try:
            lines = Path("/proc/self/net/dev").read_text("ascii").splitlines()[2:]
        finally:
            namespaces.setns(home, namespaces.Namespace.NET)
    except OSError as error:
        raise CniError(INPUT, f"the container's network namespace: {error}") from error
    finally:
        os.close(home)
    return [line.partition(":")[0].strip() for line in lines]


def main() -> NoReturn:
    """Be the plugin."""
    text = sys.stdin.buffer.read(LARGEST + 1)
    try:
        answer = obey(os.environ, text)
    except CniError as error:
        _fail(error, text)
    except Exception as error:  # noqa: BLE001 - whatever it is, the container must not start
        _fail(CniError(INPUT, f"{type(error).__name__}: {error}"), text)
    if answer is not None:
        sys.stdout.write(json.dumps(answer) + "\n")
    sys.exit(0)


def _fail(error: CniError, text: bytes) -> NoReturn:
    version = VERSIONS[-1]
    try:
        said = json.loads(text).get("cniVersion")
        version = said if isinstance(said, str) else version
    except (ValueError, AttributeError, RecursionError):
        pass
    told = {"cniVersion": version, "code": error.code, "msg": f"egressguard: {error}"}
    if error.details:
        told["details"] = error.details
    sys.stdout.write(json.dumps(told) + "\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
