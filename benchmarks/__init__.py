"""Measurements, run by hand: `python -m benchmarks.serve --help`. Nothing in here is served."""
