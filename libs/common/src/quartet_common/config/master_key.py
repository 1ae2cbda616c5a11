"""The master key of a service: the setting by which private keys are encrypted in its database."""

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator, SecretStr

MASTER_KEY_BYTES = 32


def decode_master_key(text: str) -> bytes:
    """The 32 bytes of a base64url text, with or without padding. Raises ValueError."""
    try:
        key = base64.urlsafe_b64decode(text.strip() + "=" * (-len(text.strip()) % 4))
    except (binascii.Error, ValueError) as error:
        raise ValueError("the master key must be base64url") from error
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError(f"the master key must be {MASTER_KEY_BYTES} bytes, base64url-encoded")
    return key


def _check_master_key(secret: SecretStr) -> SecretStr:
    decode_master_key(secret.get_secret_value())
    return secret


MasterKey = Annotated[SecretStr, AfterValidator(_check_master_key)]
"""QUARTET_MASTER_KEY: 32 bytes, base64url."""
