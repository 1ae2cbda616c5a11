"""What readers verify the log with: tiles, checkpoints, keys and proofs over HTTP."""
