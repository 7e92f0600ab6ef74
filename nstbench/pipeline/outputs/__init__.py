"""Pictures of another program: found by patterns, copied into the run folder, made into units."""
