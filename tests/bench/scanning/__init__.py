"""What a scan costs: texts, floods, measures, report. `scripts/bench scan` runs it."""
