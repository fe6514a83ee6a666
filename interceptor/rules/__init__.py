"""Rules as data: TOML files, read by `interceptor.scan.ruleset`."""
