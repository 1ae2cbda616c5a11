"""Access tokens: signing, signing keys and revocation."""
