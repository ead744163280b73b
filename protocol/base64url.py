"""Bytes in JSON: unpadded base64url, one spelling only (RFC 4648, section 5)."""

import binascii

from protocol.errors import MalformedMessageError

_TO_URL = bytes.maketrans(b"+/", b"-_")
#: What is not of this alphabet becomes what no base64 has, so that it is refused.
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/!!!")


def write_base64url(octets: bytes) -> str:
    """Write bytes as text without padding."""
    written = binascii.b2a_base64(octets, newline=False)
    return written.rstrip(b"=").translate(_TO_URL).decode("ascii")


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
    padded = raw.translate(_FROM_URL) + b"=" * (-len(raw) % 4)
    try:
        octets = binascii.a2b_base64(padded)
    except (binascii.Error, ValueError):
        octets = b""
    if binascii.b2a_base64(octets, newline=False) != padded:
        raise MalformedMessageError(field, text, "unpadded base64url")
    return octets
