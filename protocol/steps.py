"""The durable steps of a server, by name.

A step is something that a server does once and must neither lose nor repeat. Rules
name the step that a decision belongs to; ``protocol.peer.steps`` can kill the process
just before or just after it, so that a test can try every place where power may fail.
"""

from enum import StrEnum


class Step(StrEnum):
    """A durable step; in the order in which a transfer meets them."""

    ORDER = "order"
    """The payer's node books a member's order: hold and transfer."""

    CANCEL_WISH = "cancel-wish"
    """The payer's node asks the hub to call a transfer off."""

    PREPARE = "prepare"
    """The hub takes a prepare: hold on two positions, offer to the payee's node."""

    PREPARE_REFUSED = "prepare-refused"
    """The hub refuses a prepare, without a hold."""

    OFFER = "offer"
    """The payee's node accepts an offer: hold, accept to the hub."""

    OFFER_REFUSED = "offer-refused"
    """The payee's node refuses an offer."""

    ACCEPT = "accept"
    """The hub takes an accept and clears: postings, decision, leaf of the log."""

    REFUSE = "refuse"
    """The hub takes the payee's refusal and decides: refused."""

    CANCEL = "cancel"
    """The hub takes the payer's wish to cancel and decides: refused."""

    EXPIRE = "expire"
    """The hub decides at the deadline that nobody answered: refused."""

    DECISION_CLEARED = "decision-cleared"
    """A node takes the decision cleared: the hold becomes an entry."""

    DECISION_REFUSED = "decision-refused"
    """A node takes the decision refused: the hold is voided."""

    COMPARE = "compare"
    """A server has compared a link after a start and may speak on it again."""

    SEAL = "seal"
    """A server numbers and seals the items that wait for a peer."""

    ADMIT = "admit"
    """The hub admits a group by its invitation: directory decision, link."""

    JOIN = "join"
    """A node stores what it joined: the hub's keys, its own first entry."""

    MEMBER = "member"
    """A node books what concerns one member alone: admission, limit, freeze."""

    MOVE_IN = "move-in"
    """A node takes a group's members, balances and past from another program."""

    ENTRY = "entry"
    """A node books a treasurer's entry by hand."""

    CORRECTION = "correction"
    """A node books the counter-entry of another."""

    PROPOSE = "propose"
    """A node signs a new entry of its group and asks the hub for it."""

    PROPOSAL = "proposal"
    """The hub keeps a proposal for the regional admin to decide."""

    PROPOSAL_REFUSED = "proposal-refused"
    """The hub answers a waiting proposal with no, at the regional admin's word."""

    NEW_KEYS = "new-keys"
    """A node writes new private keys to files; nobody has heard of them."""

    KEY_CHANGE = "key-change"
    """A node signs new keys with its old one, and numbers that for the hub."""

    RECOVERY = "recovery"
    """A node keeps new keys with its recovery key's word for them."""

    KEYS = "keys"
    """The hub takes a group's new keys, and tells everyone."""

    DIRECTORY = "directory"
    """The hub decides on a group: its entry, its state or its limits."""

    CAP = "cap"
    """The hub keeps a cap of two groups, or from when on a limit is worth a word."""
    CONSENT = "consent"
    """The hub keeps an act as asked, or that another admin gave it her word."""

    INVITE = "invite"
    """The hub keeps an invitation, and ends that group's earlier ones."""

    OWN_ENTRY = "own-entry"
    """A node takes a decision on its own group, and opens what it needs for it."""

    PROPOSAL_ANSWERED = "proposal-answered"
    """A node takes the hub's no to its proposal."""

    LEAVE_WISH = "leave-wish"
    """A node signs that its group wishes to leave."""

    LEAVE_REFUSED = "leave-refused"
    """A node takes the hub's no to that wish."""

    CLOSE = "close"
    """The hub ends a cycle: decision, a statement to each group."""

    CYCLE = "cycle"
    """A node takes the decision that ended a cycle."""

    STATEMENT = "statement"
    """A node takes a statement, and will look whether its ledger yields the same."""

    AGREE = "agree"
    """A node signs that its own ledger yields the same as a statement."""

    DISPUTE = "dispute"
    """A node signs what its own ledger yields instead."""

    AGREED = "agreed"
    """The hub takes a group's agreement."""

    DISPUTED = "disputed"
    """The hub takes a group's dispute, and will look for the move that differs."""

    MOVES = "moves"
    """A server answers a list of moves, or names the first that differs."""

    SETTLE = "settle"
    """The hub makes the legs of a cycle."""

    LEG = "leg"
    """A node takes a leg of its group's."""

    SIGN = "sign"
    """A node signs at its treasurer's word that a leg was paid, or received."""

    SIGNED = "signed"
    """The hub takes the first of a leg's two words."""

    SETTLED = "settled"
    """The hub decides that a leg is settled: postings, decision."""

    VOID = "void"
    """The hub decides that a leg is void."""

    LEG_SETTLED = "leg-settled"
    """A node takes that decision and books the leg."""

    LEG_VOID = "leg-void"
    """A node takes that a leg is void."""

    TELL_SHARES = "tell-shares"
    """The hub tells all groups what each would take over of what a group leaves."""

    SHARES_TOLD = "shares-told"
    """A node takes what its group would take over."""

    SHARE = "share"
    """The hub decides it, or a charge: several positions move at once."""

    SHARED = "shared"
    """A node takes that decision and books its own part."""

    RESTORE = "restore"
    """A command fills an empty database from a backup, and marks it as restored."""

    GO_ON = "go-on"
    """A restored server has compared: the mark goes, and orders are taken again."""

    SEND = "send"
    """The courier sends an envelope: around the HTTP request, nothing is written."""
