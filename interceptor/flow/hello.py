"""Whether a ClientHello names the host that its connection stands for."""

from __future__ import annotations

from interceptor.flow.context import FlowContext
from interceptor.flow.request import mismatch
from interceptor.flow.tunnel import is_address
from interceptor.verdict import Reason, Verdict
from interceptor.wire.tls_hello import ClientHello


def judge_hello(context: FlowContext, hello: ClientHello, host: str) -> Verdict | None:
    """Hold the server name against `host`, the connection's identity; None: they agree.

    GREASE and real Encrypted Client Hello look alike (RFC 9849 section 6.2); the name outside tells
    them apart. It is the host's own where there is nothing to hide, and that of somebody else, the
    front, where there is.
    """
    name = hello.server_name
    if not name:
        if context.sni == "required":
            detail = "TLS without a server name"
            return context.judge.refuse(Reason.SNI_MISSING, detail, "hosts.sni")
        return None
    if name == host:
        return None
    refused = mismatch(context.judge, "SNI", name, host)
    if not hello.has_ech or is_address(host) or refused.reason is not Reason.NAME_MISMATCH:
        return refused
    detail = f"encrypted ClientHello: {refused.detail}"
    return context.judge.refuse(Reason.ECH_REFUSED, detail)
