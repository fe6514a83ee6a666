"""Whether a token goes back to who issued it, or to the service that it was issued for.

The names of one registered domain have one owner, so that a token of `login.example.com` is at home
at `stream.example.com`. Below the domains of the large providers others have pages, forms and
programs of their own: there, only the very host is the token's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from interceptor.decide.suffixes import public_suffixes

PROVIDERS: Final = frozenset(
    """
    amazon.com amazonaws.com amazoncognito.com apple.com atlassian.com atlassian.net auth0.com
    azure.com b2clogin.com bitbucket.org ciamlogin.com clerk.dev cloudflare.com
    cloudflareaccess.com discord.com facebook.com firebaseio.com github.com gitlab.com google.com
    googleapis.com huggingface.co ibm.com linkedin.com live.com microsoft.com microsoftonline.com
    notion.so office.com okta.com oktapreview.com onelogin.com oracle.com oraclecloud.com
    pingone.com salesforce.com sharepoint.com shopify.com slack.com supabase.co telegram.org
    twitter.com vercel.com windows.net x.com yahoo.com yandex.ru zoho.com zoom.us
    """.split()  # noqa: SIM905
)
"""Registered domains that sign people in for others, or where strangers' content is served."""


def is_own(hosts: Iterable[str], host: str) -> bool:
    """Say whether `host` belongs to one of `hosts`.

    Args:
        hosts: that a token names, lower case, see `interceptor.scan.validators.jwt.own_hosts`.
        host: where it goes, lower-case name or address text.
    """
    hosts = tuple(hosts)
    if host in hosts:
        return True
    if not hosts or not host.isascii() or not host[-1:].isalpha():  # an address has no owner's name
        return False
    registrable = public_suffixes().registrable
    site = registrable(host)
    return site not in PROVIDERS and any(registrable(one) == site for one in hosts)
