"""The demo: a sample agent, what it tries, and the stage it runs on (`egressguard demo`)."""
