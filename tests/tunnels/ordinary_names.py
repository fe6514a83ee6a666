"""Names that an agent meets at honest work: found in packages, and made as clouds make theirs."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Sequence
from typing import Final

from tests.tunnels.coding import listed

_ALNUM: Final = string.ascii_lowercase + string.digits
_HEX: Final = "0123456789abcdef"
_B32: Final = "abcdefghijklmnopqrstuvwxyz234567"
_REGIONS: Final = (
    *("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2"),
    *("ap-northeast-1", "sa-east-1", "ca-central-1"),
)
_AZURE: Final = ("westeurope", "northeurope", "eastus", "eastus2", "uksouth", "francecentral")
_TEAMS: Final = listed(
    "payments billing orders checkout catalog search identity profile shipping inventory "
    "fraud ledger pricing reports exports webhooks notifications mailer scheduler gateway "
    "frontend storefront mobile analytics events telemetry features experiments config vault "
    "audit support"
)
_ENVS: Final = ("prod", "staging", "dev", "qa", "uat", "sandbox", "preview")
_CORPS: Final = ("acme-industries", "northwind", "contoso", "initech", "globex", "umbrella-health")
_IDN: Final = listed(
    "bücher münchen-tourismus straßenbahn café-crème école élysée niño españa københavn "
    "smörgåsbord łódź żółw пример почта новости παράδειγμα 例え 日本語 中文网 한국어 türkiye "
    "müller-und-söhne"
)


def _of(rng: random.Random, signs: str, size: int) -> str:
    return "".join(rng.choices(signs, k=size))


def _uuid(rng: random.Random) -> str:
    h = _of(rng, _HEX, 32)
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{rng.choice('89ab')}{h[17:20]}-{h[20:]}"


def clouds(rng: random.Random) -> list[str]:
    """Names that three clouds and their like give to things, some forty."""
    r, a = rng.choice(_REGIONS), rng.choice(_AZURE)
    team, env, corp = rng.choice(_TEAMS), rng.choice(_ENVS), rng.choice(_CORPS)
    ip = "-".join(str(rng.randint(1, 254)) for _ in range(4))
    account = _of(rng, string.digits, 12)
    return [
        f"d{_of(rng, _ALNUM, 13)}.cloudfront.net",
        f"d{_of(rng, _ALNUM, 13)}.cloudfront.net",
        f"{corp}-{team}-{env}-{account}.s3.{r}.amazonaws.com",
        f"{corp}-assets.s3.amazonaws.com",
        f"{_of(rng, _ALNUM, 10)}.execute-api.{r}.amazonaws.com",
        f"{team}-{env}-alb-{_of(rng, string.digits, 10)}.{r}.elb.amazonaws.com",
        f"k8s-{team[:8]}-ingress-{_of(rng, _HEX, 10)}-{account[:10]}.{r}.elb.amazonaws.com",
        f"a{_of(rng, _HEX, 32)}-{_of(rng, _HEX, 16)}.elb.{r}.amazonaws.com",
        f"{team}-{env}.c{_of(rng, _ALNUM, 11)}.{r}.rds.amazonaws.com",
        f"ec2-{ip}.{r}.compute.amazonaws.com",
        f"ec2-{ip}.compute-1.amazonaws.com",
        f"search-{team}-{env}-{_of(rng, _ALNUM, 26)}.{r}.es.amazonaws.com",
        f"vpce-{_of(rng, _HEX, 17)}-{_of(rng, _ALNUM, 8)}.s3.{r}.vpce.amazonaws.com",
        f"{account}.dkr.ecr.{r}.amazonaws.com",
        f"{_of(rng, _HEX, 32).upper().lower()}.gr7.{r}.eks.amazonaws.com",
        f"sts.{r}.amazonaws.com",
        f"ec2.{r}.amazonaws.com",
        f"secretsmanager.{r}.amazonaws.com",
        f"bedrock-runtime.{r}.amazonaws.com",
        f"{_of(rng, _ALNUM, 32)}.lambda-url.{r}.on.aws",
        f"{corp.replace('-', '')}{team}{env}.blob.core.windows.net",
        f"{team}-{env}-{_of(rng, _ALNUM, 13)}.{a}-01.azurewebsites.net",
        f"aks-{team}-dns-{_of(rng, _HEX, 8)}.hcp.{a}.azmk8s.io",
        f"{team}.{_of(rng, _ALNUM, 14)}.{a}.azurecontainerapps.io",
        f"{corp}-{team}.openai.azure.com",
        f"{team}-{env}-{_of(rng, _ALNUM, 10)}-uc.a.run.app",
        f"{team}-{account}.us-central1.run.app",
        f"us-central1-{corp}-{env}-{_of(rng, string.digits, 6)}.cloudfunctions.net",
        f"{team}-{env}-{_of(rng, _HEX, 5)}.firebaseio.com",
        f"rr{rng.randint(1, 8)}---sn-{_of(rng, _ALNUM, 8)}.googlevideo.com",
        f"cluster0-shard-00-0{rng.randint(0, 2)}.{_of(rng, _ALNUM, 5)}.mongodb.net",
        f"redis-{_of(rng, string.digits, 5)}.c{rng.randint(1, 99)}.{r}-2.ec2.cloud.redislabs.com",
        f"{team}-{_of(rng, _ALNUM, 9)}-{corp}.vercel.app",
        f"{_of(rng, _HEX, 8)}.{team}-{env}.pages.dev",
        f"deploy-preview-{rng.randint(1, 999)}--{corp}.netlify.app",
        f"o{_of(rng, string.digits, 6)}.ingest.sentry.io",
        f"{_of(rng, string.ascii_uppercase, 10).lower()}-dsn.algolia.net",
        f"{_of(rng, _ALNUM, 8)}.{r}.snowflakecomputing.com",
        f"bafybei{_of(rng, _B32, 52)}.ipfs.dweb.link",
        f"a{'-'.join(ip.split('-'))}.deploy.static.akamaitechnologies.com",
        f"e{_of(rng, string.digits, 5)}.dsc{rng.choice('abcdg')}.akamaiedge.net",
        f"{_uuid(rng)}.ngrok-free.app",
        f"{corp}.slack.com",
        f"dev-{_of(rng, _ALNUM, 8)}.us.auth0.com",
        f"gateway-{team}.{_of(rng, _HEX, 24)}.workers.dev",
    ]


def company(rng: random.Random) -> list[str]:
    """What one company's own domain holds: services, hosts by number, long names, mail records."""
    domain = f"{rng.choice(_CORPS)}.{rng.choice(('com', 'io', 'co.uk', 'example'))}"
    region = rng.choice(_REGIONS)
    some = rng.sample(_TEAMS, 9)
    names = [f"{team}.{rng.choice(_ENVS)}.{domain}" for team in some[:4]]
    names += [f"svc-{team}-prod-{region}.internal.corp.{domain}" for team in some[4:]]
    names += [f"{some[0]}-worker-{n:03d}.{region}.compute.internal.{domain}" for n in range(1, 9)]
    names += [
        f"api.{domain}",
        f"www.{domain}",
        domain,
        f"selector1._domainkey.{domain}",
        f"_dmarc.{domain}",
        f"_acme-challenge.www.{domain}",
        f"k2._domainkey.mail.{domain}",
        f"host-for-the-{some[5]}-reports-of-the-{some[6]}-team.{domain}",
        f"eu-central-1a-{some[1]}-postgresql-primary-replica-2.databases.{domain}",
        f"{_uuid(rng)}.previews.{domain}",
        f"{_of(rng, _HEX, 40)}.static.{domain}",
        f"pr-{rng.randint(100, 9999)}-{_of(rng, _HEX, 7)}.preview.{domain}",
    ]
    return names


