"""Turns units into outputs and timings: executors, worker, runner, clock."""
