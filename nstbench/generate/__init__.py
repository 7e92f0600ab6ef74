"""From units to outputs and timings: executors, worker, runner, clock."""
