"""MCP servers over standard input and output: the relay, its pins, configurations of clients."""
