"""SSRF for real: a sample of the table in a jail, with oracles on everything that it names.

The lab's internet answers at every address, metadata and private ones too, and the host has
services on all of its own: whatever gets out is seen. The same rows outside the jail arrive.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab import Answer, Lab, world
from tests.lab.programs import Finished
from tests.ssrf.dials import Dial, answers, by_proxy, direct, sample
from tests.ssrf.forms import NAMES, Form

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

PROGRAM = Path(__file__).parents[2] / "clients" / "ssrf_rows.py"
ROWS = ["/usr/bin/python3", "-c", PROGRAM.read_text("utf-8")]
OWN = ("2d00:77:1::2", "2d00:77:1::1")
"""Public to look at: the host's own address, and its neighbour's, the gateway."""


def stdin(dials: Sequence[Dial]) -> bytes:
    return json.dumps([dial.row() for dial in dials]).encode()


def in_jail(lab: Lab, dials: Sequence[Dial], *options: str) -> tuple[list[str], Finished]:
    done = lab.jail(ROWS, *options, input=stdin(dials), timeout=120)
    assert done.returncode == 0, done.errors
    return json.loads(done.text), done


def outside(lab: Lab, dials: Sequence[Dial]) -> list[str]:
    done = lab.run(ROWS, user="dev", input=stdin(dials), timeout=120)
    found: list[str] = json.loads(done.stdout)
    return found


def nothing_arrived(lab: Lab) -> bool:
    return lab.oracle.records() == [] and lab.requests() == []


def wrong(dials: Sequence[Dial], told: Sequence[str]) -> list[str]:
    return [
        f"{dial.way} {dial.form.text!a}: {said}, not {dial.form.reason}"
        for dial, said in zip(dials, told, strict=True)
        if said != dial.form.reason and not (said == "refused" and dial.way.startswith("SOCKS"))
    ]


def test_hosts_that_are_named_or_dialled(clean_lab: Lab) -> None:
    dials = sample()
    told, done = in_jail(clean_lab, dials)
    faults = wrong(dials, told)
    assert not faults, f"{len(faults)} of {len(dials)}: {faults[:20]}"
    assert len(dials) >= 600
    assert len({dial.way for dial in dials}) >= 12
    assert nothing_arrived(clean_lab)
    asked = {question.name for question in clean_lab.dns_log()}
    assert not asked, "names that were resolved before their refusal"
    seen = Counter(event["reason"] for event in done.events() if event.get("action") == "block")
    assert seen == Counter(dial.form.reason.value for dial in dials)


def test_what_a_hostile_resolver_answers(clean_lab: Lab) -> None:
    """Every address, as the only answer, beside honest ones, and only the second time."""
    dials = []
    for name, form in answers():
        clean_lab.set_name(name, Answer((form.address,)))
        clean_lab.set_name(f"mixed-{name}", Answer((*world.WEB, form.address)))
        for host in (name, f"mixed-{name}"):
            dials.append(next(direct(Form(host, "", "name", form.reason))))
    told, _ = in_jail(clean_lab, dials)
    faults = wrong(dials, told)
    assert not faults, f"{len(faults)} of {len(dials)}: {faults[:20]}"
    assert len(dials) >= 120
    assert nothing_arrived(clean_lab)


def test_a_resolver_that_changes_its_mind(clean_lab: Lab) -> None:
    """Honest at first: what is dialled was judged, so later answers lead nowhere else."""
    names = [f"turn{n}.hostile.example" for n in range(3)]
    inward = ("169.254.169.254", "10.0.0.5", world.HOST_V4)
    for name, address in zip(names, inward, strict=True):
        clean_lab.set_name(name, Answer(turns=(world.WEB[:1], (address,))))
    dials = [next(direct(Form(name, "", "name"))) for _ in range(4) for name in names]
    told, _ = in_jail(clean_lab, dials)
    assert set(told) <= {"200", "address_private", "address_metadata"}, told
    assert clean_lab.oracle.records() == []
    assert {request.address for request in clean_lab.requests()} <= set(world.WEB)


REDIRECTS = [
    ("http://169.254.169.254/latest/meta-data/", "address_metadata"),
    ("http://2852039166/latest/meta-data/", "address_metadata"),
    ("http://0xa9.0376.0251.254/", "address_metadata"),
    ("http://[::ffff:169.254.169.254]/", "address_metadata"),
    ("http://[fd00:ec2::254]/", "address_metadata"),
    ("http://metadata.google.internal/computeMetadata/v1/", "address_metadata"),
    ("//metadata.goog/", "address_metadata"),
    ("http://kubernetes.default.svc/api", "address_metadata"),
    ("http://10.0.0.5/", "address_private"),
    ("http://167772165/", "address_private"),
    ("http://192.168.77.2:80/", "address_private"),
    ("http://example.com@10.0.0.5/", "address_private"),
    ("http://[64:ff9b::a00:5]/", "address_private"),
    ("http://lan.inward.example/", "address_private"),
    ("http://cname.inward.example/", "address_private"),
    ("http://[2d00:77:1::2]/", "address_private"),
]
_FOLLOW = """
import sys, urllib.error, urllib.request
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=15).read(200).decode())
    except urllib.error.HTTPError as error:
        print(error.read(600).decode().replace(chr(10), " "))
