"""What must survive: real processes, real kills, everything counted from outside."""
