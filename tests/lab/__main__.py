"""`python -m tests.lab [--user dev] [-- PROGRAM...]`: a shell on the lab's host, for people."""

from __future__ import annotations

import argparse
import signal
import sys

from tests.lab import Lab, LabError


def main() -> int:
    """Run one program on the lab's host, then show what the oracle saw."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--user", choices=["dev"], help="run as the lab's ordinary user")
    parser.add_argument("program", nargs="*", default=["bash"])
    chosen = parser.parse_args()
    try:
        with Lab() as lab:
            started = lab.popen(
                chosen.program, user=chosen.user, stdin=None, stdout=None, stderr=None
            )
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            code = started.wait()
            for entry in lab.oracle.records():
                print(f"oracle: {entry}", file=sys.stderr)
            return code
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
