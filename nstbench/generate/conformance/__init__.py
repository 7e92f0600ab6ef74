"""The checks that every method and every metric must pass."""
