"""What a group that is leaving may still do: run its position off, never past zero.

A debtor may only receive and a creditor may only pay: its floor and ceiling are its
position and zero, as they stand at each decision. The limits agreed with it are kept
beside, and count again if it stays. Hub and nodes read the states here alike
(protocol, section 19).
"""

import msgspec

from protocol.ledger import Account

#: In these a group may take part in something new; in ``leaving``, only run off.
TRADING_STATES = ("active", "leaving")


def run_off(position: Account, due_out: int = 0, due_in: int = 0) -> Account:
    """Give a leaving group's position with the limits that its state leaves it.

    Args:
        position: as it now stands, with what is held.
        due_out: what open legs may yet take from it: it counts as held.
        due_in: what they may yet bring.
    """
    assert due_out >= 0 and due_in >= 0, "legs move something"
    return msgspec.structs.replace(
        position,
        floor=min(position.balance, 0),
        ceiling=max(position.balance, 0),
        held_out=position.held_out + due_out,
        held_in=position.held_in + due_in,
    )
