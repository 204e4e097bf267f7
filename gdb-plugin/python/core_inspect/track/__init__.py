"""Allocations followed while a process runs: events → stacks with slices and cohorts → verdicts → a report."""
