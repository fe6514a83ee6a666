"""egressguard's interceptor: what is decided and what is relayed."""

__version__ = "0.1.0"
