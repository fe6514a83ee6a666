"""Finding secrets in bytes: rules, engine, decoders."""
