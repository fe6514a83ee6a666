"""A public benchmark of egress guards, read where it lies and driven for real.

`agent-egress-bench` cases are read at run time from ../shared/corpora/aeb-dev (or
EGRESSGUARD_BENCHMARK); nothing of them is copied here. Every host and every secret in a case is
replaced by another of the same kind first: a verdict must come from the kind, not from a sample.
"""
