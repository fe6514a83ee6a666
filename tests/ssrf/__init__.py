"""The SSRF table: hosts that must not be reached, in every spelling, by every way to name a host.

`forms` holds the spellings and what they stand for, `carriers` the ways, `table` puts them
together. `tests/pure/flow/test_ssrf_table.py` runs all of it in one process, and
`tests/system/jail/test_ssrf.py` a sample of it with real clients.
"""
