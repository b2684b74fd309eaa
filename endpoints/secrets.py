"""Secrets at rest: a model field whose column holds ciphertext."""

import base64
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


@lru_cache(maxsize=4)
def _fernet(secret_key: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"roundhouse secrets" + secret_key.encode()).digest()))


def encrypt(plain: str) -> str:
    """Return the ciphertext of a secret; an empty one stays empty."""
    return _fernet(settings.SECRET_KEY).encrypt(plain.encode()).decode() if plain else ""


def decrypt(stored: str) -> str:
    """Return the secret.

    Raises:
        ImproperlyConfigured: if the secret key is not the one it was encrypted with.
    """
    if not stored:
        return ""
    try:
        return _fernet(settings.SECRET_KEY).decrypt(stored.encode()).decode()
    except InvalidToken:
        raise ImproperlyConfigured(
            "A stored secret cannot be read with this secret key. Restore the secret.key file of the data directory "
            "(or ROUNDHOUSE_SECRET_KEY), or set the secret anew in the admin."
        ) from None


if TYPE_CHECKING:
    TextField = models.TextField[str, str]
else:  # Django's fields take no type arguments at run time
    TextField = models.TextField


class SecretField(TextField):
    """Text that is encrypted in the database and plain in Python."""

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        """Decrypt what the database holds."""
        return None if value is None else decrypt(value)

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt what the database is to hold."""
        return None if value is None else encrypt(str(value))
