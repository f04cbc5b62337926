"""Seen from outside: log lines, metrics and traces, none of which names a person."""
