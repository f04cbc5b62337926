"""The API against a real PostgreSQL; Temporal and mail are small doubles."""
