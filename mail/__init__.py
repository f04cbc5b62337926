"""Mail: building messages from facts, and giving them to a mail server."""
