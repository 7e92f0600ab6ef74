"""Trainings of a list in a fixed time: shares, rates, held-out losses, sheets and results."""
