"""Public resolvers that speak DNS over HTTPS, TLS or QUIC, by host name, as data.

Hosts that serve nothing else, or nothing that an agent has a use for. Written from the pages of the
vendors as of 2025; they were not fetched. The list is not what keeps names in: DNS over HTTPS is
known by its form as well, whoever serves it (`interceptor.decide.encrypted_dns`).
"""

from __future__ import annotations

EXACT: tuple[tuple[str, tuple[str, ...]], ...] = (
    # developers.google.com/speed/public-dns/docs/doh
    ("Google", ("dns.google", "dns.google.com", "dns64.dns.google", "8888.google")),
    # developers.cloudflare.com/1.1.1.1/encryption
    ("Cloudflare", ("one.one.one.one", "dns.cloudflare.com", "1dot1dot1dot1.cloudflare-dns.com")),
    # quad9.net/service/service-addresses-and-features
    ("Quad9", tuple(f"{host}.quad9.net" for host in ("dns", "dns9", "dns10", "dns11", "dns12"))),
    # support.opendns.com, "Using DNS over HTTPS with OpenDNS"
    ("OpenDNS", ("doh.opendns.com", "dns.opendns.com", "doh.umbrella.com", "dns.umbrella.com")),
    ("OpenDNS", ("doh.familyshield.opendns.com", "doh.sandbox.opendns.com")),
    # adguard-dns.io/en/public-dns.html
    ("AdGuard", ("dns.adguard.com", "dns-family.adguard.com", "dns-unfiltered.adguard.com")),
    # cleanbrowsing.org/guides/dnsoverhttps
    ("CleanBrowsing", ("doh.cleanbrowsing.org",)),
    # controld.com/free-dns
    ("Control D", ("freedns.controld.com",)),
    # dns.sb/doh
    ("DNS.SB", ("doh.dns.sb", "doh.sb", "dot.sb")),
    # alidns.com, dnspod.cn/products/publicdns, sdns.360.net
    ("AliDNS", ("dns.alidns.com",)),
    ("DNSPod", ("doh.pub", "dot.pub", "dns.pub")),
    ("360", ("doh.360.cn", "dot.360.cn")),
    # corporate.comcast.com, "encrypted DNS"
    ("Comcast", ("doh.xfinity.com", "dot.xfinity.com")),
    # nic.cz/odvr, switch.ch/security/info/public-dns
    ("CZ.NIC", ("odvr.nic.cz",)),
    ("SWITCH", ("dns.switch.ch",)),
    # cira.ca/canadian-shield
    (
        "CIRA",
        tuple(f"{kind}.canadianshield.cira.ca" for kind in ("private", "protected", "family")),
    ),
    # joindns4.eu/for-public
    ("DNS4EU", tuple(f"{kind}.joindns4.eu" for kind in ("protective", "child", "noads"))),
    ("DNS4EU", ("unfiltered.joindns4.eu", "child-noads.joindns4.eu")),
    # public.dns.iij.jp, meta.wikimedia.org/wiki/Wikimedia_DNS, dns.he.net
    ("IIJ", ("public.dns.iij.jp",)),
    ("Wikimedia", ("wikimedia-dns.org",)),
    ("Hurricane Electric", ("ordns.he.net",)),
    # applied-privacy.net/services/dns, digitale-gesellschaft.ch/dns, libredns.gr, ffmuc.net
    (
        "Applied Privacy",
        ("doh.applied-privacy.net", "doh.appliedprivacy.net", "dot1.applied-privacy.net"),
    ),
    ("Digitale Gesellschaft", ("dns.digitale-gesellschaft.ch",)),
    ("LibreDNS", ("doh.libredns.gr", "dot.libredns.gr")),
    ("FFMUC", ("doh.ffmuc.net", "dot.ffmuc.net")),
    # blog.uncensoreddns.org, dnsforge.de, njal.la, tiarap.org, powerdns.org/doh, sebydns.com
    ("UncensoredDNS", ("anycast.uncensoreddns.org", "unicast.uncensoreddns.org")),
    ("dnsforge", ("dnsforge.de",)),
    ("Njalla", ("dns.njal.la",)),
    ("TiarAP", ("doh.tiar.app", "dot.tiar.app", "doh.tiarap.org", "jp.tiar.app")),
    ("PowerDNS", ("doh.powerdns.org",)),
    ("Seby", ("doh.seby.io", "dot.seby.io")),
    # surfshark.com, support.aa.net.uk and twnic.tw, on their resolvers
    ("Surfshark", ("dns.surfsharkdns.com",)),
    ("Andrews & Arnold", ("dns.aa.net.uk",)),
    ("TWNIC", ("dns.twnic.tw",)),
)
"""(provider, its hosts)."""

BELOW: tuple[tuple[str, str], ...] = (
    ("Cloudflare", "cloudflare-dns.com"),  # and mozilla., chrome., security., family., odoh.
    ("Cloudflare", "cloudflare-gateway.com"),  # TEAM.cloudflare-gateway.com
    ("AdGuard", "adguard-dns.com"),
    ("NextDNS", "dns.nextdns.io"),  # nextdns.io/setup: the id of a configuration in the label
    ("Mullvad", "dns.mullvad.net"),  # mullvad.net/help/dns-over-https-and-dns-over-tls
    ("dns0.eu", "dns0.eu"),
    ("Control D", "dns.controld.com"),
)
"""(provider, domain): the domain and every name below it."""

_EXACT = {host: provider for provider, hosts in EXACT for host in hosts}
_BELOW = {domain: provider for provider, domain in BELOW}


def provider_of(host: str) -> str:
    """Name the provider that serves DNS at a lower-case host name; empty if none is known to."""
    found = _EXACT.get(host)
    if found is not None:
        return found
    while host:
        found = _BELOW.get(host)
        if found is not None:
            return found
        host = host.partition(".")[2]
    return ""
