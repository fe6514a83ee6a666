"""The lab itself: sealed, its positive controls work, and it leaves nothing."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab import Answer, Lab, seal, world
from tests.lab.oracle import parse
from tests.lab.programs import ROOT

pytestmark = pytest.mark.lab

_DIAL = """
import socket, sys
family, kind, address, port, text = sys.argv[1:6]
end = socket.socket(getattr(socket, family), getattr(socket, kind))
end.settimeout(3)
end.connect((address, int(port)))
end.send(text.encode())
print(end.recv(100).decode())
"""


def _dial(lab: Lab, address: str, port: int, text: str, kind: str = "SOCK_STREAM") -> str:
    family = "AF_INET6" if ":" in address else "AF_INET"
    program = [sys.executable, "-I", "-c", _DIAL, family, kind, address, str(port), text]
    return lab.run(program).stdout.decode()


def _curl(lab: Lab, *words: str, user: str | None = "dev") -> subprocess.CompletedProcess[bytes]:
    return lab.run(["curl", "-sS", "--max-time", "10", *words], user=user)


def test_is_sealed(lab: Lab) -> None:
    lab.assert_sealed()


def test_seal_sees_a_way_out(lab: Lab) -> None:
    """Positive control of the assertion: a second veth is a fault, wherever it leads."""
    made = lab.run(["ip", "link", "add", "extra0", "type", "veth", "peer", "name", "extra1"])
    assert made.returncode == 0, made.stderr
    try:
        with pytest.raises(Exception, match="unexpected link extra0"):
            lab.assert_sealed()
    finally:
        lab.run(["ip", "link", "del", "extra0"])
    lab.assert_sealed()


def test_seal_sees_a_foreign_process(lab: Lab) -> None:
    """Positive control: someone of the machine's who joined the lab's network is a fault."""
    code = (
        "import sys, time; from netns.namespaces import setns, Namespace;"
        f"setns({lab._internet_net}, Namespace.NET); print(flush=True); time.sleep(60)"
    )
    joined = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        pass_fds=(lab._internet_net,),
    )
    try:
        assert joined.stdout is not None
        joined.stdout.readline()
        with pytest.raises(Exception, match=f"process {joined.pid} is in the lab's network"):
            lab.assert_sealed()
    finally:
        joined.kill()
        joined.communicate()
    lab.assert_sealed()


def test_seal_sees_a_foreign_route(lab: Lab) -> None:
    lab.run(["ip", "route", "add", "11.99.0.0/16", "via", "192.168.77.9"])
    try:
        with pytest.raises(Exception, match=r"host routes 11\.99\.0\.0 to 192\.168\.77\.9"):
            lab.assert_sealed()
    finally:
        lab.run(["ip", "route", "del", "11.99.0.0/16"])


def test_namespaces_are_the_lab_s_own(lab: Lab) -> None:
    own = seal.inventory(None)
    host = seal.inventory(lab._host_net)
    assert own.inode != host.inode
    assert {link.name for link in host.links} == {"lo", world.HOST_LINK}


@pytest.mark.parametrize("family", ["-4", "-6"])
@pytest.mark.parametrize("name", ["example.com", "deep.er.example.com", "attacker.example"])
def test_https_by_name_is_verified(clean_lab: Lab, family: str, name: str) -> None:
    done = _curl(clean_lab, family, "--tlsv1.2", f"https://{name}/get?x=1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == name
    (request,) = clean_lab.requests(name)
    assert (request.method, request.target, request.tls) == ("GET", "/get?x=1", "TLSv1.3")
    assert b"GET /get?x=1 HTTP/1.1\r\n" in request.head
    assert name in {question.name for question in clean_lab.dns_log()}
    assert clean_lab.oracle.records() == []


@pytest.mark.parametrize("name", sorted(world.BAD_CERTIFICATES))
def test_bad_certificates_are_bad(clean_lab: Lab, name: str) -> None:
    done = _curl(clean_lab, f"https://{name}/get")
    assert done.returncode == (0 if name.startswith("no-san") else 60), (done, name)
    assert _curl(clean_lab, "-k", f"https://{name}/get").returncode == 0


def test_old_tls_is_all_there_is(clean_lab: Lab) -> None:
    url = "https://tls11.tls.example/get"
    assert _curl(clean_lab, url).returncode == 35
    old = _curl(clean_lab, "--tlsv1.0", "--ciphers", "DEFAULT@SECLEVEL=0", url)
    assert old.returncode == 0, old.stderr
    assert clean_lab.requests()[0].tls == "TLSv1.1"


@pytest.mark.parametrize(
    "address", ["9.9.9.9", "10.0.0.1", "10.0.0.5", "2d00:99::1", "fd00:9::9", "fd00:ec2::254"]
)
@pytest.mark.parametrize("port", [1, 22, 443, 4444, 65535])
def test_oracle_hears_tcp_anywhere(clean_lab: Lab, address: str, port: int) -> None:
    assert "oracle" in _dial(clean_lab, address, port, "first bytes")
    (record,) = clean_lab.oracle.wait_for(address, port, data=b"first bytes")
    assert (record.protocol, record.where) == ("tcp", "internet")
    assert record.family == (6 if ":" in address else 4)
    assert len(clean_lab.oracle.records()) == 1


@pytest.mark.parametrize("address", ["9.9.9.9", "10.0.0.5", "2d00:99::1", "fd00:9::9"])
@pytest.mark.parametrize("port", [1, 53, 443, 5353])
def test_oracle_hears_udp_anywhere(clean_lab: Lab, address: str, port: int) -> None:
    assert "oracle" in _dial(clean_lab, address, port, "datagram", "SOCK_DGRAM")
    (record,) = clean_lab.oracle.wait_for(address, port, data=b"datagram")
    assert record.protocol == "udp"
    assert len(clean_lab.oracle.records()) == 1


def test_oracle_hears_other_protocols(clean_lab: Lab) -> None:
    code = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47);"
        "s.sendto(b'gre', ('9.9.9.9', 0));"
        "s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 1);"
        "s.sendto(bytes(8), ('2d00:99::1', 0))"
    )
    assert clean_lab.run([sys.executable, "-I", "-c", code]).returncode == 0
    assert clean_lab.oracle.wait_for("9.9.9.9", protocol="47", data=b"gre")
    assert clean_lab.oracle.wait_for("2d00:99::1", protocol="icmp")


def test_oracle_reads_inside_tls(clean_lab: Lab) -> None:
    done = _curl(clean_lab, "https://lan.inward.example/secret-path")
    assert done.returncode == 0, done.stderr
    (record,) = clean_lab.oracle.wait_for("10.0.0.5", 443, data=b"GET /secret-path")
    assert record.data.startswith(b"\x16\x03")


def test_metadata_answers(clean_lab: Lab) -> None:
    for host in ("169.254.169.254", "[fd00:ec2::254]"):
        assert b"oracle" in _curl(clean_lab, f"http://{host}/latest/meta-data/").stdout
        assert clean_lab.oracle.wait_for(host.strip("[]"), 80, data=b"/latest/meta-data/")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("loopback.inward.example", "127.0.0.1"),
        ("loopback6.inward.example", "::1"),
        ("own.inward.example", world.HOST_V4),
    ],
)
def test_host_s_own_services_hear(clean_lab: Lab, name: str, address: str) -> None:
    for port in (80, 11434):
        assert b"oracle" in _curl(clean_lab, f"http://{name}:{port}/inward").stdout
        (record,) = clean_lab.oracle.wait_for(address, port, data=b"/inward")
        assert record.where == "host"
    assert "oracle" in _dial(clean_lab, address, 11434, "datagram", "SOCK_DGRAM")
    assert clean_lab.oracle.wait_for(port=11434, protocol="udp")[0].where == "host"


def test_dead_upstreams_are_dead(clean_lab: Lab) -> None:
    assert _curl(clean_lab, "https://refusing.dead.example/").returncode == 7
    silent = _curl(clean_lab, "--connect-timeout", "0.5", "https://silent.dead.example/")
    assert silent.returncode == 28


def test_names_answer_as_the_table_says(clean_lab: Lab) -> None:
    code = (
        "import socket, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, sorted({a[4][0] for a in socket.getaddrinfo(name, 1)}))\n"
        "    except socket.gaierror as error: print(name, error.errno == socket.EAI_NONAME)\n"
    )
    clean_lab.set_name("made.up.example", Answer(("11.1.2.3",)))
    names = ["mixed-last.inward.example", "cname.inward.example", "nobody.example"]
    names += ["many.dns.example", "made.up.example", "servfail.dns.example"]
    shown = clean_lab.run([sys.executable, "-I", "-c", code, *names]).stdout.decode()
    lines = dict(line.split(" ", 1) for line in shown.splitlines())
    assert lines["mixed-last.inward.example"] == "['10.0.0.5', '11.22.33.10', '2d00:77::10']"
    assert lines["cname.inward.example"] == "['10.0.0.5']"
    assert lines["nobody.example"] == "True"
    assert lines["servfail.dns.example"] == "False"
    assert lines["many.dns.example"].count("11.22.40.") == 100  # truncated, then over TCP
    assert lines["made.up.example"] == "['11.1.2.3']"
    assert {q.over for q in clean_lab.dns_log() if q.name == "many.dns.example"} == {"udp", "tcp"}


def test_rebinding_name_turns(clean_lab: Lab) -> None:
    clean_lab.set_name("turn.example", Answer(turns=((world.WEB[0],), ("10.0.0.5",))))
    assert b"turn.example" in _curl(clean_lab, "-4", "http://turn.example/get").stdout
    assert b"oracle" in _curl(clean_lab, "-4", "http://turn.example/get").stdout


_ENDPOINTS = [
    (["/get"], b'"method": "GET"'),
    (["-I", "/head-ok"], b"HTTP/1.1 200"),
    (["-d", "a=b", "/echo"], b'"size": 3'),
    (["--compressed", "/gzip"], b'"target": "/gzip"'),
    (["-L", "/redirect?to=/get"], b'"target": "/get"'),
    (["/stream/3"], b"line 2\n"),
    (["-N", "/sse?n=2&interval=0.01"], b"data: event 1\n\n"),
    (["/slow?seconds=0.1"], b"at last"),
    (["-o", "/dev/null", "-w", "%{http_code}", "/status/418"], b"418"),
    (["/close-delimited"], b"until close 2\n"),
    (["/trailers"], b"with trailers"),
    (["/early-hints"], b"after the hints"),
    (["-H", "Transfer-Encoding: chunked", "-d", "abcd", "/upload"], b'"size": 4'),
    (["/simple/lab-demo/"], b"lab_demo-1.0-py3-none-any.whl"),
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("words", "expected"), _ENDPOINTS)
def test_endpoints(clean_lab: Lab, scheme: str, words: list[str], expected: bytes) -> None:
    done = _curl(clean_lab, *words[:-1], f"{scheme}://www.example.com{words[-1]}")
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_upload_and_download_are_whole(clean_lab: Lab) -> None:
    size = 20 * 1024 * 1024
    fetch = f"curl -sS https://example.com/bytes/{size} | tee data | sha256sum; wc -c < data"
    shown = clean_lab.run(["sh", "-c", fetch], user="dev").stdout.decode().split()
    assert shown[2] == str(size)
    done = _curl(clean_lab, "-T", f"{world.DEV_WORK}/data", "https://example.com/upload")
    seen = json.loads(done.stdout)
    assert (seen["size"], seen["sha256"]) == (size, shown[0])
    request = clean_lab.requests()[-1]
    assert request.digest == shown[0]
    assert request.field("expect") == "100-continue"
    assert len(request.body) == 256 * 1024
    clean_lab.path(f"{world.DEV_WORK}/data").unlink()


def test_early_response_does_not_wait_for_the_body(clean_lab: Lab) -> None:
    done = _curl(
        clean_lab,
        "-w",
        "%{http_code}",
        "-H",
        "Expect:",
        "-d",
        "x" * 9,
        "https://example.com/early-response",
    )
    assert done.stdout.endswith(b"413")


@pytest.mark.parametrize("case", ["two-framings", "truncated-body", "nothing", "huge-field"])
def test_bad_responses_arrive_bad(clean_lab: Lab, case: str) -> None:
    done = _curl(clean_lab, f"https://example.com/bad/{case}")
    assert len(clean_lab.requests()) == 1
    if case != "two-framings":  # curl prefers the chunked framing
        assert done.returncode != 0


def test_git_clone_over_https(clean_lab: Lab) -> None:
    command = "git clone -q https://git.example.com/git/demo.git && ls demo && rm -r demo"
    done = clean_lab.run(["sh", "-c", command], user="dev")
    assert done.stdout == b"README.md\ndata.bin\n", done.stderr
    assert {request.method for request in clean_lab.requests("git.example.com")} == {"GET", "POST"}


class TestRun:
    """Programs in the lab behave as programs do."""

    def test_root_and_dev(self, lab: Lab) -> None:
        assert lab.run(["id", "-u"]).stdout == b"0\n"
        shown = lab.run(
            ["sh", "-c", "id; pwd; echo $HOME; cd; echo ok > file; cat file; rm file"], user="dev"
        )
        assert shown.stdout == (
            b"uid=4242(dev) gid=4242(dev) groups=4242(dev)\n/home/dev/work\n/home/dev\nok\n"
        )

    def test_dev_has_no_capabilities(self, lab: Lab) -> None:
        shown = lab.run(["grep", "CapEff", "/proc/self/status"], user="dev").stdout
        assert shown.split()[1] == b"0" * 16

    def test_input_output_and_codes(self, lab: Lab) -> None:
        done = lab.run(["sh", "-c", "cat; echo err >&2; exit 7"], input=b"in")
        assert (done.returncode, done.stdout, done.stderr) == (7, b"in", b"err\n")
        assert lab.run(["sh", "-c", "kill -TERM $$"]).returncode == -signal.SIGTERM
        assert lab.run(["sh", "-c", "kill -KILL $$"]).returncode == -signal.SIGKILL
        assert lab.run(["/nonexistent"]).returncode == 127

    def test_environment_is_plain(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LAB_TEST_OUTSIDE", "1")
        shown = lab.run(["env"], env={"INSIDE": "2", "LANG": None}).stdout.decode()
        assert "LAB_TEST_OUTSIDE" not in shown
        assert "LANG=" not in shown
        assert "INSIDE=2" in shown

    def test_terminal(self, lab: Lab) -> None:
        shown = lab.run(
            ["sh", "-c", "tty; read x; echo got $x"], user="dev", tty=True, input=b"y\n"
        )
        assert b"/dev/pts/" in shown.stdout
        assert b"got y" in shown.stdout

    def test_signals_are_passed_on(self, lab: Lab) -> None:
        code = "trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 0.05; done"
        with lab.popen(["sh", "-c", code]) as program:
            assert program.stdout is not None
            program.stdout.readline()
            program.send_signal(signal.SIGUSR1)
            out, _ = program.communicate(timeout=5)
        assert (program.returncode, out) == (3, b"caught\n")

    def test_timeout_kills_the_program(self, lab: Lab) -> None:
        with pytest.raises(subprocess.TimeoutExpired):
            lab.run(["sleep", "4321"], timeout=0.3)
        end = time.monotonic() + 3
        while any("4321" in process.command for process in lab.processes()):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_traces_are_stable(lab: Lab) -> None:
    before = lab.traces()
    _curl(lab, "https://example.com/get")
    assert lab.traces() == before
    lab.run(["touch", "/run/left-behind"])
    assert lab.traces() != before
    lab.path("/run/left-behind").unlink()


_PARENT = """
import os, sys, time
from tests.lab import Lab
lab = Lab()
lab.start()
lab.popen(["sleep", "98765"])
lab.popen(["sh", "-c", "setsid sleep 98766 & exec sleep 98767"], user="dev")
time.sleep(0.3)
print(lab.first_pid, *(p.pid for p in lab.processes()), flush=True)
time.sleep(60)
"""


def _world_of_the_machine() -> tuple[str, list[Path], list[str]]:
    """The machine's mounts, named network namespaces and network devices."""
    mounts = Path("/proc/self/mountinfo").read_text("utf-8")
    named = sorted(Path("/run").glob("netns/*"))
    rows = Path("/proc/net/dev").read_text("utf-8").splitlines()
    return mounts, named, [row.split(":")[0] for row in rows]


