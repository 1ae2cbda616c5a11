"""Detection of logging failures: gaps between what was published and what was recorded."""
