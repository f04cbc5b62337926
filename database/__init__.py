"""PostgreSQL: engine, tables, migrations, and one query module per group of tables.

All SQL lives here. A query module's functions take an open connection and never commit;
whoever opens the transaction (`engine.begin()`) commits it, once.
"""
