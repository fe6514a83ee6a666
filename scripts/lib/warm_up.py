"""Put the compiled rule database into the cache: `warm_up.py CACHE_DIRECTORY`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 3)[0])

from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.scan.ruleset import load_rules

folder = Path(sys.argv[1])
Scanner.build(load_rules(folder), folder)
InjectionScanner.build(folder)
