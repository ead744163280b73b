"""What is shared, in the hub's audit: told, decided and booked as it was.

Everything is compared with the lines of the decisions: those are leaves of the log.
"""

from protocol.peer.audit_store import Check
from protocol.peer.database import queries

_SQL = queries(__file__)

CHECKS = (
    Check(
        "shares_are_booked",
        "Every sharing has moved the positions that its decision names, and no other.",
        _SQL["shares_are_booked"],
    ),
    Check(
        "shares_were_decided",
        "Every sharing was decided as it was told beforehand, and no other.",
        _SQL["shares_were_decided"],
    ),
    Check(
        "shares_were_told",
        "Every sharing is what each group that it names was told.",
        _SQL["shares_were_told"],
    ),
)
