"""Protocols as pure parsers and writers: bytes to and from Units. No sockets."""
