"""The hub's HTTP API: what other servers ask, and the regional admin's desk.

One module a subject, each with its part of the table of routes. Amounts between
groups are milliseconds. Errors are RFC 9457 with a stable ``type``.
"""
