"""Events that applications send to the log."""
