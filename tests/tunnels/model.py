"""Write interceptor/rules/labels.dat anew: `python -m tests.tunnels.model`.

Statistics of ordinary labels: how rare three signs in a row are, and which words are frequent. Made
of the names of the tuning half and of the words of this machine's documentation; no name stands in
the file.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from pathlib import Path
from typing import Final

from interceptor.decide.suffixes import public_suffixes
from interceptor.scan.naming.ordinary import JOINT, SIGNS, UNIT, folded
from tests.tunnels import found
from tests.tunnels.coding import listed

OUT: Final = Path(__file__).resolve().parents[2] / "interceptor/rules/labels.dat"
WORDS: Final = 4096
_WORDS_OF_DOCS: Final = 6000
_NO_NAMES: Final = ("pypi", "npm", "rubygem", "nuget", "crates", "docker")


def main() -> None:
    """Count, and write."""
    of_names = found.names(found.TUNING)
    domains = public_suffixes()
    labels: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for name in of_names:
        own = domains.registrable(name)
        payload = name[: -len(own)].rstrip(".")
        for label in [*payload.split("."), own.partition(".")[0]]:
            if label and not label.startswith("xn--"):
                labels[label] += 1
        for label in payload.split("."):
            tokens.update(_tokens(label))
    of_docs = found.words(_WORDS_OF_DOCS)
    ranked = [t for t, n in tokens.most_common() if n > 1 and len(t) > 1]
    ranked += [t for t in of_docs if t not in set(ranked)]
    ranked = [t for t in ranked if not any(n in t for n in _NO_NAMES) and t not in _MORE]
    ranked = [*ranked[:20], *_MORE, *ranked[20:]][:WORDS]
    weights = {label: 1.0 + math.log(count) for label, count in labels.items()}
    for word in of_docs:
        weights[word] = weights.get(word, 0.0) + 0.3
    table = _costs(weights)
    body = zlib.compress(table, 9)
    head = f"# ordinary labels: {len(labels)} labels, {len(ranked)} words; tests/tunnels/model.py\n"
    OUT.write_bytes(head.encode() + " ".join(ranked).encode() + b"\n" + body)
    print(head, len(body), "bytes of table")


def _tokens(label: str) -> list[str]:
    return [t for t in folded(label).replace(JOINT, " ").replace("0", " ").split() if t]


def _costs(weights: dict[str, float]) -> bytes:
    """Return -log2 P(third | two before), in units of 1 / UNIT bits; one byte each."""
    size = len(SIGNS)
    index = {sign: number for number, sign in enumerate(SIGNS)}
    three = [0.0] * size**3
    two = [0.0] * size**2
    one = [0.0] * size
    for label, weight in weights.items():
        signs = [0, 0, *(index[c] for c in folded(label)), 0]
        for a, b, c in zip(signs, signs[1:], signs[2:], strict=False):
            three[(a * size + b) * size + c] += weight
            two[b * size + c] += weight
            one[c] += weight
    whole = sum(one)
    of_one = [(n + 1) / (whole + size) for n in one]
    costs = bytearray()
    for a in range(size):
        for b in range(size):
            row = three[(a * size + b) * size : (a * size + b + 1) * size]
            short = two[b * size : (b + 1) * size]
            n3, t3 = sum(row), sum(1 for n in row if n)
            n2, t2 = sum(short), sum(1 for n in short if n)
            for c in range(size):  # Witten and Bell: what was not seen, by how much was new
                p2 = (short[c] + (t2 + 1) * of_one[c]) / (n2 + t2 + 1)
                p3 = (row[c] + (t3 + 1) * p2) / (n3 + t3 + 1)
                costs.append(min(255, round(-math.log2(p3) * UNIT)))
    return bytes(costs)


_MORE: Final = listed(
    "prod dev stage staging test qa uat sandbox preview internal external private public corp "
    "lan svc cluster local default kube system ingress egress gateway proxy lb elb alb nlb vpc "
    "ec2 eks ecs rds sqs sns s3 lambda execute iam sts kms logs monitoring metrics grafana "
    "prometheus auth login sso oauth oidc accounts account api apis rest graphql grpc ws wss "
    "socket stream events webhook hooks cdn static assets media images img video audio files "
    "upload uploads download downloads edge cache origin app apps web www2 admin portal "
    "dashboard console panel mail smtp imap pop mx ns dns ntp vpn ssh git ci cd build builds "
    "runner runners artifacts registry repo mirror data db sql postgres mysql redis mongo kafka "
    "search index queue jobs worker workers node nodes master primary replica backup batch "
    "payments billing orders checkout cart customer users user profile identity session token "
    "service services server servers host hosts client clients mobile ios android us eu ap sa ca "
    "af me gov east west north south central northeast southeast northwest southwest region zone "
    "az global uk de fr jp sg au in br cn kr hk tw nl se pl az1 blob core windows azure cloudapp "
    "aws amazon google googleapis cloud compute storage bucket instance functions run pages site "
    "shop store blog docs wiki help support status community forum news feed feeds analytics "
    "tracking telemetry collect tag tags ads beta alpha canary green blue acme challenge dmarc "
    "domainkey selector spf tcp udp sip autodiscover headless pod postgresql endpoint endpoints "
    "deploy preview previews v1 v2 ip dyn dynamic pool dhcp broadband cable home"
)
"""Words of the names of clouds and companies, of which packages hold few."""

if __name__ == "__main__":
    main()
