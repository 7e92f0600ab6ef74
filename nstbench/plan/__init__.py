"""From a configuration to variants and units."""
