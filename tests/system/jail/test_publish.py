"""`--publish`: the host reaches the agent's server, and the agent reaches nothing by it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.programs import JAIL_ENVIRONMENT
from tests.lab.world import DEV_WORK, HOST_V4

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SERVER = """
import http.server, socket, sys, threading, time

address = sys.argv[1]

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(f"{self.path} from {self.client_address[0]}".encode())
        if self.path == "/restart":
            threading.Thread(target=restart).start()
        if self.path == "/stop":
            threading.Thread(target=stop).start()

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        pass

def restart():
    global running
    running.shutdown()

def stop():
    global ended
    ended = True
    running.shutdown()

ended = False
while not ended:
    running = Server((address, 3000), Handler)
    running.serve_forever(0.05)
    running.server_close()
    time.sleep(0.7)
"""


class Running:
    """A jail that runs a server."""

    def __init__(self, lab: Lab, program: subprocess.Popen[bytes], evidence: str) -> None:
        self.lab = lab
        self.program = program
        self.path = evidence

    def get(self, url: str, *options: str, data: bytes | None = None) -> str:
        """Ask from the host; waits until the server is there."""
        words = ["curl", "-sS", "--max-time", "10", *options, url]
        end = time.monotonic() + 30
        while True:
            done = self.lab.run(words, user="dev", input=data)
            if done.returncode == 0 or time.monotonic() > end:
                assert done.returncode == 0, (done.stderr, self.program.poll())
                return done.stdout.decode()
            time.sleep(0.2)

    def end(self) -> tuple[str, list[dict[str, Any]]]:
        """What it said on standard error, and its evidence."""
        _, errors = self.program.communicate(timeout=30)
        return errors.decode(), self.lab.evidence(self.path)


@contextlib.contextmanager
def serving(lab: Lab, address: str, *options: str, user: str | None = None) -> Iterator[Running]:
    where = "/home/dev" if user else "/var/log"
    evidence = f"{where}/publish-{time.monotonic_ns()}.jsonl"
    argv = ["/usr/bin/python3", "-c", SERVER, address]
    command = lab.jail_command(
        argv,
        *options,
        *(["--rootless"] if user else []),
        "--evidence",
        evidence,
        rootless=bool(user),
    )
    with lab.popen(command, user=user, env=JAIL_ENVIRONMENT, cwd=DEV_WORK) as program:
        try:
            yield Running(lab, program, evidence)
        finally:
            program.kill()
            lab.path(evidence).unlink(missing_ok=True)


@pytest.mark.parametrize("user", [None, "dev"])
def test_the_host_reaches_the_agents_server(clean_lab: Lab, user: str | None) -> None:
    before = {process.pid for process in clean_lab.processes()}
    with serving(clean_lab, "127.0.0.1", "--publish", "3100:3000", user=user) as jail:
        assert jail.get("http://127.0.0.1:3100/one") == "/one from 127.0.0.1"
        assert jail.get("http://127.0.0.1:3100/restart").startswith("/restart")
        time.sleep(0.3)  # it is gone now, and comes back
        two = clean_lab.run(["curl", "-sS", "http://127.0.0.1:3100/two"], user="dev")
        assert two.stdout == b"/two from 127.0.0.1", two.stderr
        body = b"0123456789abcdef" * 131_072  # more than any buffer on the way
        sent = jail.get("http://127.0.0.1:3100/big", "--data-binary", "@-", data=body)
        assert sent.encode() == body
        # the host's other addresses were not given
        other = clean_lab.run(["curl", "-sS", f"http://{HOST_V4}:3100/"], user="dev")
        assert other.returncode == 7, other.stdout
        assert jail.get("http://127.0.0.1:3100/stop").startswith("/stop")
        errors, events = jail.end()
    assert "published: 127.0.0.1:3100 leads to port 3000 in the jail" in errors
    started = events[0]
    assert started["published"] == ["127.0.0.1:3100:3000"]
    decisions = [event for event in events if event.get("kind") == "published"]
    assert len(decisions) >= 5
    for event in decisions:
        assert (event["action"], event["reason"]) == ("allow", "allowed")
        assert (event["address"], event["port"]) == ("127.0.0.1", 3000)
    flows = {event["flow"] for event in decisions}
    ends = [event for event in events if event["event"] == "finished" and event["flow"] in flows]
    assert {event["flow"] for event in ends} == flows
    assert any(e["received"] > len(body) and e["sent"] > len(body) for e in ends)
    assert clean_lab.oracle.records() == []
    gone = clean_lab.run(["curl", "-sS", "http://127.0.0.1:3100/"], user="dev")
    assert gone.returncode == 7  # nobody listens any more
    assert {process.pid for process in clean_lab.processes()} <= before


def test_a_server_on_ipv6_alone_and_several_ports(clean_lab: Lab) -> None:
    options = ("--publish", "[::1]:3101:3000", "--publish", "0.0.0.0:3102:3000")
    with serving(clean_lab, "::1", *options) as jail:
        assert jail.get("http://[::1]:3101/six") == "/six from ::1"
        assert jail.get(f"http://{HOST_V4}:3102/any") == "/any from ::1"
        jail.get("http://[::1]:3101/stop")
        jail.end()


def test_nobody_listens_in_the_jail(clean_lab: Lab) -> None:
    with serving(clean_lab, "127.0.0.1", "--publish", "3103:3999") as jail:
        begin = time.monotonic()
        words = ["curl", "-sS", "--retry-connrefused", "--retry", "9", "--max-time", "30"]
        done = clean_lab.run([*words, "http://127.0.0.1:3103/"], user="dev")
        assert done.returncode in (52, 56), done.stderr  # reset or empty: at once, not never
        assert time.monotonic() - begin < 25
        jail.program.terminate()
        _, events = jail.end()
    ends = [event for event in events if event["event"] == "finished"]
    assert "connect_failed" in {event["reason"] for event in ends}


_OUTWARD = """
import json, socket
told = {}
for address, port in (("127.0.0.1", 3104), ("HOST", 3104), ("127.0.0.1", 61443), ("HOST", 8080)):
    try:
        with socket.create_connection((address, port), 3) as end:
            end.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            told[f"{address}:{port}"] = end.recv(100).decode("latin-1")
    except OSError as error:
        told[f"{address}:{port}"] = type(error).__name__
