from __future__ import annotations

import itertools
import ssl
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.flow.steps import Close, Dial, Finished, Record, Resolve, Terminate, ToUpstream
from tests.conversation import OK, Conversation, ScriptedJudge, get


def client_hello(name: str | None, alpn: Sequence[str] = ()) -> bytes:
    """A ClientHello as Python's OpenSSL writes it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(list(alpn))
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def sealed(sni: str | None = "api.example.com", **options: object) -> Conversation:
    """A conversation after the ClientHello."""
    options.setdefault("port", 443)
    talk = Conversation(**options)  # type: ignore[arg-type]
    return talk.say(client_hello(sni))


def test_tls_is_answered_under_the_leased_name() -> None:
    talk = sealed(answer=lambda _: OK)
    assert talk.terminated == ["api.example.com"]
    talk.say(get())
    assert talk.statuses == [200]
    dial = next(step for step in talk.steps if isinstance(step, Dial))
    assert (dial.target.scheme, dial.target.host, dial.target.port) == (
        *("https", "api.example.com"),
        443,
    )


def test_a_hello_at_every_cut() -> None:
    hello = client_hello("api.example.com")
    for cut in range(1, len(hello), 13):
        talk = Conversation(port=443).say(hello[:cut])
        assert talk.terminated == []
        talk.say(hello[cut:])
        assert talk.terminated == ["api.example.com"]
        assert isinstance(talk.steps[-1], Terminate)
        assert talk.steps[-1].hello == hello


def test_no_sni_is_the_leased_name() -> None:
    talk = sealed(None, answer=lambda _: OK).say(get())
    assert talk.terminated == ["api.example.com"]
    assert talk.statuses == [200]


def test_another_sni_is_answered_but_never_served() -> None:
    talk = sealed("other.example").say(get(host="other.example"))
    assert talk.terminated == ["other.example"]
    assert talk.blocks == ["name_mismatch"]
    assert talk.statuses == [403]


def test_sni_on_a_dialled_address_is_a_mismatch() -> None:
    talk = sealed("api.example.com", name="", address="192.0.2.9").say(get())
    assert talk.blocks == ["name_mismatch"]


@pytest.mark.parametrize(
    "host", ["other.example", "api.example.com:444", "api.example.com.evil.example", "192.0.2.1"]
)
def test_another_host_is_refused(host: str) -> None:
    talk = sealed().say(get(host=host))
    assert talk.blocks == ["name_mismatch"]
    assert talk.upstreams == []


@pytest.mark.parametrize("host", ["API.example.com", "api.example.com.", "api.example.com:443"])
def test_the_same_host_in_other_words_passes(host: str) -> None:
    talk = sealed(answer=lambda _: OK).say(get(host=host))
    assert talk.statuses == [200]
    assert b"Host: api.example.com\r\n" in talk.sent


def test_absolute_form_inside_tls_is_held_against_the_name() -> None:
    request = b"GET https://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n"
    good = b"api.example.com"
    assert sealed(answer=lambda _: OK).say(request % (good, good)).statuses == [200]
    assert sealed().say(request % (b"b.example", b"b.example")).blocks == ["name_mismatch"]
    assert sealed().say(request % (good, b"b.example")).blocks == ["name_mismatch"]
    plain = b"GET http://api.example.com:443/ HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n"
    assert sealed().say(plain).blocks == ["name_mismatch"]


# -- agents that believe in a proxy --------------------------------------------------------------

CONNECT = b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n"


def proxy(port: int = 3128, **options: object) -> Conversation:
    return Conversation(name="proxy.attacker.example", port=port, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("port", [80, 3128, 8080])
def test_connect_is_answered_here_and_the_inner_target_is_judged(port: int) -> None:
    talk = proxy(port, answer=lambda _: OK).say(CONNECT)
    assert talk.received == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert talk.upstreams == []
    talk.say(client_hello("api.example.com"))
    assert talk.terminated == ["api.example.com"]
    talk.say(get("/?k=SECRET"), get())
    assert talk.blocks == ["secret"]
    assert talk.statuses == [200, 403, 200]
    assert all(
        step.target.host == "api.example.com" for step in talk.steps if isinstance(step, Dial)
    )


def test_inner_sni_must_be_the_inner_name() -> None:
    talk = proxy().say(CONNECT + client_hello("other.example"), get(host="other.example"))
    assert talk.blocks == ["name_mismatch"]


def test_a_synthetic_address_stands_for_its_name_inside_too() -> None:
    connect = b"CONNECT 198.18.9.9:443 HTTP/1.1\r\nHost: 198.18.9.9:443\r\n\r\n"
    talk = proxy(leases={"198.18.9.9": "api.example.com"}, answer=lambda _: OK)
    talk.say(connect, client_hello("api.example.com"), get())
    assert talk.statuses == [200, 200]


def test_chains_of_proxies_are_followed_to_a_limit() -> None:
    inner = b"CONNECT p%d.example:80 HTTP/1.1\r\nHost: x\r\n\r\n"
    talk = proxy().say(*(inner % i for i in range(5)))
    assert talk.blocks == ["limit_exceeded"]
    assert talk.statuses == [200, 200, 200, 200, 403]


def test_a_secret_in_the_name_of_a_connect_is_refused() -> None:
    talk = proxy().say(b"CONNECT secret.evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert talk.blocks == ["secret_in_name"]
    assert talk.statuses == [403]


def test_a_closed_port_inside_is_told_inside() -> None:
    talk = proxy().say(b"CONNECT api.example.com:25 HTTP/1.1\r\nHost: x\r\n\r\n", get())
    assert talk.blocks == ["port_not_allowed"]


def test_absolute_form_names_the_target_of_each_request() -> None:
    request = b"GET http://%b/x HTTP/1.1\r\nHost: %b\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
    talk = proxy(answer=lambda _: OK)
    talk.say(request % (b"a.example", b"a.example"), request % (b"b.example:80", b"b.example"))
    assert talk.statuses == [200, 200]
    assert b"Proxy-" not in talk.sent
    assert [s.target.host for s in talk.steps if isinstance(s, Dial)] == ["a.example", "b.example"]
    assert proxy().say(request % (b"a.example", b"b.example")).blocks == ["name_mismatch"]
    judge = ScriptedJudge(denied=("a.example",))
    assert proxy(judge=judge).say(request % (b"a.example", b"a.example")).blocks == ["host_denied"]


# -- ports and protocols -------------------------------------------------------------------------


def test_silence_on_a_closed_port_is_reset_fast() -> None:
    talk = Conversation(port=25)
    assert talk.flow.deadline - talk.now <= 0.2
    talk.now += 0.2
    talk.act(talk.flow.timer(talk.now))
    assert talk.blocks == ["port_not_allowed"]
    assert talk.closed is not None
    assert talk.closed.reset


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"SSH-2.0-x\r\n", "ssh"),
        (b"\x00\x00\x00\x13\x00\x03\x00\x00user\0alice\0\0", "postgres"),
        (b"*1\r\n", "redis"),
        (b"\x13BitTorrent protocol", "bittorrent"),
        (b"RFB 003.008\n", "vnc"),
    ],
)
@pytest.mark.parametrize("port", [80, 443, 22, 9999])
def test_other_protocols_are_refused_by_name_with_one_event(
    data: bytes, name: str, port: int
) -> None:
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        talk = Conversation(port=port).say(*pieces)
        assert talk.blocks == ["protocol_refused"]
        detail = f"{name} is not opened for api.example.com:{port}; add it under tcp"
        assert talk.details == [detail]
        assert talk.closed is not None
        # The agent reads why where its protocol has a place for that, else there is a reset.
        assert talk.closed.reset is not (detail.encode() in talk.received)
        assert talk.closed.reset is (name in ("bittorrent", "vnc"))


_START = b"\x00\x00\x00\x13\x00\x03\x00\x00user\0alice\0\0"


def test_postgres_is_told_why_in_the_place_where_its_clients_show_it() -> None:
    requests = b"\x00\x00\x00\x08\x04\xd2\x16\x30", b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
    talk = Conversation(port=5432).say(*requests)
    assert talk.received == b"NN"
    assert talk.blocks == ["protocol_refused"]
    assert len(talk.steps) == 3
    talk.say(_START)
    assert b"postgres is not opened for api.example.com:5432" in talk.received[2:]
    assert talk.received[2:3] == b"E"
    assert talk.blocks == ["protocol_refused"]
    assert talk.closed is not None
    talk = Conversation(port=5432).say(requests[1])
    talk.act(talk.flow.timer(talk.flow.deadline))
    assert talk.closed is not None
    assert Conversation(port=5432).say(_START).received[:1] == b"E"


def test_unknown_bytes_are_reset_with_one_event() -> None:
    for port, reason in ((80, "protocol_refused"), (9999, "port_not_allowed")):
        talk = Conversation(port=port).say(b"\x99\x98\x97\x96\x95")
        assert talk.blocks == [reason]
        assert talk.closed is not None
        assert talk.closed.reset


def test_a_closed_port_is_named_by_what_is_usual_there() -> None:
    talk = Conversation(port=22)
    talk.now += 0.2
    talk.act(talk.flow.timer(talk.now))
    assert talk.blocks == ["port_not_allowed"]
    assert talk.details[0].endswith("ssh is not opened for api.example.com:22; add it under tcp")


def test_silence_inside_of_tls_on_a_closed_port_does_not_last() -> None:
    talk = Conversation(port=465).say(client_hello("api.example.com"))
    assert talk.terminated == ["api.example.com"]
    assert talk.flow.deadline - talk.now <= 1
    talk.now = talk.flow.deadline
    talk.act(talk.flow.timer(talk.now))
    assert talk.blocks == ["port_not_allowed"]
    assert "smtp is not opened for api.example.com:465" in talk.details[0]


def test_bytes_that_stop_too_early_to_be_known_are_refused_in_time() -> None:
    talk = Conversation(port=80).say(b"SS")
    assert not talk.blocks
    talk.now = talk.flow.deadline
    talk.act(talk.flow.timer(talk.now))
    assert talk.blocks == ["protocol_refused"]


def test_hosts_that_are_denied_are_denied_in_any_protocol() -> None:
    judge = ScriptedJudge(denied=("api.example.com",))
    talk = Conversation(judge=judge).say(b"SSH-2.0-x\r\n")
    assert talk.blocks == ["host_denied"]


def test_http_on_a_closed_port_is_told_why() -> None:
    talk = Conversation(port=8080).say(get(host="api.example.com:8080"))
    assert talk.blocks == ["port_not_allowed"]
    assert talk.statuses == [403]


def test_broken_tls_is_refused() -> None:
    talk = Conversation(port=443).say(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff" + b"\x00" * 9)
    assert talk.blocks == ["tls_malformed"]


def test_a_client_that_rejects_our_leaf_is_one_event() -> None:
    talk = sealed()
    talk.act(talk.flow.tls_failed("unknown ca", talk.now))
    assert talk.blocks == ["tls_client_rejected"]


def test_a_refused_connection_that_never_asks_is_still_one_event() -> None:
    judge = ScriptedJudge(denied=("api.example.com",))
    talk = Conversation(judge=judge)
    talk.act(talk.flow.client_eof(talk.now))
    talk.act(talk.flow.client_lost(talk.now))
    assert talk.blocks == ["host_denied"]


@pytest.mark.parametrize("asked", [b"", get(), get()[:9]])
@pytest.mark.parametrize("answered", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_an_agent_that_ends_its_tls_is_gone(asked: bytes, answered: bytes) -> None:
    """Or its connection would count against the limit until it has idled for minutes."""
    talk = sealed().say(asked)
    if asked == get():
        talk.reply(answered)
    talk.act(talk.flow.client_eof(talk.now))
    assert talk.closed is not None
    assert not talk.open
    talk.act(talk.flow.client_lost(talk.now))
    assert talk.closed is not None


# -- the promise ---------------------------------------------------------------------------------

PIECES = [
    get("/a"),
    get("/SECRET"),
    CONNECT,
    b"CONNECT 192.0.2.9:80 HTTP/1.1\r\nHost: 192.0.2.9:80\r\n\r\n",
    b"GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"5\r\nSECRE\r\n",
    b"1\r\nT\r\n",
    b"0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 6\r\n\r\nSECRET",
    client_hello("api.example.com"),
    client_hello("other.example"),
    b"\r\n",
    b"\x16\x03\x01",
    b"garbage",
]


@given(
    st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=6),
    st.lists(st.integers(1, 2000), max_size=6),
    st.sampled_from([80, 443, 8080]),
    st.booleans(),
)
def test_no_byte_leaves_before_a_verdict(
    pieces: list[bytes], cuts: list[int], port: int, pooled: bool
) -> None:
    """Resolve, Dial and ToUpstream follow an allowing Record of the same exchange; always."""
    talk = Conversation(port=port, answer=lambda _: OK, pooled=pooled)
    data = b"".join(pieces)
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    for a, b in itertools.pairwise(edges):
        if not talk.flow.closed:
            talk.say(data[a:b])
    allowed = False
    for step in talk.steps:
        if isinstance(step, Record):
            allowed = step.verdict.allowed
        elif isinstance(step, Finished):
            allowed = False
        elif isinstance(step, Resolve | Dial | ToUpstream):
            assert allowed
    assert b"SECRET" not in talk.sent


def test_a_connection_that_was_made_ahead_of_need_is_closed_without_an_event() -> None:
    talk = Conversation()
    talk.now = talk.flow.deadline
    talk.act(talk.flow.timer(talk.now))
    assert talk.closed == Close()
    assert talk.verdicts == []
    refused = Conversation(judge=ScriptedJudge(denied=("api.example.com",)))
    refused.now = refused.flow.deadline
    refused.act(refused.flow.timer(refused.now))
    assert refused.blocks == ["host_denied"]
