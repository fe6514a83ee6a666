"""`scan --jsonl`: one answer a line, in order, at once; bad lines are told and go by."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interceptor.cli import main, scan_jsonl
from interceptor.cli.scan_jsonl import MAX_LINE, Stream, read_lines, run
from interceptor.cli.scan_setup import Options, Prepared
from interceptor.decide.items import SURFACES
from tests.scan_samples import ACME

ROOT = Path(__file__).resolve().parents[3]
Prepare = Callable[..., Prepared]


@pytest.fixture
def stream(sampled: Prepare) -> Stream:
    return Stream(sampled().items, None)


def answer(stream: Stream, line: object) -> Any:
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    out = stream.answer(data)
    assert b"\n" not in out
    return json.loads(out)


def item(surface: str = "body", text: str = "hi", **more: object) -> dict[str, object]:
    return {"id": "a", "surface": surface, "text": text, **more}


# -- answers -----------------------------------------------------------------------------------


def test_the_shape_of_an_answer(stream: Stream) -> None:
    assert answer(stream, item()) == {
        "id": "a",
        "action": "allow",
        "reason": "allowed",
        "findings": [],
    }
    blocked = answer(stream, item(text=base64.b64encode(ACME).decode()))
    (finding,) = blocked["findings"]
    digest = finding.pop("digest")
    assert len(digest) == 16
    assert blocked == {
        "id": "a",
        "action": "block",
        "reason": "secret",
        "findings": [
            {"rule": "acme-token", "severity": "critical", "encoding": "base64", "where": "body"}
        ],
    }
    assert not stream.failed


def test_findings_at_home_are_marked(stream: Stream) -> None:
    line = item("header", f"Authorization: {ACME.decode()}", host="api.acme.example")
    told = answer(stream, line)
    assert told["action"] == "allow"
    assert told["findings"][0]["home"] is True
    assert told["findings"][0]["encoding"] == ""


def test_base64_carries_any_bytes(stream: Stream) -> None:
    line = {"id": 1, "surface": "body", "base64": base64.b64encode(b"\0\xff" + ACME).decode()}
    assert answer(stream, line)["action"] == "block"
    line = {"id": 1, "surface": "body", "base64": ""}
    assert answer(stream, line)["action"] == "allow"


@pytest.mark.parametrize("id", ["", "x", "é\n", 0, -5, 2**53])
def test_ids_come_back_as_they_were(stream: Stream, id: object) -> None:
    told = answer(stream, {"id": id, "surface": "body", "text": ""})
    assert told["id"] == id
    assert type(told["id"]) is type(id)


@pytest.mark.parametrize("surface", sorted(SURFACES))
def test_every_surface_is_answered(stream: Stream, surface: str) -> None:
    told = answer(stream, item(surface, "x.example", host="x.example", session="s", at=1.5))
    assert set(told) == {"id", "action", "reason", "findings"}
    assert told["action"] in ("allow", "block")


def test_other_keys_and_null_are_passed_over(stream: Stream) -> None:
    line = item(text="a", base64=None, host=None, session=None, at=None, note={"x": [1]})
    assert answer(stream, line)["action"] == "allow"
    line = item(session=7, at=3)
    assert answer(stream, line)["action"] == "allow"
    assert not stream.failed


def test_the_name_of_a_header_is_not_repeated_when_it_is_the_secret(stream: Stream) -> None:
    told = stream.answer(json.dumps(item("header", f"{ACME.decode()}: 1")).encode())
    assert b"block" in told
    assert ACME not in told


def test_a_host_of_the_command_line_stands_for_missing_ones(sampled: Prepare) -> None:
    stream = Stream(sampled().items, None, "api.acme.example")
    line = item("header", f"Authorization: {ACME.decode()}")
    assert answer(stream, line)["action"] == "allow"
    assert answer(stream, line | {"host": "x.example"})["action"] == "block"


def test_requests_may_be_written_with_plain_line_ends(stream: Stream) -> None:
    told = answer(stream, item("request", "GET / HTTP/1.1\nHost: x.example\n\n"))
    assert told["action"] == "allow"
    exact = base64.b64encode(b"GET / HTTP/1.1\nHost: x.example\n\n").decode()
    told = answer(stream, {"id": 1, "surface": "request", "base64": exact})
    assert told["reason"] == "http_malformed"  # these bytes would be sent as they are


# -- lines that are none -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "id", "words"),
    [
        (b"", None, "not JSON"),
        (b"  ", None, "not JSON"),
        (b"nonsense", None, "not JSON"),
        (b'{"id": "a"', None, "not JSON"),
        (b'{"id":"a","surface":"body","text":"x"} x', None, "not JSON"),
        (b'{"id":"a","surface":"body","text":"\xff"}', None, "not JSON"),
        (b'{"id":"a","surface":"body","text":"\\ud800"}', None, "not JSON"),
        (b"\xef\xbb\xbf{}", None, "not JSON"),
        (b"[]", None, "not a JSON object"),
        (b'"x"', None, "not a JSON object"),
        (b"null", None, "not a JSON object"),
        (b"{}", None, "`id`"),
        (b'{"surface":"body","text":"x"}', None, "`id`"),
        (b'{"id":null,"surface":"body","text":"x"}', None, "null"),
        (b'{"id":true,"surface":"body","text":"x"}', None, "bool"),
        (b'{"id":{},"surface":"body","text":"x"}', None, "object"),
        (b'{"id":"a","text":"x"}', "a", "`surface`"),
        (b'{"id":"a","surface":"smoke","text":"x"}', "a", "no surface 'smoke'"),
        (b'{"id":"a","surface":7,"text":"x"}', "a", "surface"),
        (b'{"id":"a","surface":"body"}', "a", "neither"),
        (b'{"id":"a","surface":"body","text":null}', "a", "neither"),
        (b'{"id":"a","surface":"body","text":"x","base64":"eA=="}', "a", "both"),
        (b'{"id":"a","surface":"body","text":["x"]}', "a", "text"),
        (b'{"id":"a","surface":"body","base64":"*"}', "a", "base64"),
        (b'{"id":"a","surface":"body","base64":"eA"}', "a", "base64"),
        (b'{"id":"a","surface":"body","base64":"eA==\\n"}', "a", "base64"),
        (b'{"id":"a","surface":"body","base64":"\xc3\xa9"}', "a", "base64"),
        (b'{"id":7,"surface":"body","text":"x","host":1}', 7, "host"),
        (b'{"id":7,"surface":"body","text":"x","session":1.5}', 7, "session"),
        (b'{"id":7,"surface":"body","text":"x","at":"now"}', 7, "at"),
        (b'{"id":7,"surface":"body","text":"x","at":true}', 7, "at"),
        (b'{"id":7,"surface":"body","text":"x","at":1e999}', None, "not JSON"),
        (b'{"id":7,"id":7,"surface":"body","text":"x"}', None, "'id' stands twice"),
        (b'{"id":7,"surface":"body","text":"x","text":"y"}', 7, "'text' stands twice"),
        (b'{"id":7,"surface":"body","text":"x","text" :"y"}', 7, "'text' stands twice"),
        (b'{"id":7,"surface":"body","text":"x","text"\t:"y"}', 7, "'text' stands twice"),
        (b'{"id":7,"surface":"body","text":"x","te\\u0078t":"y"}', 7, "'text' stands twice"),
        (b'{"id":7,"surface":"body","text":"x","a":1,"a":2}', 7, "'a' stands twice"),
        (b'{"id":7,"surface":"body","text":"x","k\\\\":1,"text":"y"}', 7, "'text' stands twice"),
        (b'{"id":7,"surface":"body","text":"x","session":"' + b"s" * 300 + b'"}', 7, "longer"),
    ],
)
def test_a_bad_line_is_told(stream: Stream, line: bytes, id: object, words: str) -> None:
    told = answer(stream, line)
    assert set(told) == {"id", "error"}
    assert told["id"] == id
    assert told["error"].startswith("line 1: ")
    assert words in told["error"]
    assert stream.failed
    assert answer(stream, item())["action"] == "allow"  # the next one goes on


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":7,"surface":"body","text":"\\"text\\":\\"x\\" \\\\\\": :"}',
        b'{"id":7,"surface":"body","text":"text","host":"text"}',
        b'{ "id" : 7 , "surface" : "body" , "text" : "x" }',
        b'{"id":7,"surface":"body","text":"x","deep":{"id":1,"text":{"id":2}}}',
        b'{"id":7,"surface":"body","text":"a key: value :"}\r',
    ],
)
def test_what_looks_like_a_key_twice_is_none(stream: Stream, line: bytes) -> None:
    assert answer(stream, line)["action"] == "allow"


def test_a_flood_of_keys_and_depth_costs_no_more_than_its_length(stream: Stream) -> None:
    keys = b",".join(b'"k%d":1' % number for number in range(200_000))
    told = answer(stream, b'{"id":7,"surface":"body","text":"x",' + keys + b"}")
    assert told["action"] == "allow"
    deep = b'{"id":7,"surface":"body","text":"x","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert "error" in answer(stream, deep)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    line=st.binary(max_size=80)
    | st.dictionaries(
        st.sampled_from(["id", "surface", "text", "base64", "host", "session", "at", "x"]),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=9),
            st.sampled_from([*SURFACES, ACME.decode(), "eA==", "10.0.0.1"]),
            st.lists(st.integers(), max_size=2),
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_line_gets_one_answer(stream: Stream, line: bytes) -> None:
    told = answer(stream, line)
    assert set(told) in ({"id", "error"}, {"id", "action", "reason", "findings"})
    assert ACME.decode() not in json.dumps(told.get("findings"))


def test_a_defect_of_ours_refuses_and_the_stream_goes_on(
    stream: Stream,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    from interceptor.evidence import place

    monkeypatch.setattr(place, "directory", lambda: tmp_path)
    monkeypatch.delenv("EGRESSGUARD_DEBUG", raising=False)
    monkeypatch.setattr(stream, "_items", None)
    told = answer(stream, item(text=ACME.decode()))
    assert (told["action"], told["reason"]) == ("block", "internal_error")
    assert answer(stream, item())["reason"] == "internal_error"
    error = capsys.readouterr().err
    assert error.count("internal error") == 1
    assert ACME.decode() not in error
    assert run_bytes(b"", stream) == (b"", main.EXIT_SETUP)


# -- streaming ---------------------------------------------------------------------------------


def run_bytes(data: bytes, stream: Stream) -> tuple[bytes, int]:
    reader, writer = os.pipe()
    feeder = threading.Thread(target=_feed, args=(writer, data))
    feeder.start()
    out = io.BytesIO()
    try:
        code = run(reader, stream, out.write)
    finally:
        os.close(reader)
        feeder.join()
    return out.getvalue(), code


def _feed(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def test_answers_come_in_order_and_the_last_line_needs_no_end(stream: Stream) -> None:
    lines = [json.dumps({**item(), "id": number}) for number in range(5000)]
    out, code = run_bytes("\n".join(lines).encode(), stream)
    assert [json.loads(line)["id"] for line in out.splitlines()] == list(range(5000))
    assert code == 0
    assert run_bytes(b"", stream) == (b"", 0)


def test_one_bad_line_makes_the_code_2(stream: Stream) -> None:
    good = json.dumps(item()).encode() + b"\n"
    out, code = run_bytes(good + b"bad\n" + good, stream)
    assert [("error" in json.loads(line)) for line in out.splitlines()] == [False, True, False]
    assert code == 2


@pytest.mark.parametrize("sizes", [[1], [2, 3], [7, 1, 100]])
def test_lines_are_cut_at_their_ends_however_they_come(
    sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"one\n\ntwo\r\nthree"

    def pieces() -> Iterator[bytes]:
        at = number = 0
        while at < len(data):
            size = sizes[number % len(sizes)]
            yield data[at : at + size]
            at += size
            number += 1
        yield b""

    source = pieces()
    monkeypatch.setattr(os, "read", lambda *_: next(source))
    lines = [line for found in read_lines(0) for line in found]
    assert lines == [b"one", b"", b"two\r", b"three"]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_too_long_is_dropped_as_it_comes(
    end: bytes, monkeypatch: pytest.MonkeyPatch, stream: Stream
) -> None:
    monkeypatch.setattr(scan_jsonl, "MAX_LINE", 1000)
    monkeypatch.setattr(scan_jsonl, "_READ", 64)
    good = json.dumps(item()).encode() + b"\n"
    out, code = run_bytes(good + b"x" * 5000 + b"\n" + good + b"y" * 1001 + end, stream)
    told = [json.loads(line) for line in out.splitlines()]
    assert [("error" in one) for one in told] == [False, True, False, True]
    assert told[1]["id"] is None
    assert told[1]["error"].startswith("line 2: longer than 1000 bytes")
    assert code == 2


def test_the_longest_line_holds_the_longest_message() -> None:
    assert MAX_LINE > 16 * 1024 * 1024 * 4 // 3


@pytest.mark.parametrize("piped", [True, False])
def test_a_co_process_answers_each_line_before_the_next(
    piped: bool, tmp_path: Path, scan_cache: Path
) -> None:
    """The whole command, the rules that ship, a line in and a line out."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(scan_cache), "HOME": str(tmp_path)}
    arguments = [sys.executable, "-c", _COMMAND, str(scan_cache), "scan", "--jsonl"]
    lines = [item("url", "http://127.0.0.1/"), item("body", "hello"), item("body", 'x "')]
    if not piped:
        file = tmp_path / "items.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        done = subprocess.run(
            [*arguments, str(file)], cwd=ROOT, capture_output=True, check=False, env=environment
        )
        actions = [json.loads(line)["action"] for line in done.stdout.splitlines()]
        assert (actions, done.returncode, done.stderr) == (["block", "allow", "allow"], 0, b"")
        return
    with subprocess.Popen(
        arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line, action in zip(lines, ["block", "allow", "allow"], strict=True):
            process.stdin.write(json.dumps(line).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["action"] == action
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(20) == 0


_COMMAND = """
import sys
from pathlib import Path
from interceptor.cli import main, scan_setup
scan_setup.cache_folder = lambda: Path(sys.argv[1])
main.main(sys.argv[2:])
"""


# -- the command -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--jsonl", "--sarif"], "--jsonl goes with one FILE"),
        (["--jsonl", "a", "b"], "--jsonl goes with one FILE"),
        (["--jsonl", "no/such/file"], "no/such/file: cannot be read"),
        (["--jsonl", "."], ".: is a directory"),
        (["--jsonl", "--policy", "no/such.yaml"], "no/such.yaml: there is no such file"),
        (["--jsonl", "--rules", "no/such.toml"], "no/such.toml: the rule file cannot be read"),
        (["--jsonl", "--preset", "lax"], "lax"),
        ([], "name files or directories"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    arguments: list[str],
    words: str,
    sampled: Prepare,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.run(["scan", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


def test_rules_of_ones_own_and_the_policy_count(sampled: Prepare, tmp_path: Path) -> None:
    rules = tmp_path / "own.toml"
    rules.write_text(
        "version = 1\n[[rule]]\nid = 'own-key'\ntitle = 'Own key'\nseverity = 'high'\n"
        "pattern = 'own_[0-9]{12}'\n"
    )
    policy = tmp_path / "egressguard.yaml"
    policy.write_text(
        "version: 1\nrules:\n  digest_key: a long enough text\n"
        "  suppress: [{rule: acme-token, host: x.example}]\n"
    )
    options = Options(policy=str(policy), rules=(str(rules),))
    first, second = (Stream(sampled(options).items, None) for _ in range(2))
    told = answer(first, item(text="own_" + "4" * 12))
    assert told["findings"][0]["rule"] == "own-key"
    assert told == answer(second, item(text="own_" + "4" * 12))  # the same digest in every run
    assert answer(first, item(text=ACME.decode(), host="x.example"))["action"] == "allow"
    assert answer(first, item(text=ACME.decode()))["action"] == "block"
    rules.write_text("version = 1\n[[rule]]\nid = 'own-key'\npattern = '('\n")
    with pytest.raises(Exception, match=r"own\.toml"):
        sampled(options)
    rules.unlink()
    with pytest.raises(Exception, match="check the path given to --rules"):
        sampled(options)
    policy.write_text("version: 1\nrules: {suppress: [{rule: acme-tokn}]}\n")
    with pytest.raises(Exception, match="did you mean `acme-token`"):
        sampled(Options(policy=str(policy)))
