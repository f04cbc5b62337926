"""Benchmarks: what a checkout costs, measured through the product's own front door."""
