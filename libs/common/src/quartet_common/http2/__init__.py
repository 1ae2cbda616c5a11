"""HTTP/2 (RFC 9113) on h2: connections whose streams are exchanges as over HTTP/1.1."""
