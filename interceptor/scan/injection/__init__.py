"""Prompt injection: text that tries to steer the agent that reads it."""
