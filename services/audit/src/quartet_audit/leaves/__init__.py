"""The leaf of an entry and the parts that it commits to."""
