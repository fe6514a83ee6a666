"""Judging: hosts, addresses, findings. The only place that makes ALLOW."""
