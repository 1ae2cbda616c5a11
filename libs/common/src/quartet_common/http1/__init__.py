"""HTTP/1.1: connections parsed by llhttp (httptools) that run an ASGI application."""
