"""Benchmarks, each against a peer measured in the same run: `python -m bench.NAME`."""
