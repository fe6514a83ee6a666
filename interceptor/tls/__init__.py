"""The per-jail certificate authority and TLS sessions over memory."""
