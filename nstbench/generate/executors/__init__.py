"""Executors: run units in worker processes on this machine or on a Ray cluster."""
