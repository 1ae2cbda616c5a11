"""The lock-out: whoever guesses passwords or secrets waits longer and longer."""
