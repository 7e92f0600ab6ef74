"""Network weights: sources, verified cache, status."""
