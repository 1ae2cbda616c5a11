"""Configuration of the groups service: the common settings."""

from typing import ClassVar

from quartet_common.config.settings import ServiceConfig


class GroupsConfig(ServiceConfig):
    """Settings of the groups service."""

    service: ClassVar[str] = "groups"

    max_body_bytes: int = 12 * 1024 * 1024
    """A group is sent with its members: 100,000 of them are about 8 MiB."""
