"""Who may do what, and how much of it: keys, secrets, limits, TLS, the guard at the door."""
