"""The CNI plugin's protocol, and the OCI hook's input: what is asked, and what is answered."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.containers import cni, cni_call, hook
from interceptor.containers.cni_call import Call, CniError
from interceptor.containers.plugging import PlugError
from interceptor.gateway.messages import Guest, check

ENVIRON = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": "/x"}
CONFIG = {"cniVersion": "1.1.0", "name": "agents", "type": "egressguard-cni"}


def _call(config: Any = None, **environ: str) -> Call:
    return Call({**ENVIRON, **environ}, json.dumps(CONFIG | (config or {})).encode())


def test_versions_are_told_without_a_network() -> None:
    asked = {"CNI_COMMAND": "VERSION"}
    for version in ("0.3.1", "1.1.0", "9.9.9"):
        told = cni.obey(asked, json.dumps({"cniVersion": version}).encode())
        assert told == {"cniVersion": version, "supportedVersions": list(cni_call.VERSIONS)}


def test_what_is_wrong_has_the_specifications_code() -> None:
    for config, environ, code in (
        ({"cniVersion": "0.3.1"}, {}, cni_call.INCOMPATIBLE),
        ({"cniVersion": "2.0.0"}, {}, cni_call.INCOMPATIBLE),
        ({"name": ""}, {}, cni_call.CONFIGURATION),
        ({"name": "../x"}, {}, cni_call.CONFIGURATION),
        ({"name": 3}, {}, cni_call.CONFIGURATION),
        ({"policy": "relative.yaml"}, {}, cni_call.CONFIGURATION),
        ({"run": ["x"]}, {}, cni_call.CONFIGURATION),
        ({}, {"CNI_CONTAINERID": ""}, cni_call.ENVIRONMENT),
        ({}, {"CNI_CONTAINERID": "a/b"}, cni_call.ENVIRONMENT),
        ({}, {"CNI_IFNAME": "sixteen-letters-"}, cni_call.ENVIRONMENT),
        ({}, {"CNI_IFNAME": ".."}, cni_call.ENVIRONMENT),
        ({}, {"CNI_NETNS": ""}, cni_call.ENVIRONMENT),
        ({}, {"CNI_COMMAND": "BREAK"}, cni_call.ENVIRONMENT),
    ):
        with pytest.raises(CniError) as error:
            cni.obey({**ENVIRON, **environ}, json.dumps(CONFIG | config).encode())
        assert error.value.code == code, (config, environ)
    for text in (b"", b"[]", b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(CniError) as error:
            cni.obey(ENVIRON, text)
        assert error.value.code == cni_call.DECODING
    assert _call(CNI_COMMAND="DEL", CNI_NETNS="").sandbox == ""


def test_results_are_the_specifications_of_each_version() -> None:
    for version in cni_call.VERSIONS:
        told = cni.result(_call({"cniVersion": version}))
        assert told["cniVersion"] == version
        own = told["interfaces"][0]
        assert (own["name"], own["sandbox"]) == ("eth0", "/x")
        assert ("mtu" in own) == (version == "1.1.0")
        for ip, family in zip(told["ips"], (4, 6), strict=True):
            assert ipaddress.ip_interface(ip["address"]).version == family
            assert ipaddress.ip_address(ip["gateway"]).version == family
            assert ip["interface"] == 0
            assert ip.get("version") == (str(family) if version == "0.4.0" else None)
        assert {route["dst"] for route in told["routes"]} == {"0.0.0.0/0", "::/0"}
    before = {"interfaces": [{"name": "lo"}], "ips": [{"address": "127.0.0.1/8", "interface": 0}],
              "routes": [{"dst": "127.0.0.0/8"}], "dns": {"nameservers": ["10.0.0.1"]},
              "extra": 1}  # fmt: skip
    told = cni.result(_call({"prevResult": before}))
    assert [each["name"] for each in told["interfaces"]] == ["lo", "eth0"]
    assert [each["interface"] for each in told["ips"]] == [0, 1, 1]
    assert told["dns"] == {"nameservers": ["198.18.0.1"]}
    assert told["extra"] == 1
    assert len(told["routes"]) == 3


_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,70}", fullmatch=True)


@given(_IDS, _IDS, st.text(st.characters(exclude_characters="\0;", codec="utf-8"), max_size=40))
def test_every_attachment_is_a_guest_of_its_own(network: str, container: str, pod: str) -> None:
    args = f"K8S_POD_NAMESPACE=n;K8S_POD_NAME={pod}"
    call = _call({"name": network}, CNI_CONTAINERID=container, CNI_ARGS=args)
    assert check(Guest(call.guest)) == ""
    assert call.guest.startswith(call.start_of(container, "eth0"))
    other = _call({"name": network}, CNI_CONTAINERID=f"{container}x", CNI_ARGS=args)
    assert not other.guest.startswith(call.start_of(container, "eth0"))
    assert other.guest.startswith(call.prefix)
    elsewhere = _call({"name": f"{network}x"}, CNI_CONTAINERID=container)
    assert not elsewhere.guest.startswith(call.prefix)


def test_the_program_answers_errors_as_json() -> None:
    for environ, text in ((ENVIRON, "{"), ({}, '{"cniVersion": "1.0.0", "name": "a"}')):
        done = subprocess.run(
            [sys.executable, "-m", "interceptor.containers.cni"], input=text.encode(),
            env={"PATH": os.environ["PATH"], **environ}, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        told = json.loads(done.stdout)
        assert set(told) == {"cniVersion", "code", "msg"}
        assert not done.stderr


def test_a_state_that_is_none_starts_no_container() -> None:
    for text in (
        b"", b"[]", b"null", b"{}", b'{"id": "a"}', b'{"id": "", "status": "created"}',
        b'{"id": "a", "status": "created", "pid": 0, "bundle": "/x"}',
        b'{"id": "a", "status": "created", "pid": true, "bundle": "/x"}',
        b'{"id": "a", "status": "created", "pid": 1}',
        b'{"id": "a", "status": "creating", "pid": 1, "bundle": "/nowhere"}',
        b'{"id": "a", "status": "created", "pid": 999999999, "bundle": "/nowhere"}',
    ):  # fmt: skip
        with pytest.raises(PlugError):
            hook.obey(text, {})


@given(st.binary(max_size=64))
def test_no_state_is_too_odd(text: bytes) -> None:
    with pytest.raises(PlugError):
        hook.obey(text, {})


def test_options_of_the_hook_are_checked() -> None:
    assert hook.parse(["--policy=/a", "--name=b"]) == {"policy": "/a", "name": "b"}
    for words in (["--policy=a"], ["--odd=1"], ["name=b"], ["--name"], ["-x"]):
        with pytest.raises(PlugError):
            hook.parse(words)


def test_the_hook_knows_the_places_of_trust_without_its_room() -> None:
    from interceptor.containers import trust_files
    from netns import trust

    files = trust_files.Folder("box")
    assert f"{trust_files.INSIDE}/authority.pem" == trust.AUTHORITY
    assert f"{trust_files.INSIDE}/ca-bundle.pem" == trust.BUNDLE
    assert trust_files.SYSTEM_BUNDLE in trust.BUNDLES
    assert set(files.mounts()) == {trust_files.INSIDE, trust_files.SYSTEM_BUNDLE,
                                   "/etc/resolv.conf"}  # fmt: skip
    told = "import sys, interceptor.containers.hook; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True,
        cwd=Path(hook.__file__).parents[2],
    )  # fmt: skip
    assert not set(done.stdout.split()) & {"click", "asyncio", "ssl", "netns.trust", "pyroute2"}


def test_files_are_filled_in_place(tmp_path: Path) -> None:
    from interceptor.containers.trust_files import Folder

    folder = Folder("box", str(tmp_path / "base"))
    folder.make()
    bundle = folder.path / "ca-bundle.pem"
    before, inode = bundle.read_bytes(), bundle.stat().st_ino
    folder.fill("PEM")
    assert bundle.read_bytes() == b"PEM\n" + before
    assert bundle.stat().st_ino == inode
    assert (folder.path / "authority.pem").read_bytes() == b"PEM\n"
    folder.make()
    assert (folder.path / "authority.pem").read_bytes() == b""
    folder.remove()
    folder.remove()
    (tmp_path / "base").chmod(0o777)
    with pytest.raises(PermissionError):
        folder.make()


def test_the_hooks_file_is_what_engines_read() -> None:
    made = hook.definition(["/p", "-c", "x"], every=False)
    assert made["hook"]["path"] == made["hook"]["args"][0] == "/p"
    assert made["when"] == {"annotations": {"^egressguard$": ".*"}}
    assert made["stages"] == ["createRuntime", "poststop"]
    assert hook.definition(["/p"], every=True)["when"] == {"always": True}
    assert Path(hook.program()[0]).is_absolute()
