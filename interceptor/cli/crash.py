"""What a user sees of a defect: one clear line, and a report to hand in.

Neither holds the exception's message unless the operating system wrote it: a message may quote the
agent's bytes, and those may be secrets. Frames and types are enough to find a defect.
"""

from __future__ import annotations

import os
import platform
import tempfile
import traceback
from pathlib import Path

import interceptor
from interceptor.evidence import place

HERE = f"{Path(__file__).resolve().parents[2]}/"


def explain(error: BaseException) -> str:
    """Write a report of `error` and return the lines to show; never raises."""
    lines = [f"egressguard: internal error: {_summary(error)}\n"]
    try:
        lines.append(f"  Report: {_write_report(error)}\n")
    except OSError as failure:
        lines.append(f"  No report could be written: {failure.strerror}\n")
    lines.append("  Nothing was let through. EGRESSGUARD_DEBUG=1 shows the traceback.\n")
    return "".join(lines)


def report(error: BaseException) -> str:
    """Versions, then types and frames of `error` and its causes, outermost last."""
    versions = (
        f"egressguard {interceptor.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()} {platform.machine()}\n"
    )
    parts = [versions]
    chain: BaseException | None = error
    while chain is not None and len(parts) < 16:
        frames = traceback.extract_tb(chain.__traceback__)
        parts.append(f"{_label(chain)}\n" + "".join(traceback.format_list(frames)))
        chain = chain.__cause__ or chain.__context__
    return "\n".join(parts)


def _summary(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(HERE)] or list(frames)
    if not ours:
        return _label(error)
    return f"{_label(error)} at {ours[-1].filename.removeprefix(HERE)}:{ours[-1].lineno}"


def _label(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return f"{name} ({error.strerror})"
    if isinstance(error, ModuleNotFoundError):
        return f"{name} ({error.name})"
    return name


def _write_report(error: BaseException) -> Path:
    """Write the report where only this user can read it; return its path."""
    directory = place.directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=directory)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(report(error))
    return Path(path)
