"""Archives of logs, and their restore in another deployment."""
