"""From outputs to scores."""
