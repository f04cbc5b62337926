"""What Holdfast knows, in pure standard library: no clock, no random, no I/O."""
