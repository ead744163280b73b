"""Bytes in JSON: unpadded base64url, one spelling only (RFC 4648, section 5)."""

import base64
import binascii

from protocol.errors import MalformedMessageError


def write_base64url(octets: bytes) -> str:
    """Write bytes as text without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def read_base64url(text: str | bytes, field: str) -> bytes:
    """Read text back to bytes, refusing every spelling but the one we write.

    Lenient decoders skip foreign characters and ignore stray last bits, so that
    one signature would have several texts (protocol, section 4).

    Args:
        text: what was found.
        field: its name, for the error.

    Raises:
        MalformedMessageError: any other spelling.
    """
    raw = text.encode("ascii", "replace") if isinstance(text, str) else text
    try:
        octets = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except (binascii.Error, ValueError):
        octets = b""
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != raw:
        raise MalformedMessageError(field, text, "unpadded base64url")
    return octets
