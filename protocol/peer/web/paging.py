"""How a long list is read: page by page, from the newest."""

from typing import Annotated

import msgspec
from msgspec import Meta

#: Lines of a page when nobody says how many.
PAGE_SIZE = 50
_PAGE_SIZE_MAX = 200

#: A place in a list, as an answer gave it.
CursorField = Annotated[str, Meta(pattern=r"^[0-9]{1,18}\Z")]
PageSizeField = Annotated[int, Meta(ge=1, le=_PAGE_SIZE_MAX)]


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of a list: newest first, before ``cursor``."""

    cursor: CursorField | None = None
    page_size: PageSizeField = PAGE_SIZE
