"""The attempts themselves. They run inside the jail: nothing here but the standard library."""
