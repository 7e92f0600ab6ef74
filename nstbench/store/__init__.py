"""The run folder: keys, atomic files, records, leases."""
