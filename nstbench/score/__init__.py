"""Compute scores from outputs, and the maths that metrics share."""