"""


@pytest.mark.parametrize("client", ["curl", "urllib"])
def test_redirects(clean_lab: Lab, client: str) -> None:
    """An honest server sends real clients inward; they follow, and are told why not."""
    # urllib takes user information for a part of the name, and finds none such.
    sent = [(to, why) for to, why in REDIRECTS if client == "curl" or "@" not in to]
    urls = [f"http://example.com/redirect?to={to}" for to, _ in sent]
    if client == "curl":
        each = "; ".join(f"curl -gsSL --max-time 20 {shlex.quote(url)}; echo" for url in urls)
        argv = ["sh", "-c", each]
    else:
        argv = ["/usr/bin/python3", "-c", _FOLLOW, *urls]
    done = clean_lab.jail(argv, timeout=120)
    told = [json.loads(line)["reason"] for line in done.text.splitlines() if line.startswith("{")]
    assert told == [reason for _, reason in sent], (done.text, done.errors)
    assert clean_lab.oracle.records() == []
    assert len(clean_lab.requests()) == len(sent)
    clean_lab.clear()
    freed = clean_lab.run(["curl", "-gsSL", urls[0]], user="dev")
    assert b"oracle" in freed.stdout  # positive control


def test_the_host_itself(clean_lab: Lab) -> None:
    """An address that is public but for being the host's own, or its neighbour's."""
    forms = [Form(f"[{text}]", text, "IPv6", "address_private") for text in OWN]  # type: ignore[arg-type]
    dials = [dial for form in forms for dial in (*direct(form), *by_proxy(form))]
    for number, text in enumerate(OWN):
        clean_lab.set_name(f"own{number}.hostile.example", Answer((text,)))
        name = Form(f"own{number}.hostile.example", "", "name", "address_private")  # type: ignore[arg-type]
        dials.append(next(direct(name)))
    told, _ = in_jail(clean_lab, dials)
    assert not wrong(dials, told)
    assert nothing_arrived(clean_lab)
    plain = [dial for dial in dials if dial.way == "origin-form"]
    assert outside(clean_lab, plain) == ["oracle"] * len(plain)  # positive control


PLAIN = ("origin-form", "absolute-form", "CONNECT", "SOCKS4", "SOCKS4a", "SOCKS5", "SOCKS5, name")
"""What the lab's web server answers on port 80; the rest of the twins pass in the pure table."""


def test_twins_pass(clean_lab: Lab) -> None:
    forms = [
        Form(world.WEB[0], world.WEB[0], "dotted"),
        Form(f"[{world.WEB[1]}]", world.WEB[1], "IPv6"),
        Form("example.com", "", "name"),
        Form("169.254.169.254.example.com", "", "name"),
        Form("metadata.example.com", "", "name"),
    ]
    dials = [
        dial for form in forms for dial in (*direct(form), *by_proxy(form)) if dial.way in PLAIN
    ]
    told, _ = in_jail(clean_lab, dials)
    assert told == ["200"] * len(dials), [*zip(dials, told, strict=True)]
    assert len(clean_lab.requests()) == len(dials)
    assert clean_lab.oracle.records() == []


def test_the_oracles_are_there(clean_lab: Lab) -> None:
    """Positive control: outside the jail the same rows arrive."""
    texts = ["169.254.169.254", "10.0.0.5", "127.0.0.1", "192.168.77.2", "100.100.100.200"]
    forms = [Form(text, text, "dotted") for text in texts]
    forms += [Form(f"[{text}]", text, "IPv6") for text in ("fd00:ec2::254", "::1")]
    for name in NAMES[:2]:
        clean_lab.set_name(name, Answer(("169.254.169.254",)))
        forms.append(Form(name, "", "name"))
    dials = [dial for form in forms for dial in direct(form) if dial.way != ":authority"]
    assert outside(clean_lab, dials) == ["oracle"] * len(dials)
    assert len(clean_lab.oracle.records()) >= len(dials)


_UNTIL_REFUSED = """
for i in $(seq 100); do
  told=$(curl -sS --max-time 5 http://11.60.0.9/x 2>&1)
  case "$told" in
    *address_private*) echo refused; exit;;
    *oracle*) [ -z "$seen" ] && echo arrived; seen=1;;
  esac
  sleep 0.2
done
"""


def test_an_address_that_the_host_gets_meanwhile(clean_lab: Lab) -> None:
    """Public and reached at first; refused as soon as it is in a network of the host."""
    change = ["ip", "address", "add", "11.60.0.1/24", "dev", world.HOST_LINK]
    with ThreadPoolExecutor(1) as pool:
        jail = pool.submit(clean_lab.jail, ["sh", "-c", _UNTIL_REFUSED], timeout=90)
        assert clean_lab.oracle.wait_for("11.60.0.9", 80, data=b"GET /x", timeout=30)
        try:
            assert clean_lab.run(change).returncode == 0
            done = jail.result()
        finally:
            clean_lab.run([*change[:2], "delete", *change[3:]])
    assert done.text.split() == ["arrived", "refused"], (done.text, done.errors)
    assert done.events("address_private")[0]["detail"] == "11.60.0.9: a network of this host"
