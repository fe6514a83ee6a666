"""A Helm chart of what stands around a workload in the companion form.

Its template is made from the very objects that an injection emits, with marks where a value goes,
so that the two cannot differ. It uses little of the language: values, `quote`, `int` and
`if`. The workload itself is rewritten by `egressguard k8s inject --no-around`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from interceptor.kubernetes import companion
from interceptor.kubernetes.documents import dump
from interceptor.kubernetes.parts import Options

_HEAD: Final = "# Made by `egressguard k8s chart`: change values, not this.\n"
_VALUES: Final[Mapping[str, str]] = {
    "agent": "{{ .Values.agent }}",
    "namespace": "{{ .Release.Namespace }}",
    "image": "{{ .Values.image }}",
    "issuer": "{{ .Values.issuer }}",
    "keys": "{{ .Values.keys }}",
    "policy": "{{ .Values.policy | quote }}",
}
"""Mark, between two z on either side: what takes its place."""
_REPLICAS: Final = 98_765
_NAME: Final = "[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?"


def files(version: str) -> dict[str, str]:
    """Return the chart's files by their paths.

    Args:
        version: of egressguard, and so of the chart and the image's tag.
    """
    chart = {
        "apiVersion": "v2",
        "name": "egressguard",
        "description": "The only way out of an AI agent's pods",
        "type": "application",
        "version": version,
        "appVersion": version,
        "kubeVersion": ">=1.29.0-0",
    }
    usual = Options(image=f"egressguard:{version}", policy="version: 1\npreset: balanced\n")
    values: dict[str, Any] = {
        "agent": "",
        "serviceAccount": "",
        "image": usual.image,
        "replicas": usual.replicas,
        "ipv6": False,
        "issuer": usual.issuer,
        "keys": usual.keys,
        "policy": usual.policy,
    }
    return {
        "Chart.yaml": _HEAD + dump(chart),
        "values.yaml": _VALUES_HEAD + dump(values),
        "values.schema.json": json.dumps(_schema(), indent=2) + "\n",
        "templates/companion.yaml": _HEAD + template(),
        "templates/NOTES.txt": _NOTES,
    }


def template() -> str:
    """Return the template of all objects."""
    options = Options(
        image="zzimagezz",
        policy="zzpolicyzz",
        issuer="zzissuerzz",
        keys="zzkeyszz",
        replicas=_REPLICAS,
        ipv6=True,
    )
    account = companion.agents_account("zzagentzz")
    objects = companion.around("zzagentzz", "zznamespacezz", account, options)
    text = "---\n" + "---\n".join(map(dump, objects))
    text = re.sub(r"^( *- --listen=\[::\].*\n)", _only_ipv6, text, flags=re.MULTILINE)
    for old, new in (
        (f"replicas: {_REPLICAS}", "replicas: {{ int .Values.replicas }}"),
        ("PreferDualStack", "{{ if .Values.ipv6 }}PreferDualStack{{ else }}SingleStack{{ end }}"),
        (
            f"serviceaccount:zznamespacezz/{account}",
            "serviceaccount:zznamespacezz/{{ if .Values.serviceAccount }}"
            "{{ .Values.serviceAccount }}{{ else }}" + account + "{{ end }}",
        ),
    ):
        if text.count(old) != 1:
            raise AssertionError(f"{old} stands {text.count(old)} times in the template")
        text = text.replace(old, new)
    return re.sub(r"zz([a-z]+)zz", lambda match: _VALUES[match[1]], text)


def _only_ipv6(line: re.Match[str]) -> str:
    return "{{- if .Values.ipv6 }}\n" + line[1].rstrip("\n") + "\n{{- end }}\n"


def _schema() -> dict[str, Any]:
    """Schema of the values (Helm's Charts guide, Schema Files): what could break out is refused."""

    def text(pattern: str) -> dict[str, str]:
        return {"type": "string", "pattern": f"^(?:{pattern})$"}

    properties = {
        "agent": text(_NAME),
        "serviceAccount": text("|[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"),
        "image": text("[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}"),
        "replicas": {"type": "integer", "minimum": 1, "maximum": 100},
        "ipv6": {"type": "boolean"},
        "issuer": text("https://[A-Za-z0-9._~/:%-]{1,500}"),
        "keys": text("[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"),
        "policy": {"type": "string", "maxLength": 262_144},
        "global": {"type": "object"},
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "required": ["agent", "image", "replicas", "issuer", "keys", "policy"],
    }


_VALUES_HEAD: Final = """\
# agent: name of the workload; rewrite it by `egressguard k8s inject --no-around`.
# serviceAccount: of the workload's pods, if it names one.
# keys: ConfigMap with the cluster's keys, jwks.json in it.
# policy: text of egressguard.yaml.
"""

_NOTES: Final = """\
The proxy of {{ .Values.agent }} is there. It needs, once:
  egressguard proxy ca DIR
  kubectl -n {{ .Release.Namespace }} create secret generic \\
    {{ .Values.agent }}-egressguard-authority --from-file=DIR/ca.crt --from-file=DIR/ca.key
  kubectl -n {{ .Release.Namespace }} create configmap {{ .Values.keys }} \\
    --from-literal=jwks.json="$(kubectl get --raw /openid/v1/jwks)"
Then apply the workload:
  egressguard k8s inject --no-around --namespace {{ .Release.Namespace }} \\
    -f WORKLOAD.yaml | kubectl apply -f -
"""
