"""Where deployment checkpoints go: witnesses that cosign them, and a webhook."""
