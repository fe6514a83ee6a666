"""Whether secrets are found: every rule's examples, encoded, carried and cut in every way.

`python -m tests.recall` prints recall by rule and by encoding. The encodings here are made with the
standard library or written from their specification; none is the inverse of one of our decoders.
"""
