"""The sandbox's demo application "Acme": opens access when Holdfast tells it to."""
