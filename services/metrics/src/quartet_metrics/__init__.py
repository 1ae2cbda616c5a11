"""The metrics service: counts the events of each tenant and serves them as time series."""
