"""Start egressguard from this checkout; `scripts/egressguard` runs this file isolated (-I)."""

from __future__ import annotations

import sys

sys.path.insert(0, __file__.rsplit("/", 3)[0])
sys.argv[0] = "egressguard"

try:
    from interceptor.cli.main import main
except ModuleNotFoundError as error:  # a damaged environment, such as a half-restored backup
    sys.stderr.write(
        f"egressguard: {error}.\n"
        f"  The private environment is damaged. Fix: rm -r {sys.prefix} and run this again.\n"
    )
    sys.exit(125)

main()
