"""Evidence: the event log and the report at the end of a run."""
