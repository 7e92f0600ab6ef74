"""Programs as methods, defined by an entry of a configuration file."""
