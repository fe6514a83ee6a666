"""The CNI plugin (Container Network Interface specification 1.1.0).

A program of its own, `egressguard-cni`: what to do is in its environment, the configuration of the
network on its stdin, a result or an error on its stdout. ADD gives a container one end of a veth
pair, whose other end is in a captive namespace of the gateway's; DEL removes the guest. After any
error the runtime starts no container.

Keys of the configuration, beside the specification's: `policy` and `evidence` (absolute paths; of
the latter a directory), `preset`, `run` (directory of the gateway's socket).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from interceptor.containers import boundary, plugging
from interceptor.containers.plugging import PlugError
from interceptor.gateway.client import Gateway, GatewayError
from interceptor.gateway.messages import Guest, Nic
from netns import namespaces
from netns.nic import GATEWAY_LINK_LOCAL, Kind, mac_of
from netns.nic import Nic as Link

VERSIONS: Final = ("0.4.0", "1.0.0", "1.1.0")
"""Of the specification that are understood."""

# Codes of the specification, section "Error".
INCOMPATIBLE: Final = 1
UNKNOWN_CONTAINER: Final = 3
ENVIRONMENT: Final = 4
INPUT: Final = 5
DECODING: Final = 6
CONFIGURATION: Final = 7
LATER: Final = 11
UNAVAILABLE: Final = 50
REFUSED: Final = 100
"""Ours: the container has what leads past us."""
NOT_ADDED: Final = 101
"""Ours: the gateway did not do it."""
NOT_AS_ADDED: Final = 102
"""Ours, of CHECK: it is not what it was."""

_LARGEST: Final = 4 * 1024 * 1024
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_INTERFACE: Final = re.compile(r"[^/:\s]{1,15}")
_READABLE: Final = 22
"""Letters of a guest's name that are for people."""


class CniError(Exception):
    """What the runtime is told; `code` is the specification's or ours."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code, self.details = code, details


class Call:
    """One call of the plugin: its environment and configuration, checked."""

    def __init__(self, environ: Mapping[str, str], text: bytes) -> None:
        """Read them.

        Raises:
            CniError: see there.
        """
        self.verb = environ.get("CNI_COMMAND", "")
        self.config = _decoded(text)
        self.version = _text(self.config, "cniVersion") or "0.1.0"
        if self.verb == "VERSION":
            return
        if self.version not in VERSIONS:
            known = ", ".join(VERSIONS)
            raise CniError(INCOMPATIBLE, f"version {self.version} is not known", f"known: {known}")
        self.network = _text(self.config, "name")
        if not _ID.fullmatch(self.network):
            raise CniError(CONFIGURATION, "the network has no name, or none that is allowed")
        for key in ("policy", "evidence", "run"):
            if (path := _text(self.config, key)) and not path.startswith("/"):
                raise CniError(CONFIGURATION, f"{key}: {path!r} is no absolute path")
        self.run = _text(self.config, "run") or plugging.RUN
        self.container = self.interface = self.sandbox = self.pod = ""
        if self.verb in ("ADD", "CHECK", "DEL"):
            self._attachment(environ)

    def _attachment(self, environ: Mapping[str, str]) -> None:
        self.container = environ.get("CNI_CONTAINERID", "")
        self.interface = environ.get("CNI_IFNAME", "")
        self.sandbox = environ.get("CNI_NETNS", "")
        if not _ID.fullmatch(self.container):
            raise CniError(ENVIRONMENT, "CNI_CONTAINERID is missing or malformed")
        if not _INTERFACE.fullmatch(self.interface) or self.interface in (".", ".."):
            raise CniError(ENVIRONMENT, "CNI_IFNAME is missing or malformed")
        if self.verb != "DEL" and not self.sandbox:
            raise CniError(ENVIRONMENT, "CNI_NETNS is missing")
        pairs = (part.partition("=") for part in environ.get("CNI_ARGS", "").split(";"))
        args = {name: text for name, _, text in pairs}
        if args.get("K8S_POD_NAME"):
            self.pod = f"{args.get('K8S_POD_NAMESPACE', '')}/{args['K8S_POD_NAME']}"

    @property
    def prefix(self) -> str:
        """How names of this network's guests begin."""
        return f"cni-{_digest(self.network, 3)}-"

    def start_of(self, container: str, interface: str) -> str:
        """How the name of an attachment's guest begins: the same whoever asks."""
        return f"{self.prefix}{_digest(f'{container}/{interface}', 5)}-"

    @property
    def guest(self) -> str:
        """The guest's name: the attachment's, and something for people."""
        readable = self.pod.rpartition("/")[2] or self.container[:12]
        tail = re.sub(r"[^a-z0-9]+", "-", readable.lower())[:_READABLE].strip("-") or "x"
        return self.start_of(self.container, self.interface) + tail


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
        folder = _text(config, "evidence")
        guest = Guest(
            call.guest,
            policy=_text(config, "policy"),
            preset=_text(config, "preset"),
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


def _remove(call: Call, goes: Any) -> None:
    def work(gateway: Gateway) -> None:
        for state in gateway.guests():
            if goes(state.guest.name):
                try:
                    gateway.remove(state.guest.name)
                except GatewayError as error:
                    if error.code != "name":
                        raise

    _ask(call, work)


def _ask(call: Call, work: Any) -> Any:
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


def _decoded(text: bytes) -> Mapping[str, Any]:
    if len(text) > _LARGEST:
        raise CniError(DECODING, f"the configuration has more than {_LARGEST} bytes")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CniError(DECODING, f"the configuration is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise CniError(DECODING, "the configuration is no object")
    return found


def _text(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key, "")
    if not isinstance(value, str) or "\0" in value:
        raise CniError(CONFIGURATION, f"{key} is no text")
    return value


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=size).hexdigest()


def main() -> NoReturn:
    """Be the plugin."""
    text = sys.stdin.buffer.read(_LARGEST + 1)
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
