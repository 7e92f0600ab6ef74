"""Optimisation of a picture: optimisers, loops, shared forward passes."""
