"""The kernel's part: captive namespace, enclosure, trust, registry."""