def _network(pid: int | str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:  # it has ended
        return ""


def test_nothing_is_left_after_kill_9_of_the_parent() -> None:
    before = _world_of_the_machine()
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    first, *others = [int(word) for word in parent.stdout.readline().split()]
    namespaces = {_network(pid) for pid in others}
    assert len(namespaces) == 2
    assert len(others) >= 5
    watched = [os.pidfd_open(pid) for pid in {first, *others}]
    parent.kill()
    parent.communicate()
    for descriptor in watched:
        waiter = select.poll()
        waiter.register(descriptor, select.POLLIN)
        assert waiter.poll(5000), "a process of the lab outlived its parent"
        os.close(descriptor)
    living = {_network(process.name) for process in Path("/proc").glob("[0-9]*")}
    assert not living & namespaces
    assert _world_of_the_machine() == before


def test_a_lab_starts_within_a_second_and_two_live_side_by_side(lab: Lab) -> None:
    start = time.monotonic()
    with Lab() as second:
        took = time.monotonic() - start
        second.run(["curl", "-s", "http://9.9.9.9/second"])
        assert second.oracle.wait_for("9.9.9.9", 80, data=b"/second")
        assert not lab.oracle.wait_for("9.9.9.9", 80, data=b"/second", timeout=0)
    print(f"lab up in {took:.2f} s")
    assert took < 5  # typically 0.6 s; a busy machine may be slower


class TestParse:
    """The sniffer's reader of packets."""

    def test_udp(self) -> None:
        head = bytes([0x45]) + bytes(8) + bytes([17, 0, 0])
        packet = head + socket.inet_aton("1.2.3.4") + socket.inet_aton("5.6.7.8")
        entry = parse(packet + bytes([0, 1, 0, 2, 0, 0, 0, 0]) + b"data")
        assert entry is not None
        assert (entry.protocol, entry.port, entry.data) == ("udp", 2, b"data")

    @pytest.mark.parametrize("packet", [b"", b"\x45", bytes(60), b"\x60" + bytes(20)])
    def test_not_ip(self, packet: bytes) -> None:
        assert parse(packet) is None


@pytest.mark.skipif(not shutil.which("nginx", path="/usr/sbin:/usr/bin"), reason="no nginx")
def test_nginx_upstream() -> None:
    with Lab() as own:
        base = own.nginx(cpu=0)
        for size, octets in (("1k", 1024), ("1m", 1024**2)):
            assert len(_curl(own, f"{base}/{size}").stdout) == octets
        posted = _curl(own, "-d", "x" * 5000, f"{base}/post")
        assert posted.stdout == b"p" * 1024
        assert own.requests() == []
        assert own.oracle.records() == []
