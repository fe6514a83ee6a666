"""The Vagrantfile: that Vagrant takes it, and what it says of each machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
RECORDER = Path(__file__).with_name("recorded_vagrant.rb")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1":
            pytest.fail(f"no {name}: apt-get install vagrant-libvirt")
        pytest.skip(f"no {name}: apt-get install vagrant-libvirt")
    return found


def _run(
    command: list[str], env: Mapping[str, str] | None = None, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    done = _run([_program("ruby"), str(RECORDER), str(ROOT / "Vagrantfile")])
    assert done.returncode == 0, done.stdout
    said = json.loads(done.stdout)
    assert said["version"] == "2"
    found: dict[str, Any] = said["config"]
    return found


def machines(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    calls = config["settings"]["vm"]["calls"]
    return {call["arguments"][0]: call["inner"] for call in calls if call["name"] == "define"}


def calls(machine: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Calls of one name of a machine's `vm`."""
    return [call for call in machine["settings"]["vm"]["calls"] if call["name"] == name]


def networks(machine: dict[str, Any]) -> list[dict[str, Any]]:
    found = calls(machine, "network")
    assert [call["arguments"] for call in found] == [["private_network"]] * len(found)
    return [call["options"] for call in found]


def test_vagrant_takes_it(tmp_path: Path) -> None:
    home = {"VAGRANT_HOME": str(tmp_path / "home"), "VAGRANT_DOTFILE_PATH": str(tmp_path / "state")}
    words = [_program("vagrant"), "validate"]
    assert (done := _run([*words, "--ignore-provider"], home)).returncode == 0, done.stdout
    plugins = _run([words[0], "plugin", "list"], home).stdout
    if "vagrant-libvirt" in plugins:
        done = _run(words, {**home, "VAGRANT_DEFAULT_PROVIDER": "libvirt"})
        assert done.returncode == 0, done.stdout
    broken = tmp_path / "Vagrantfile"  # the control: it is not taken whatever it says
    text = (ROOT / "Vagrantfile").read_text("utf-8")
    broken.write_text(text.replace('"private_network"', '"no_such_network"'))
    assert _run([*words, "--ignore-provider"], home, tmp_path).returncode != 0


def test_there_are_three_machines_in_the_order_in_which_they_need_each_other(
    config: dict[str, Any],
) -> None:
    assert list(machines(config)) == ["internet", "gateway", "agent"]
    for name, machine in machines(config).items():
        (shell,) = calls(machine, "provision")
        assert shell["options"]["path"] == f"scripts/provision/{name}.sh"
        assert (ROOT / shell["options"]["path"]).exists()


def test_the_agents_only_link_leads_to_the_gateway(config: dict[str, Any]) -> None:
    found = {name: networks(machine) for name, machine in machines(config).items()}
    cables = {name: [each["virtualbox__intnet"] for each in those] for name, those in found.items()}
    assert cables == {
        "internet": ["egressguard-internet"],
        "gateway": ["egressguard-agent", "egressguard-internet"],
        "agent": ["egressguard-agent"],
    }
    for each in (option for those in found.values() for option in those):
        assert each["libvirt__network_name"] == each["virtualbox__intnet"]
        assert each["libvirt__forward_mode"] == "veryisolated"
        assert each["libvirt__dhcp_enabled"] is False
        assert each["auto_config"] is False
    for machine in machines(config).values():
        assert not calls(machine, "forwarded_port")


def test_the_gateway_knows_the_agents_hardware_address(config: dict[str, Any]) -> None:
    agent, gateway = (machines(config)[name] for name in ("agent", "gateway"))
    (card,) = networks(agent)
    (shell,) = calls(gateway, "provision")
    known = shell["options"]["env"]["LAB_AGENT_MAC"].replace(":", "").upper()
    assert known == card["mac"]


def test_what_vagrant_logs_in_by_leads_nowhere_from_the_agent(config: dict[str, Any]) -> None:
    agent = machines(config)["agent"]
    (shell,) = calls(agent, "provision")
    assert shell["options"]["env"]["LAB_MANAGEMENT"] == "eth0"
    assert shell["options"]["env"]["LAB_DEVICE"] == "eth1"
    (libvirt,) = [call["inner"]["settings"] for call in calls(agent, "provider")
                  if call["arguments"] == ["libvirt"]]  # fmt: skip
    assert libvirt["management_network_mode"] == "none"
    others = [call["inner"]["settings"].get("management_network_name")
              for name in ("gateway", "internet")
              for call in calls(machines(config)[name], "provider")]  # fmt: skip
    assert libvirt["management_network_name"] not in others
    (folder,) = calls(agent, "synced_folder")
    assert folder["options"] == {"disabled": True}


def test_with_a_router_in_egressguards_place_the_machines_are_told(config: dict[str, Any]) -> None:
    words = [_program("ruby"), str(RECORDER), str(ROOT / "Vagrantfile")]
    opened = json.loads(_run(words, {"LAB_OPEN": "1"}).stdout)["config"]
    for each, wanted in ((config, ""), (opened, "1")):
        for machine in machines(each).values():
            (shell,) = calls(machine, "provision")
            assert shell["options"]["env"]["LAB_OPEN"] == wanted
