"""Attempts to get out of a jail, as a table, with the programs, oracles and controls they need.

`programs/` are what an adversary would write: standard library only, run inside a jail as they are.
`attempts*.py` say which of them are tried and what would show that one got out. `oracle.py` is the
outside, live. `play.py` runs every program twice, beside the jail and in it. `egressguard
self-test` plays the part that needs no lab in throw-away namespaces (`stage.py`); tests/escape
plays all.
"""
