"""nginx as an upstream for the bench, on the internet side: `Lab.nginx()`.

Debian's package; one worker, pinned to a core. Serves https://bench.example.com/ in HTTP/1.1 and
HTTP/2: `/1k`, `/1m`, `/100m` as files of JSON; `/post`, which reads a body and answers with 1 KB;
`/small`, the same for small bodies, without a second server behind it; `/events`, what listens on
the socket `events` in its directory. Every response has an id of its own, as real ones have.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from tests.lab import world

if TYPE_CHECKING:
    from tests.lab.host import Lab

NAME = "bench.example.com"
PLACE = f"{world.STATE}/nginx"
"""Its directory on the lab's host."""
SIZES = {"1k": 1024, "1m": 1024**2, "100m": 100 * 1024**2}

_CONFIGURATION = """
daemon off; worker_processes 1; worker_cpu_affinity {mask}; pid {state}/pid; user root;
error_log {state}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type application/json; sendfile on; tcp_nodelay on;
  keepalive_requests 100000000; keepalive_timeout 600s; client_max_body_size 0;
  client_body_temp_path {state}/body; proxy_temp_path {state}/proxy;
  fastcgi_temp_path {state}/fastcgi; uwsgi_temp_path {state}/uwsgi; scgi_temp_path {state}/scgi;
  ssl_certificate {state}/leaf.pem; ssl_certificate_key {state}/leaf.pem;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:bench:4m;
  server {{
    listen {v4}:443 ssl http2; listen [{v6}]:443 ssl http2; listen {v4}:80; server_name {name};
    root {state}/files; add_header X-Request-Id $request_id;
    http2_max_concurrent_streams 256;
    location = /small {{ return 200 "{answer}"; }}
    location = /events {{
      proxy_pass http://unix:{state}/events; proxy_http_version 1.1; proxy_buffering off;
    }}
    location = /post {{ proxy_pass http://unix:{state}/answer; proxy_request_buffering on; }}
  }}
  server {{ listen unix:{state}/answer; location / {{ return 200 "{answer}"; }} }}
}}
"""


class NginxError(Exception):
    """nginx is not installed; scripts/bench installs it."""


def start(lab: Lab, cpu: int) -> str:
    """Start nginx in the lab and wait until it answers.

    :param cpu: core of its one worker
    :returns: base URL
    :raises NginxError: with the command that mends it
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        raise NginxError("nginx is not installed: apt-get install nginx-light")
    state = PLACE
    directory = lab.path(state)
    files = directory / "files"
    files.mkdir(parents=True)
    for name, size in SIZES.items():
        (files / name).write_bytes(text(size))
    (directory / "leaf.pem").write_bytes(lab.leaf(NAME))
    v4, v6 = world.BENCH
    mask = "1" + "0" * cpu
    configuration = _CONFIGURATION.format(
        mask=mask, state=state, v4=v4, v6=v6, name=NAME, answer="p" * 1024
    )
    (directory / "nginx.conf").write_text(configuration, "ascii")
    # -e: not even the first lines of its log go to the machine's /var/log
    command = [program, "-e", f"{state}/error.log", "-c", f"{state}/nginx.conf"]
    server = lab.popen(command, where="internet", stdout=None, stderr=None)
    end = time.monotonic() + 5
    while lab.run(["curl", "-sfo", "/dev/null", f"https://{NAME}/1k"]).returncode:
        if server.poll() is not None or time.monotonic() > end:
            raise NginxError(f"nginx did not start (exit {server.poll()}): see above")
        time.sleep(0.05)
    return f"https://{NAME}"


def text(size: int) -> bytes:
    """JSON of exactly `size` bytes, as agents send and get it: prose, numbers, a little code."""
    said = (
        "The test in tests/unit/test_cart.py fails since the last change: the total of order 1042 "
        "is 17.50 and not 19.99. I think that the discount is taken twice, once in cart.total() "
        "and once more in checkout(); please look at both and mend the one that is wrong. "
    )
    start, end = '{"model": "large", "messages": [{"role": "user", "content": "', '"}]}'
    room = size - len(start) - len(end)
    return (start + (said * (room // len(said) + 1))[:room] + end).encode()