def cluster(rng: random.Random) -> list[str]:
    """Services of a cluster of Kubernetes."""
    some = rng.sample(_TEAMS, 10)
    names = [f"{team}.{rng.choice(_ENVS)}.svc.cluster.local" for team in some]
    names += [
        "kubernetes.default.svc.cluster.local",
        "kube-dns.kube-system.svc.cluster.local",
        f"{some[0]}-postgresql-headless.databases.svc.cluster.local",
        f"redis-master-0.redis-headless.{some[1]}.svc.cluster.local",
        f"{'-'.join(str(rng.randint(0, 255)) for _ in range(4))}.{some[2]}.pod.cluster.local",
    ]
    return names


def content(rng: random.Random) -> list[str]:
    """Networks that spread over numbered and hashed hosts of one domain."""
    name = rng.choice(("streamly", "picshare", "newsroom", "mapserve"))
    domain = f"{name}{rng.randint(1, 99)}.{rng.choice(('net', 'com'))}"
    names = [f"img{n}.cdn.{domain}" for n in range(1, 7)]
    names += [
        f"edge-{rng.choice(('fra', 'ams', 'lhr', 'iad', 'sin'))}{n}.{domain}" for n in range(5)
    ]
    names += [f"{rng.choice('abcdef')}.tiles.{domain}", f"static-{_of(rng, _HEX, 6)}.{domain}"]
    names += [f"{_of(rng, _HEX, 32)}.assets.{domain}", f"{_of(rng, _ALNUM, 12)}.media.{domain}"]
    return names


def international(rng: random.Random) -> list[str]:
    """Names with letters beyond ASCII."""
    return [
        f"{word.encode('idna').decode()}.{rng.choice(('com', 'de', 'example', 'org'))}"
        if rng.random() < 0.6
        else f"www.{word.encode('idna').decode()}.{rng.choice(('eu', 'net', 'shop'))}"
        for word in rng.sample(_IDN, 6)
    ]


def reverse(rng: random.Random) -> list[str]:
    """Addresses that are asked for their names."""
    return [
        f"{rng.randint(1, 254)}.{rng.randint(0, 255)}.18.198.in-addr.arpa" for _ in range(6)
    ] + [f"{rng.randint(1, 254)}.113.0.203.in-addr.arpa" for _ in range(3)]


def days(count: int, found: Sequence[str], seed: int) -> Iterator[list[str]]:
    """Give the names of each day of an agent: those found, dealt out, and made ones."""
    rng = random.Random(f"days {seed}")
    dealt = sorted(found)
    rng.shuffle(dealt)
    share = -(-len(dealt) // count)
    for number in range(count):
        names = dealt[number * share : (number + 1) * share]
        for make in (clouds, clouds, company, cluster, content, international, reverse):
            names += make(rng)
        rng.shuffle(names)
        yield names
