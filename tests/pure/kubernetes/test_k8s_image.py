"""The Dockerfile: what it copies is there, what it runs as is what the manifests say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from interceptor.kubernetes.parts import PROXY_PORT, PROXY_UID

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "interceptor/kubernetes/Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.strip().partition(" ") for line in text.splitlines() if line.strip()]
    return [(word, re.sub(r"\s+", " ", rest)) for word, _, rest in lines]


def test_it_is_made_of_packages_and_this_tree() -> None:
    found = instructions()
    assert {word for word, _ in found} == {
        *("ARG", "FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "HEALTHCHECK"),
        *("ENTRYPOINT", "CMD"),
    }
    for word, rest in found:
        if word == "RUN":
            assert not re.search(r"https?:|curl|wget|git ", rest), rest
            assert "pip install" not in rest or "--require-hashes" in rest
        if word == "COPY" and not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source


def test_it_runs_without_root() -> None:
    found = instructions()
    last = found[[word for word, _ in found].index("FROM", 3) :]
    settings = dict(last)
    assert settings["USER"] == f"{PROXY_UID}:{PROXY_UID}"
    assert settings["EXPOSE"] == str(PROXY_PORT)
    # No command runs after it as root, and what is set-uid is so no more.
    assert [word for word, _ in last].index("USER") > max(
        index for index, (word, _) in enumerate(last) if word == "RUN"
    )
    assert any("chmod a-s" in rest for word, rest in last if word == "RUN")
    _, _, check = settings["HEALTHCHECK"].partition("CMD ")
    program, *_, code = json.loads(check)
    assert program == json.loads(settings["ENTRYPOINT"])[0]
    compile(code, "HEALTHCHECK", "exec")


def test_the_linter_is_content(tmp_path: Path) -> None:
    done = subprocess.run([HADOLINT, FILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    bad = tmp_path / "Dockerfile"  # the control
    bad.write_text("FROM debian:latest\nRUN cd / && apt-get install curl\n")
    assert subprocess.run([HADOLINT, bad], capture_output=True, check=False).returncode == 1
