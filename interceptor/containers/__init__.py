"""Containers as guests of the gateway: what they may be started with, and how they are plugged."""
