"""Bytes in JSON: unpadded base64url, one spelling only (RFC 4648, section 5)."""

import binascii

from protocol.errors import MalformedMessageError

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def write_base64url(octets: bytes) -> str:
    """Write bytes as text without padding."""
    return _write(octets).decode("ascii")


def _write(octets: bytes) -> bytes:
    written = binascii.b2a_base64(octets, newline=False)
    return written.rstrip(b"=").translate(_TO_URL)


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
        padded = raw.translate(_FROM_URL) + b"=" * (-len(raw) % 4)
        octets = binascii.a2b_base64(padded)
    except (binascii.Error, ValueError):
        octets = b""
    if _write(octets) != raw:
        raise MalformedMessageError(field, text, "unpadded base64url")
    return octets
