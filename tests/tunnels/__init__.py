"""Tunnels in names, and ordinary names: generators, and what the judge makes of them."""
