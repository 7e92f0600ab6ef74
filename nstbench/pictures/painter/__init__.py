"""Paintings made by a program: pictures to take a style from, without rights to clear."""
