"""Who may use the console: accounts, sessions, and the guard in front of each route."""
