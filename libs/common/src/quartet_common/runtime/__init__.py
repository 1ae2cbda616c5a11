"""Runtime: the container, the processes of a service, calls to other services, and the deletion of tenants."""
