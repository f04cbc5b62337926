"""HTTP in; rows, and messages to workflows, out. No request decides from memory."""
