"""The settings of a process's servers, from its configuration."""

from quartet_common.config.certificates import Certificates
from quartet_common.config.settings import ServiceConfig
from quartet_serving.server import HTTP1, HTTP2, Settings


def public_config(config: ServiceConfig, certificates: Certificates | None = None) -> Settings:
    """The settings of the api's port; `certificates` are the process's, which renews them."""
    alpn = HTTP2 if config.protocol == "h2" else HTTP1
    context = (certificates or Certificates(config)).server(alpn)
    return Settings(config.host, config.port, config.shutdown_timeout, context, config.share_port)


def private_config(config: ServiceConfig) -> Settings:
    """The settings of the private port: without TLS, since its clients are on the same machine or in the same pod, and
    without a time for idle connections, since no proxy sends requests.
    """
    return Settings(config.private_host, config.private_port, config.shutdown_timeout, idle_at_end=0.0)
