"""Corpora that are made, not kept: generators with a seed, and what is measured with them."""
