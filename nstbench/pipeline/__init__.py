"""The whole job in order: plan, generate, time, score, rank, report."""
