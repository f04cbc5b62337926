"""What the command line does on a running installation. Only `cli.py` imports it."""
