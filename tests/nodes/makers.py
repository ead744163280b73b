"""What a node knows in a test, right until the test says otherwise."""

from typing import Any

from nodes import rules
from nodes.rules import NodeView, Order, conversion
from protocol import sealing
from protocol.address import HUB, Group
from protocol.directory import Directory, keyring
from protocol.effects import ArrivedItem, Effects, SendItem
from protocol.instant import write_instant
from protocol.keyring import KeyPeriod
from protocol.ledger import GROUP_UNIT, Account, AccountKind
from protocol.messages import (
    Content,
    TransferAccept,
    TransferAnswer,
    TransferDecision,
    TransferOffer,
    TransferPrepare,
    content_decoder,
    line_hash,
    read_item,
    write_line,
)
from protocol.strict_json import read as read_strictly
from protocol.transfer import NOW_MS
from protocol.unit import Amount
from tests.peer.makers import (
    LOG,
    NOW,
    arrival,
    carry_out,
    compared,
    directory_of,
    later,
    of_kind,
    proof_of,
)
from tests.protocol.makers import (
    AT,
    FEDERATION,
    ID,
    MECHELEN,
    OOSTENDE,
    hash_of,
    life_of,
    prepare,
    sealing_key,
    signing_key,
)

SALT = "A" * 22
NONCE = bytes(24)
#: One blusser: what Oostende's members pay in most of these tests, milliseconds.
S = 180_000


def member(account: str, **changes: Any) -> Account:
    return Account(account, AccountKind.MEMBER, GROUP_UNIT, **changes)


def know(view: NodeView, directory: Directory) -> None:
    view.directory = directory
    view.keyring = keyring(directory, [KeyPeriod(HUB, signing_key("hub").public)])


def node_view(group: Group, *members: Account) -> NodeView:
    """A node that has joined, with its own accounts and these members."""
    view = NodeView(life_of(group), FEDERATION, group, sealing_key(group))
    know(view, directory_of())
    own = rules.accounts_of(view.directory[group])
    view.accounts = {account.account_id: account for account in (*own, *members)}
    view.links["hub"] = compared("hub")
    return view


def oostende(**changes: Any) -> NodeView:
    """The payer's node: Marie may go down to -100 blussers."""
    return node_view(OOSTENDE, member("marie", **({"floor": -100} | changes)))


def mechelen(**changes: Any) -> NodeView:
    """The payee's node: Bob may go up to 100 ketjes."""
    return node_view(MECHELEN, member("bob", **({"ceiling": 100} | changes)))


def order(**changes: Any) -> Order:
    """Marie pays Bob 3 ketjes, which costs her 1 blusser."""
    fields: dict[str, Any] = {
        "transfer_id": ID,
        "payer": "marie",
        "name": "Marie",
        "payee": "bob",
        "payee_group": MECHELEN,
        "payee_amount": Amount(3),
        "payer_amount_max": 1,
        "memo": "eggs",
        "deliver": "now",
        "salt": SALT,
        "nonce": NONCE,
        "hub_now": NOW,
        "is_hub_reachable": True,
        "caller": "marie",
        "key": "a key",
        "body_hash": hash_of("body"),
    }
    return Order(**(fields | changes))


def ordered(view: NodeView, **changes: Any) -> TransferPrepare:
    """Let Marie's order be taken; gives the prepare that goes to the hub."""
    effects = carry_out(view, rules.decide_order(view, order(**changes), NOW))
    (item,) = of_kind(effects, SendItem)
    found = read_item(item.line)
    assert isinstance(found, TransferPrepare)
    return found


def content_of(item: SendItem) -> Content:
    """Open a prepare's box as Mechelen does, and read it."""
    asked = read_item(item.line)
    assert isinstance(asked, TransferPrepare)
    line = rules.open_content(mechelen(), asked, item.box)
    assert line is not None
    return read_strictly(line, content_decoder, "content")


def content(**changes: Any) -> Content:
    fields: dict[str, Any] = {
        "payer": "marie",
        "payee": "bob",
        "name": "Marie",
        "memo": "eggs",
        "payee_amount": 3,
        "payer_amount": 1,
        "salt": SALT,
    }
    return Content(**(fields | changes))


def sealed(
    line: bytes, about: str, *, sender: Group = OOSTENDE, to: Group = MECHELEN
) -> str:
    channel = sealing.outgoing(
        sealing_key(sender), sealing_key(to).public, FEDERATION, sender, to
    )
    return channel.seal(line, NONCE, about)


def offered(
    view: NodeView,
    *,
    says: Content | bytes | None = None,
    box: str | None = None,
    signer: Group = OOSTENDE,
    proof: dict[str, Any] | None = None,
    under: dict[str, Any] | None = None,
    **changes: Any,
) -> ArrivedItem:
    """The hub's offer to Mechelen, its box opened as the node opens it.

    Args:
        view: of the payee's node.
        says: what the content line says.
        box: in place of the right one.
        signer: whose key signed the prepare.
        proof: fields of the proof to spoil.
        under: another key, or fields of the envelope.
        changes: fields of the prepare to spoil.
    """
    content_line = says if isinstance(says, bytes) else write_line(says or content())
    fields: dict[str, Any] = {
        "milliseconds": S,
        "decide_by": write_instant(later(NOW_MS)),
        "checkpoint": None,
        "content": line_hash(content_line),
    }
    asked = prepare(**(fields | changes))
    line = write_line(asked)
    signed = proof_of(line, signer, **(under or {}))
    parts: dict[str, Any] = {
        "line": signed.line,
        "index": signed.index,
        "path": signed.path,
        "envelope": signed.envelope,
    }
    offer = TransferOffer(**(parts | (proof or {})))
    about = rules.about_prepare(asked.id)
    if box is None:
        box = sealed(content_line, about)
    opened = rules.open_content(view, asked, box)
    return arrival("hub", offer, box=box, content_line=opened)


def answered(
    asked: TransferPrepare, *, signer: Group = MECHELEN, **changes: Any
) -> ArrivedItem:
    """The hub shows the payee's accept of a prepare."""
    fields: dict[str, Any] = {"id": asked.id, "prepare": line_hash(write_line(asked))}
    line = write_line(TransferAccept(**(fields | changes)))
    proof = proof_of(line, signer)
    return arrival(
        "hub",
        TransferAnswer(
            line=proof.line, index=proof.index, path=proof.path, envelope=proof.envelope
        ),
    )


def answer_hash(arrived: ArrivedItem) -> str:
    assert isinstance(arrived.item, TransferAnswer)
    return line_hash(arrived.item.line.encode())


def decision(**changes: Any) -> TransferDecision:
    fields: dict[str, Any] = {
        "log": LOG,
        "number": 4,
        "at": AT,
        "id": ID,
        "prepare": None,
        "answer": None,
        "outcome": "cleared",
        "code": None,
    }
    return TransferDecision(**(fields | changes))


def carried(view: NodeView, effects: Effects) -> Effects:
    return carry_out(view, effects)


def units_of(view: NodeView) -> dict[str, str]:
    return {name: account.unit for name, account in view.accounts.items()}


def conversion_worth(view: NodeView, version: int, rate: int) -> int:
    """What a rate's two conversion accounts are worth together, milliseconds."""
    local = view.accounts[conversion(version)].balance * rate
    return local + view.accounts[rules.conversion_time(version)].balance
