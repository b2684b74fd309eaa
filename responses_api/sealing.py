"""The cipher of what callers keep for the gateway: AES-GCM under a key of its own, bound to one caller."""

import base64
import binascii
import hashlib
import os
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = b"\x01"
NONCE_BYTES = 12


class Sealing:
    """Makes the seals of callers."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"roundhouse sealed content" + secret).digest())

    def of(self, caller_id: int) -> "CallerSeal":
        """Return a caller's seal."""
        return CallerSeal(self._cipher, caller_id)


class CallerSeal(NamedTuple):
    """The seal of one caller: what another key of the gateway closed does not open under it."""

    cipher: AESGCM
    caller_id: int

    def close(self, text: str) -> str:
        """Return the text as its caller keeps it."""
        nonce = os.urandom(NONCE_BYTES)
        closed = self.cipher.encrypt(nonce, text.encode("utf-8", "replace"), self._bound)
        return base64.urlsafe_b64encode(VERSION + nonce + closed).decode()

    def open(self, sealed: str) -> str:
        """Return the text. Raises ValueError if it was not closed under this seal."""
        try:
            raw = base64.b64decode(sealed.encode("ascii"), altchars=b"-_", validate=True)
            if raw[:1] != VERSION:
                raise ValueError("Nothing of ours begins like this.")
            return self.cipher.decrypt(raw[1 : 1 + NONCE_BYTES], raw[1 + NONCE_BYTES :], self._bound).decode()
        except (InvalidTag, binascii.Error, UnicodeEncodeError) as error:
            raise ValueError("It was not closed under this seal.") from error

    @property
    def _bound(self) -> bytes:
        return b"caller %d" % self.caller_id
