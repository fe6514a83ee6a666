"""`egressguard k8s`: manifests of Kubernetes whose pods have one way out."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

import interceptor
from interceptor.cli.jail_checks import Fault, tell
from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE

DEFAULT_POLICY = "version: 1\npreset: balanced\n"

EPILOG = """\b
Examples:
  egressguard k8s inject -f agent.yaml -o held.yaml && kubectl apply -f held.yaml
  egressguard k8s inject -f agent.yaml --policy egressguard.yaml --namespace agents
  egressguard k8s inject -f agent.yaml --form sidecar --agent-uid 1000
  egressguard k8s chart -o egressguard-chart
  egressguard k8s dockerfile > Dockerfile

\b
Exit codes: 0; 2 wrong usage, or a manifest or policy that cannot be used (nothing is written);
125 a file could not be written, or a pod could not be set up.
"""

INJECT_EPILOG = """\b
Examples:
  egressguard k8s inject -f agent.yaml -o held.yaml
  kubectl get deployment agent -o yaml | egressguard k8s inject -f - | kubectl apply -f -
  egressguard k8s inject -f agent.yaml --form sidecar --agent-uid 1000

\b
companion  A proxy of its own pods; NetworkPolicies leave the agent no other way out. The stronger
           form, for programs that use HTTPS_PROXY; others are offline.
sidecar    Rules in the pod's network namespace lead every connection to a sidecar. For any
           program; the agent must not run as root.

\b
Exit codes: 0; 2 wrong usage, or a manifest or policy that cannot be used: the message has file,
line, cause and fix, and nothing is written; 125 the output could not be written.
"""


@click.group("k8s", epilog=EPILOG)
def command() -> None:
    """Rewrite Kubernetes workloads so that their only way out is egressguard."""


@command.command("inject", epilog=INJECT_EPILOG)
@click.option("-f", "--file", "file", metavar="FILE", required=True, help="Manifests; - is stdin.")
@click.option(
    "--form",
    type=click.Choice(["companion", "sidecar"]),
    default="companion",
    show_default=True,
    help="See below.",
)
@click.option("--policy", metavar="FILE", help="Policy file; the preset `balanced` without.")
@click.option("--namespace", default="default", show_default=True, help="Of what says none.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where it goes; - is stdout.")
@click.option("--image", metavar="IMAGE", help="Ours, made by `egressguard k8s dockerfile`.")
@click.option("--replicas", type=click.IntRange(1, 100), default=2, show_default=True)
@click.option("--issuer", metavar="URL", help="Issuer of the cluster's service-account tokens.")
@click.option(
    "--keys", metavar="NAME", default="egressguard-keys", help="ConfigMap with the cluster's keys."
)
@click.option("--authority", metavar="NAME", default="", help="Secret with ca.crt and ca.key.")
@click.option("--ipv6", is_flag=True, help="The cluster has IPv6: the proxy listens there, too.")
@click.option("--ingress", is_flag=True, help="Leave the agent's ingress; closed without.")
@click.option(
    "--agent-uid", type=click.IntRange(1, 2**31), help="Sidecar: uid of agents that say none."
)
@click.option("--around/--no-around", default=True, help="Emit what stands around the workload.")
def inject(
    *,
    file: str,
    form: str,
    policy: str | None,
    namespace: str,
    output: str,
    image: str | None,
    replicas: int,
    issuer: str | None,
    keys: str,
    authority: str,
    ipv6: bool,
    ingress: bool,
    agent_uid: int | None,
    around: bool,
) -> int:
    """Write the manifests of FILE anew: their pods reach egressguard and nothing else.

    Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, and lists of them; the rest
    goes out as it came. What cannot be held (host networks, privileges, paths of the node...) is an
    error. Injecting the result again changes nothing.
    """
    from interceptor.kubernetes.documents import ManifestError
    from interceptor.kubernetes.inject import inject as injected
    from interceptor.kubernetes.parts import Options
    from netns import trust

    options = Options(
        image=_image(image),
        policy=_policy(policy),
        keys=_name("--keys", keys),
        authority=_name("--authority", authority) if authority else "",
        replicas=replicas,
        ipv6=ipv6,
        ingress=ingress,
        agent_uid=agent_uid,
        around=around,
    )
    if issuer:
        import msgspec

        options = msgspec.structs.replace(options, issuer=issuer)
    try:
        done = injected(
            _read(file),
            "standard input" if file == "-" else file,
            form=form,
            namespace=_name("--namespace", namespace),
            options=options,
            trust=trust.variables(),
        )
    except ManifestError as error:
        raise Fault(str(error), EXIT_USAGE) from None
    _write(output, done.text)
    for place, name, secret in done.workloads:
        tell(f"{place}/{name}: held, {form} form")
        if secret:
            tell(
                f"  it needs, once: egressguard proxy ca DIR && kubectl -n {place} create secret "
                f"generic {secret} --from-file=DIR/ca.crt --from-file=DIR/ca.key"
            )
            tell(
                f"  and kubectl -n {place} create configmap {keys} "
                '--from-literal=jwks.json="$(kubectl get --raw /openid/v1/jwks)"'
            )
    return 0


@command.command("chart")
@click.option("-o", "--output", "folder", metavar="DIR", required=True, help="Made if missing.")
def chart(folder: str) -> int:
    """Write a Helm chart of the companion form's proxy; rewrite workloads by inject --no-around."""
    from interceptor.kubernetes import chart as made

    try:
        for name, content in made.files(interceptor.__version__).items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")
            click.echo(path)
    except OSError as error:
        raise Fault(f"{error.filename}: {error.strerror}", EXIT_SETUP) from None
    return 0


