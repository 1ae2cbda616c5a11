"""What metrics are: their types, units and meanings, of Quartet and of applications."""
