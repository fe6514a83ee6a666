from __future__ import annotations

import asyncio

import pytest

from interceptor.scan.ruleset import example
from interceptor.serve import worker


def test_a_fault_in_a_callback_is_one_line_without_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    loop = asyncio.new_event_loop()
    secret = example(["AK", "IA", "{upper32:16}"], "report").decode()
    with pytest.raises(ValueError) as caught:
        int(secret)
    worker.report(loop, {"message": "x", "exception": caught.value})
    worker.report(loop, {"exception": ConnectionResetError("gone")})
    loop.close()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "ValueError" in said
    assert __file__ in said
    assert secret not in said
