"""The content line of a transfer: for the two groups, and nobody between them."""

from nodes.rules.view import NodeView
from protocol import sealing
from protocol.address import Group, read_display_name, read_memo
from protocol.errors import (
    MalformedMessageError,
    PeerError,
)
from protocol.messages import (
    Content,
    TransferPrepare,
    content_decoder,
    line_hash,
)
from protocol.strict_json import read as read_strictly


def about_prepare(transfer_id: str) -> str:
    """Say what a prepare's box is bound to: item type and id."""
    return f"transfer.prepare {transfer_id}"


def open_content(
    view: NodeView, prepare: TransferPrepare, box: str | None
) -> bytes | None:
    """Open the box of an offered prepare; ``None`` when it is not readable."""
    group = Group(prepare.payer_group)
    payer = view.ahead.get(group) or view.directory.get(group)
    if box is None or payer is None:
        return None
    try:
        # Either side may have changed keys since it was sealed.
        payer_kid, own_kid = sealing.box_kids(box)
        channel = sealing.incoming(
            view.opens.get(own_kid, view.sealing_key),
            payer.sealing_key(payer_kid),
            view.federation,
            Group(prepare.payer_group),
            view.group,
        )
        line = channel.open(box, about_prepare(prepare.id))
    except PeerError:
        return None
    return line if line_hash(line) == prepare.content else None


def read_content(line: bytes | None) -> Content | None:
    """Read a content line; ``None`` when it is not one that people may see."""
    if line is None:
        return None
    try:
        content = read_strictly(line, content_decoder, "content")
        read_display_name(content.name)
        read_memo(content.memo)
    except MalformedMessageError:
        return None
    return content
