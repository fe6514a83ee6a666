"""The Helm chart says what an injection says, for every value."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.cli import main
from interceptor.cli.k8s import DEFAULT_POLICY
from interceptor.kubernetes import chart, companion
from interceptor.kubernetes.documents import parse
from interceptor.kubernetes.parts import Options
from interceptor.policy.loading import load

HELM = os.environ.get("EGRESSGUARD_HELM") or shutil.which("helm")
_ACTION = re.compile(r"\{\{(-?) (.*?) \}\}")


def render(template: str, values: dict[str, Any], namespace: str) -> str:
    """The part of Helm's language that the chart uses, and nothing else: the rest is an error."""
    out: list[str] = []
    open_: list[bool] = []
    place = 0
    for match in _ACTION.finditer(template):
        if all(open_):
            text = template[place : match.start()]
            out.append(text.rstrip() if match[1] else text)
        place = match.end()
        word = match[2]
        if word.startswith("if "):
            open_.append(bool(value(word[3:], values, namespace)))
        elif word == "else":
            open_[-1] = not open_[-1]
        elif word == "end":
            open_.pop()
        elif all(open_):
            out.append(str(value(word, values, namespace)))
    assert not open_
    out.append(template[place:])
    rendered = "".join(out)
    assert "{{" not in rendered
    return rendered


def value(expression: str, values: dict[str, Any], namespace: str) -> Any:
    if expression == ".Release.Namespace":
        return namespace
    match = re.fullmatch(r"(int )?\.Values\.([A-Za-z0-9]+)( \| quote)?", expression)
    assert match is not None, expression
    found = values[match[2]]  # a value that is not there is an error
    if match[1]:
        return int(found)
    return json.dumps(found, ensure_ascii=False) if match[3] else found


def defaults() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(chart.files("1.2.3")["values.yaml"])
    return found


def objects(text: str) -> dict[tuple[str, str], Any]:
    found = [each.data for each in parse(text, "x") if each.data]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def expected(values: dict[str, Any], namespace: str) -> dict[tuple[str, str], Any]:
    options = Options(
        image=values["image"],
        policy=values["policy"],
        issuer=values["issuer"],
        keys=values["keys"],
        replicas=values["replicas"],
        ipv6=values["ipv6"],
    )
    own = companion.agents_account(values["agent"])
    account = values["serviceAccount"] or own
    made = companion.around(values["agent"], namespace, account, options)
    found = {(each["kind"], each["metadata"]["name"]): each for each in made}
    # The chart makes the agents' account in any case.
    for each in companion.around(values["agent"], namespace, own, options):
        found.setdefault((each["kind"], each["metadata"]["name"]), each)
    return found


some_values = st.fixed_dictionaries(
    {
        "agent": st.from_regex(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])", fullmatch=True),
        "serviceAccount": st.sampled_from(["", "worker"]),
        "image": st.sampled_from(["egressguard:1", "registry.example.com:5000/a/b@sha256:00"]),
        "replicas": st.integers(1, 100),
        "ipv6": st.booleans(),
        "issuer": st.sampled_from(["https://a.example.com/x", "https://kubernetes.default.svc"]),
        "keys": st.just("egressguard-keys"),
        "policy": st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20)
        | st.just("version: 1\npreset: strict\n# \"quoted\" \\ 'text' {{ .Values.agent }}\n"),
    }
).filter(lambda each: each["agent"] not in ("no", "on", "off", "yes", "true", "false", "null"))


@settings(max_examples=20, deadline=None)
@given(some_values, st.sampled_from(["default", "agents"]))
def test_the_chart_is_the_injection(values: dict[str, Any], namespace: str) -> None:
    text = render(chart.template(), values | {"policy": "P"}, namespace)
    assert objects(text) == expected(values | {"policy": "P"}, namespace)
    # What is put in quotes stays one text, whatever it is.
    (line,) = (each for each in chart.template().splitlines() if ".Values.policy" in each)
    quoted = json.dumps(values["policy"], ensure_ascii=False)
    line = line.replace("{{ .Values.policy | quote }}", quoted)
    assert yaml.safe_load(line) == {"egressguard.yaml": values["policy"]}


def test_the_usual_values_are_usable(tmp_path: Path) -> None:
    values = defaults() | {"agent": "agent"}
    made = objects(render(chart.template(), values, "default"))
    for each in made.values():
        kubernetes_validate.validate(each, "1.37", strict=True)
    for text in (values["policy"], DEFAULT_POLICY):
        (tmp_path / "policy.yaml").write_text(text)
        assert load(tmp_path / "policy.yaml", None).preset.value == "balanced"


def test_values_that_could_break_out_are_refused() -> None:
    properties = json.loads(chart.files("1")["values.schema.json"])["properties"]
    assert set(defaults()) <= set(properties)
    for name in ("agent", "serviceAccount", "image", "issuer", "keys"):
        pattern = properties[name]["pattern"]
        good = (defaults() | {"agent": "agent"})[name]
        assert re.search(pattern, good)
        for bad in ("a\nb: c", "a b", "{{ .x }}", "a: b", "#", '"', "'", "-", "a #b", "1 "):
            assert not re.search(pattern, bad), (name, bad)


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["k8s", "chart", "-o", str(tmp_path / "chart")]) == 0
    written = capsys.readouterr().out.split()
    assert str(tmp_path / "chart" / "templates" / "companion.yaml") in written
    assert main.run(["k8s", "chart", "-o", "/proc/none"]) == 125
    assert "egressguard: " in capsys.readouterr().err


@pytest.mark.skipif(HELM is None, reason="no helm here (EGRESSGUARD_HELM names one)")
def test_helm_renders_the_same(tmp_path: Path) -> None:
    for name, content in chart.files("1.2.3").items():
        path = tmp_path / "chart" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    values = defaults() | {"agent": "agent", "ipv6": True, "serviceAccount": "worker"}
    values["policy"] = "version: 1\npreset: strict\n# \"quoted\" \\ 'text' {{ .Values.agent }}\n"
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    assert HELM is not None
    call = [HELM, "template", "x", str(tmp_path / "chart"), "--namespace", "agents", "-f"]
    done = subprocess.run(
        [*call, str(tmp_path / "values.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert objects(done.stdout) == expected(values, "agents")
    subprocess.run([HELM, "lint", str(tmp_path / "chart"), "--set", "agent=a"], check=True)
    wrong = [*call, str(tmp_path / "values.yaml"), "--set", "agent=A B"]
    assert subprocess.run(wrong, capture_output=True, check=False).returncode != 0
