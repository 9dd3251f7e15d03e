"""Benchmarks: each prints a table and JSON, with its peer measured in the same run."""
