"""What was asked for last, kept in memory."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """As many things as may be kept; what was not asked for longest goes first.

    Args:
        most: things.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[_Key, _Value] = OrderedDict()

    def find(self, key: _Key) -> _Value | None:
        """Give what is kept under a key, if it still is."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key]

    def keep(self, key: _Key, value: _Value) -> None:
        """Keep a thing, as the one that was asked for last."""
        self._kept[key] = value
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def __iter__(self) -> Iterator[_Key]:
        """Go through the keys of what is kept."""
        return iter(self._kept)
