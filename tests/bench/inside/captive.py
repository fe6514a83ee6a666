"""Make captive namespaces: milliseconds of each, as JSON.  PYTHONPATH=... captive.py TIMES"""

from __future__ import annotations

import json
import sys
import time

from netns import captive

if __name__ == "__main__":
    inside, whole = [], []
    for _ in range(int(sys.argv[1])):
        begin = time.perf_counter()
        made = captive.create(rootless=False)
        whole.append((time.perf_counter() - begin) * 1000)
        inside.append(made.seconds * 1000)
        made.close()
    print(json.dumps({"inside": inside, "whole": whole}))
