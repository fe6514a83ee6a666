"""The client programs themselves work in the lab: a failure in the jail is then the jail's."""

from __future__ import annotations

import pytest

from tests.lab import Lab
from tests.lab.clients import CLIENTS, build_go_client, install_python_clients, missing
from tests.lab.host_files import BUNDLE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_TRUST = {"SSL_CERT_FILE": BUNDLE, "REQUESTS_CA_BUNDLE": BUNDLE, "NODE_EXTRA_CA_CERTS": BUNDLE}


@pytest.fixture(scope="module")
def equipped(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    install_python_clients(lab)
    if not missing("go"):
        build_go_client(lab, tmp_path_factory.mktemp("go"))
    return lab


@pytest.mark.parametrize("name", CLIENTS)
def test_client_reaches_the_lab_s_internet(equipped: Lab, name: str) -> None:
    if reason := missing(name):
        pytest.skip(reason)
    equipped.clear()
    argv = CLIENTS[name]("https://api.example.com/get?client=" + name)
    done = equipped.run(argv, user="dev", env=_TRUST)
    assert done.returncode == 0, done.stderr
    assert b'"name": "api.example.com"' in done.stdout
    assert [request.target for request in equipped.requests()] == [f"/get?client={name}"]
