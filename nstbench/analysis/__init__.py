"""From scores to statements: ranks, comparisons, regression, validation."""
