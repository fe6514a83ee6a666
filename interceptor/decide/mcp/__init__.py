"""Judging what agents and their tools say to each other over MCP."""
