"""An authority that is kept: the same in the next run, and nobody else's to read."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from interceptor.tls.kept import CERTIFICATE, KEY, KeptError, open_kept

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_the_next_run_has_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    one = open_kept(folder, NOW)
    two = open_kept(folder, NOW + dt.timedelta(days=40))
    assert one.certificate_pem == two.certificate_pem == (folder / CERTIFICATE).read_bytes()
    assert (folder / KEY).stat().st_mode & 0o777 == 0o600
    assert two.leaf("a.example").certificate_pem != one.leaf("a.example").certificate_pem


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602])
def test_a_key_that_others_may_have_is_refused(tmp_path: Path, mode: int) -> None:
    open_kept(tmp_path, NOW)
    (tmp_path / KEY).chmod(mode)
    with pytest.raises(KeptError, match="others may"):
        open_kept(tmp_path, NOW)


def test_faults_are_named(tmp_path: Path) -> None:
    open_kept(tmp_path / "one", NOW)
    open_kept(tmp_path / "two", NOW)
    with pytest.raises(KeptError, match="remove it"):
        open_kept(tmp_path / "one", NOW + dt.timedelta(days=3_649))
    with pytest.raises(KeptError, match="remove it"):
        open_kept(tmp_path / "one", NOW - dt.timedelta(days=30))
    (tmp_path / "two" / CERTIFICATE).replace(tmp_path / "one" / CERTIFICATE)
    with pytest.raises(KeptError, match="no pair"):
        open_kept(tmp_path / "one", NOW)
    with pytest.raises(KeptError, match=CERTIFICATE):
        open_kept(tmp_path / "two", NOW)
    (tmp_path / "one" / KEY).write_text("no key")
    with pytest.raises(KeptError, match="no pair"):
        open_kept(tmp_path / "one", NOW)
