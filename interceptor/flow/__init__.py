"""Flows as pure objects: bytes in, steps out."""
