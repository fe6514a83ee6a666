"""Every runtime on this machine reaches a TLS server whose certificate the jail's authority signed.

The server listens on loopback inside the jail's own network namespace. Control: without the trust
installation the same programs refuse the same server.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

ENCLOSE = Path(__file__).with_name("enclose.py")
URL = "https://localhost:8443/"

SERVER = """
import http.server, os, ssl, subprocess, sys
class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"hello from the test"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("leaf.pem", "leaf.key")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Hello)
server.socket = context.wrap_socket(server.socket, server_side=True)
import threading
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""

NODE_FETCH = (
    f"fetch({URL!r}).then(r=>r.text()).then(t=>console.log(t)).catch(e=>{{console.error(e);"
    "process.exit(1)})"
)
NODE_HTTPS = (
    f"require('https').get({URL!r},r=>r.on('data',d=>console.log(String(d)))"
    ").on('error',e=>{console.error(e);process.exit(1)})"
)
PYTHON = f"import urllib.request; print(urllib.request.urlopen({URL!r}).read())"
OPENSSL = (
    "openssl s_client -connect localhost:8443 -verify_return_error -verify_hostname localhost "
    "</dev/null"
)
PERL = f"use HTTP::Tiny; print HTTP::Tiny->new(verify_SSL=>1)->get({URL!r})->{{content}}"
JAVA = (
    "public class Get { public static void main(String[] a) throws Exception {"
    "System.out.println(new String(new java.net.URL(a[0]).openStream().readAllBytes()));}}"
)
GO = (
    'package main\nimport ("fmt";"io";"net/http";"os")\nfunc main(){r,e:=http.Get(os.Args[1]);'
    "if e!=nil{fmt.Println(e);os.Exit(1)};b,_:=io.ReadAll(r.Body);fmt.Println(string(b))}\n"
)

# name, program needed, command, does it work with an empty environment
CASES = [
    ("curl", "curl", ["curl", "-sS", URL], True),
    ("wget", "wget", ["wget", "-qO-", URL], True),
    ("python", "/usr/bin/python3", ["/usr/bin/python3", "-c", PYTHON], True),
    ("git", "git", ["git", "ls-remote", URL], True),
    ("openssl", "openssl", ["sh", "-c", OPENSSL], True),
    (
        "openssl-hashed",
        "openssl",
        ["sh", "-c", f"{OPENSSL} -no-CAfile -CApath /etc/ssl/certs"],
        True,
    ),
    ("node-fetch", "node", ["node", "-e", NODE_FETCH], False),
    ("node-https", "node", ["node", "-e", NODE_HTTPS], False),
    ("java", "java", ["java", "Get.java", URL], True),
    ("go", "go", ["./get", URL], True),
]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trust")
    for part in (folder, *folder.parents):
        if str(part).startswith("/tmp/"):
            part.chmod(0o755)

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    run(
        *["openssl", "req", "-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"],
        *key,
        "-subj",
        "/CN=Test CA",
    )
    run(
        *["openssl", "req", "-keyout", "leaf.key", "-out", "leaf.csr"],
        *key,
        "-subj",
        "/CN=localhost",
    )
    (folder / "ext").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    run(
        *[
            "openssl",
            "x509",
            "-req",
            "-in",
            "leaf.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-days",
            "2",
            "-out",
            "leaf.pem",
        ],
        *("-extfile", "ext", "-CAcreateserial"),
    )
    (folder / "leaf.key").chmod(0o644)
    (folder / "server.py").write_text(SERVER)
    (folder / "Get.java").write_text(JAVA)
    (folder / "get.go").write_text(GO)
    if shutil.which("go"):
        environment = os.environ | {"GO111MODULE": "off", "CGO_ENABLED": "0"}
        subprocess.run(
            ["go", "build", "-o", "get", "get.go"], cwd=folder, check=True, env=environment
        )
    return folder


def enclosed(folder: Path, command: list[str], *, ca: bool) -> subprocess.CompletedProcess[str]:
    asked = {
        "user": str(pwd.getpwnam("nobody").pw_uid),
        "argv": ["/usr/bin/python3", "server.py", *command],
        "cwd": str(folder),
        "ca": str(folder / "ca.pem") if ca else "",
    }
    path = os.pathsep.join(p for p in os.environ["PATH"].split(":") if not p.startswith("/root"))
    return subprocess.run(
        [sys.executable, str(ENCLOSE), json.dumps(asked)],
        env={"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(("name", "program", "command", "bare"), CASES, ids=[c[0] for c in CASES])
def test_runtime_trusts_the_authority(
    workshop: Path, name: str, program: str, command: list[str], bare: bool
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = enclosed(workshop, command, ca=True)
    assert done.returncode == 0, done.stderr + done.stdout
    without = enclosed(workshop, command, ca=False)
    assert without.returncode != 0, without.stdout
    if bare:
        path = "PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin"
        done = enclosed(workshop, ["env", "-i", path, *command], ca=True)
        assert done.returncode == 0, done.stderr + done.stdout
