"""The client of the engine, a VictoriaMetrics, and the writer that copies series into it."""
