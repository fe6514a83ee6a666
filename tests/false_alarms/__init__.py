"""Ordinary traffic, thousands of pieces of it, which must pass: `python -m tests.false_alarms`.

Some is made here, in the shapes that agents' clients send; some is made of files that are on the
machine. Nothing of it is a secret but what `report.is_secret` recognises by itself and lists apart.
"""
