"""The bench: egressguard beside a direct connection and mitmproxy, in the lab. See scripts/bench.

machine      what it runs on, and what it needs: wrk, nginx, mitmproxy
subjects     the three that are measured, each with a shell next to its client
load         one sample: requests, connections or bytes a second, and the proxy's CPU time
startup      `egressguard jail -- true`: wall time and memory
report       medians, ratios, goals; table and JSON
profiling    where our time goes: `python -m tests.bench.profiling`
inside/      programs that run in the lab, with the standard library alone
"""
