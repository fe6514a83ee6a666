"""The bench: egressguard beside a direct connection and mitmproxy, in the lab. See scripts/bench.

machine      what it runs on, and what it needs: wrk, h2load, nginx, mitmproxy
subjects     the three that are measured, each with a shell next to its client
load         one sample: requests, connections or bytes a second, and the proxy's CPU time
startup      `egressguard jail -- true`: wall time and memory
steady       delay at low load, idle connections, event streams, leaves
goals        the stated goals, held against what was found
report       the table and the JSON file
profiling    where our time goes: `python -m tests.bench.profiling`
inside/      programs that run in the lab, with the standard library alone
"""
