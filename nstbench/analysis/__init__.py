"""Turns scores into statements: ranks, comparisons, regression checks, validation."""
