"""A node's HTTP API for members and treasurers (programs; pages come beside it).

One module a subject, each with its part of the table of routes. Amounts are
integers of minor units with the unit beside them, or milliseconds. Errors are
RFC 9457 with a stable ``type`` and, for a refusal, its code.
"""