@command.command("pod-rules", hidden=True)
@click.option("--uid", type=int, required=True, help="Of the sidecar.")
@click.option("--closed", is_flag=True, help="Nobody may connect to the pod.")
def pod_rules(*, uid: int, closed: bool) -> int:
    """Write the rules of this pod's network, and give up all rights (init container)."""
    from interceptor.cli import k8s_pod

    return k8s_pod.rules(uid, closed=closed)


@command.command("pod-serve", hidden=True)
@click.option("--name", required=True)
@click.option("--policy", required=True, metavar="FILE")
@click.option("--ca-dir", required=True, metavar="DIR", help="The pod's authority.")
@click.option("--trust", required=True, metavar="DIR", help="Gets ca.crt.")
@click.option("--evidence", default="-", metavar="FILE")
def pod_serve(*, name: str, policy: str, ca_dir: str, trust: str, evidence: str) -> int:
    """Serve this pod's agent (sidecar)."""
    from interceptor.cli import k8s_pod
    from interceptor.policy.loading import PolicyError, load

    try:
        loaded = load(policy, None)
    except PolicyError as error:
        raise Fault(str(error), EXIT_USAGE) from None
    return k8s_pod.serve(
        name=_name("--name", name),
        policy=loaded,
        folder=str(Path(policy).absolute().parent),
        authority=Path(ca_dir),
        trust=Path(trust),
        evidence=evidence,
    )


@command.command("dockerfile")
def dockerfile() -> int:
    """Print the Dockerfile of our image; the context is a checkout of egressguard."""
    from importlib import resources

    click.echo(
        (resources.files("interceptor.kubernetes") / "Dockerfile").read_text("utf-8"), nl=False
    )
    return 0


def _policy(file: str | None) -> str:
    """Text of a policy that can be used in a ConfigMap.

    Raises:
        Fault: it cannot.
    """
    from interceptor.policy.loading import PolicyError, load

    if file is None:
        return DEFAULT_POLICY
    try:
        text = Path(file).read_text("utf-8")
        policy = load(file, None)
    except (PolicyError, UnicodeDecodeError) as error:
        raise Fault(str(error), EXIT_USAGE) from None
    except OSError as error:
        raise Fault(f"{file}: {error.strerror}; check --policy", EXIT_USAGE) from None
    if policy.rules.files or policy.secrets.files or policy.upstream.ca_file:
        raise Fault(
            f"{file}: it names other files, which the cluster has not; leave out rules.files, "
            "secrets.files and upstream.ca_file",
            EXIT_USAGE,
        )
    return text if text.endswith("\n") else f"{text}\n"


def _image(image: str | None) -> str:
    image = image or f"egressguard:{interceptor.__version__}"
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}", image) is None:
        raise Fault(f"--image {image}: not the name of an image", EXIT_USAGE)
    return image


def _name(option: str, text: str) -> str:
    if re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", text) is None:
        raise Fault(f"{option} {text}: only a-z, 0-9 and -, 63 at most", EXIT_USAGE)
    return text


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise Fault(f"{file}: {error.strerror}; check -f", EXIT_USAGE) from None
    except UnicodeDecodeError as error:
        raise Fault(
            f"{file}: not UTF-8: {error.reason} at byte {error.start}", EXIT_USAGE
        ) from None


def _write(output: str, text: str) -> None:
    if output == "-":
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, "utf-8")
    except OSError as error:
        raise Fault(f"{output}: {error.strerror}", EXIT_SETUP) from None
