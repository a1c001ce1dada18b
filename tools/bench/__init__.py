"""Benchmarks: figures as ratios measured in one run on one machine. They print and compare, they never assert."""
