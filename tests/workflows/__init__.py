"""Workflow tests in skipped time."""
