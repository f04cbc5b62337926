"""The outside world on one machine, for trying and testing; never product code."""
