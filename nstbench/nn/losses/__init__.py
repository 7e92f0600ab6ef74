"""Losses on features and pictures."""
