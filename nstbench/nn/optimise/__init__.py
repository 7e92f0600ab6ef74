"""Optimisation of the pixels of a picture: optimisers, loops, passes shared by several pairs."""
