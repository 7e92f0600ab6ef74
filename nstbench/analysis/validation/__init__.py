"""Tests whether metrics order pictures whose order is known."""
