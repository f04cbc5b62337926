"""What the command line does on a running installation. Nothing imports it."""
