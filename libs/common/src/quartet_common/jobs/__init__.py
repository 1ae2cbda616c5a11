"""Jobs: work on a tenant's data that is longer than a request, such as imports; they run in the worker."""
