"""The long-running service: many captive namespaces, spread over workers, and its clients."""
