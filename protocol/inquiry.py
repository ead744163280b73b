"""Inquiries: one group asks another for a payee's name, through the hub, unread.

Unlike items they have no number, no signature and no effect on any ledger: sealed
lines directly behind a cover, kept in memory for seconds and then forgotten. A bad
one is only left out, so that nobody can stop a link with it. Here is what they say;
who passes them on is ``clearing.inquiries``, who asks and answers ``nodes.inquiries``.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from protocol import strict_json
from protocol.address import DISPLAY_NAME_LENGTH_MAX
from protocol.errors import MalformedMessageError
from protocol.messages import (
    SEALED_LINE_LENGTH_MAX,
    AccountField,
    BoxField,
    GroupField,
    IdField,
)
from protocol.run_off import TRADING_STATES

#: Most lines behind one cover; more are not read.
LINES_MAX = 100
#: Most inquiries of one node that are passed on in a minute.
PER_MINUTE_MAX = 300
#: How long a line is worth delivering, and its id remembered, seconds.
KEPT_S = 30.0
#: How long whoever asks waits for an answer, seconds.
ANSWER_S = 5.0
#: Most payees that one answer names.
PAYEES_MAX = 10
#: Groups that may ask and be asked; the others can neither pay nor be paid.
OPEN_STATES = TRADING_STATES
#: Shortest part of a name that is looked for, characters.
NAME_LENGTH_MIN = 2


class SealedInquiry(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """A group's question to another; ``inquiry`` is its id, drawn by chance."""

    inquiry: IdField
    from_: GroupField = msgspec.field(name="from")
    to: GroupField
    box: BoxField

    @property
    def about(self) -> str:
        """What the box is bound to: kind and id."""
        return f"inquiry {self.inquiry}"


class SealedAnswer(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """The answer to the inquiry of the same id."""

    answer: IdField
    from_: GroupField = msgspec.field(name="from")
    to: GroupField
    box: BoxField

    @property
    def about(self) -> str:
        """What the box is bound to: kind and id."""
        return f"answer {self.answer}"


InquiryLine = SealedInquiry | SealedAnswer


class Inquiry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked, inside the box: who has this account, or a name like this.

    Exactly one of the two is not null.
    """

    account: AccountField | None
    name: (
        Annotated[
            str, Meta(min_length=NAME_LENGTH_MIN, max_length=DISPLAY_NAME_LENGTH_MAX)
        ]
        | None
    )


class Payee(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A member who may be found, as her group names her."""

    account: AccountField
    name: Annotated[str, Meta(max_length=DISPLAY_NAME_LENGTH_MAX)]


class InquiryAnswer(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """What is answered, inside the box; nobody there and nobody shown look alike."""

    payees: Annotated[list[Payee], Meta(max_length=PAYEES_MAX)]


_sealed_inquiry_decoder = msgspec.json.Decoder(SealedInquiry)
_sealed_answer_decoder = msgspec.json.Decoder(SealedAnswer)
_inquiry_decoder = msgspec.json.Decoder(Inquiry)
answer_decoder = msgspec.json.Decoder(InquiryAnswer)


def read_line(line: bytes) -> InquiryLine | None:
    """Read one line from behind a cover; ``None`` when it is none of ours."""
    if len(line) > SEALED_LINE_LENGTH_MAX or b"\r" in line:
        return None
    try:
        return strict_json.read(line, _sealed_inquiry_decoder, "inquiry")
    except MalformedMessageError:
        pass
    try:
        return strict_json.read(line, _sealed_answer_decoder, "answer")
    except MalformedMessageError:
        return None


def read_lines(lines: Iterable[bytes]) -> tuple[tuple[InquiryLine, ...], int]:
    """Read what stands behind a cover; gives the good lines, and how many are not.

    Lines beyond the permitted number count as bad, unread.
    """
    behind = list(lines)
    read = [read_line(line) for line in behind[:LINES_MAX]]
    good = tuple(line for line in read if line is not None)
    return good, len(behind) - len(good)


def read_inquiry(line: bytes) -> Inquiry:
    """Read what a box asks.

    Raises:
        MalformedMessageError: not an inquiry, or for nothing, or for two things.
    """
    found = strict_json.read(line, _inquiry_decoder, "inquiry")
    if (found.account is None) == (found.name is None):
        raise MalformedMessageError("inquiry", "account and name", "just one of them")
    return found
