"""The package that ``nstbench new`` writes."""
