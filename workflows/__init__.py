"""Orchestration only: order, timers, retries, signals. No clock, no random, no I/O."""