print(json.dumps(told))
""".replace("HOST", HOST_V4)


def test_nothing_goes_the_other_way(clean_lab: Lab) -> None:
    """The listener on the host is no door for the agent, nor is what it is served by."""
    program = ["/usr/bin/python3", "-c", _OUTWARD]
    outside = json.loads(clean_lab.run(program, user="dev").stdout)
    assert "oracle" in outside[f"{HOST_V4}:8080"]  # positive control: the host has that service
    clean_lab.clear()
    done = clean_lab.jail(program, "--publish", "0.0.0.0:3104:3000")
    told = json.loads(done.text)
    assert told["127.0.0.1:3104"] == told["127.0.0.1:61443"] == "ConnectionRefusedError"
    assert "oracle" not in done.text
    assert "address_private" in {event.get("reason") for event in done.evidence}
    assert [event for event in done.evidence if event.get("kind") == "published"] == []
    assert clean_lab.oracle.records() == []


def test_a_port_that_is_taken(clean_lab: Lab) -> None:
    done = clean_lab.jail(["true"], "--publish", "8080:3000")  # the lab's host listens there
    assert done.returncode == 125
    said = "--publish 127.0.0.1:8080:3000: another program listens there; publish on another port"
    assert said in done.errors
    assert done.evidence == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("3000", "expected [HOSTIP:]HOSTPORT:JAILPORT"),
        ("0:3000", "from 1 to 65535"),
        ("host:1:2", "expected"),
        ("300.1.1.1:1:2", "is no address"),
    ],
)
def test_a_value_that_is_none(clean_lab: Lab, value: str, said: str) -> None:
    done = clean_lab.jail(["true"], "--publish", value)
    assert done.returncode == 2
    assert said in done.errors


def test_an_address_that_is_not_the_hosts(clean_lab: Lab) -> None:
    done = clean_lab.jail(["true"], "--publish", "192.168.77.3:3000:3000")
    assert done.returncode == 125
    assert "no such address" in done.errors
