"""The only sockets of the interceptor."""
