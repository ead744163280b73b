"""Who listens to what happens on a node's accounts.

A listener is one open stream. The clerk wakes those whose account a batch has
touched, once that batch is durable, and does nothing else for them: what has
happened they read for themselves (``nodes.api.news``), when they have time for it.
"""

import asyncio
from collections.abc import KeysView

#: Most streams of one account: a few pages, a telephone, a program or two.
PER_ACCOUNT_MAX = 8
#: Most streams of one node.
LISTENERS_MAX = 2000


class Listener:
    """One stream that waits for news of one account.

    Attributes:
        account_id: whose.
        is_over: it was sent home; nothing wakes it any more.
    """

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self.is_over = False
        # There may be news from the start.
        self._woken = asyncio.Event()
        self._woken.set()

    def wake(self) -> None:
        """Say that there may be news."""
        self._woken.set()

    def end(self) -> None:
        """Send it home."""
        self.is_over = True
        self._woken.set()

    async def has_news(self, within_s: float) -> bool:
        """Wait until there may be news, or for so many seconds.

        Look for the news only after this: what happens meanwhile wakes it again.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


class Listeners:
    """All open streams of a node.

    Args:
        most: how many there may be.
        per_account_max: how many there may be of one account.
    """

    def __init__(
        self, most: int = LISTENERS_MAX, per_account_max: int = PER_ACCOUNT_MAX
    ) -> None:
        self._most = most
        self._per_account_max = per_account_max
        #: By account, oldest first.
        self._of: dict[str, list[Listener]] = {}
        self._count = 0
        self._is_closed = False

    def __len__(self) -> int:
        """Say how many listen."""
        return self._count

    def add(self, account_id: str) -> Listener | None:
        """Let someone listen; ``None`` when there are too many, or we close.

        Beyond its share an account's own oldest listener is sent home for it.
        """
        of_account = self._of.get(account_id, [])
        if len(of_account) >= self._per_account_max:
            oldest = of_account[0]
            self.remove(oldest)
            oldest.end()
        if self._count >= self._most or self._is_closed:
            return None
        listener = Listener(account_id)
        self._of.setdefault(account_id, []).append(listener)
        self._count += 1
        return listener

    def remove(self, listener: Listener) -> None:
        """Forget a listener; one that was sent home is forgotten already."""
        of_account = self._of.get(listener.account_id, [])
        if listener in of_account:
            of_account.remove(listener)
            self._count -= 1
            if not of_account:
                del self._of[listener.account_id]

    def wake(self, account_ids: KeysView[str]) -> None:
        """Wake who listens to one of these accounts."""
        if self._of:
            # Python walks through the smaller of the two.
            for account_id in self._of.keys() & account_ids:
                for listener in self._of[account_id]:
                    listener.wake()

    def wake_all(self) -> None:
        """Wake everyone: another process may have been the clerk meanwhile."""
        self.wake(self._of.keys())

    def close(self) -> None:
        """Send everyone home, and let nobody in any more."""
        self._is_closed = True
        for of_account in self._of.values():
            for listener in of_account:
                listener.end()
