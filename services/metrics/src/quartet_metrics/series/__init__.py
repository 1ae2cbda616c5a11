"""The catalog of metrics, what each event adds to their series, and the tables of series and samples."""
