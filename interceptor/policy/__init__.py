"""What the operator wrote: schema, presets, loading."""
