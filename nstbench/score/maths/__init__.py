"""Distances and errors that metrics share."""
