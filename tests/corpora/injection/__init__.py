"""Injected instructions in what an agent reads, and documents that hold none.

Phrases and documents stand beside this file as data; `python -m tests.corpora.injection` makes and
measures. Nothing here was made with the product's rules in view.
"""
