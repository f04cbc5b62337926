"""The sandbox's mail server: takes every mail, delivers none, shows all on a page."""
