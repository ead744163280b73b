"""Stories in which keys change: more verbs for the language of ``scenario``.

oostende  renews  its keys
oostende  burns              # its key files are gone; she types the sheet
oostende  types   the sheet  # though nothing is lost: somebody may have a copy
thief     forges  oostende   # by a former key, behind its next good cover
"""

from collections.abc import Callable
from typing import Any

from protocol.peer.key_files import ServerKeys
from tests.simulator.agenda import HOUR
from tests.simulator.federation import Node
from tests.simulator.key_people import KeyPeople
from tests.simulator.key_watch import KeyWatch
from tests.simulator.scenario import Story


class KeyStory(Story):
    """A story whose people change keys, and whose checker looks at them too."""

    def __init__(
        self, seed: int = 1, record: Callable[[str], Callable[..., None]] | None = None
    ) -> None:
        super().__init__(seed, record)
        self.keys = KeyPeople(self.federation, seed)
        self._watch = KeyWatch(self.federation, self.checker, self.keys)
        self._files: dict[str, ServerKeys] = {}

    def rest(self, for_ms: int = 80 * HOUR) -> None:
        """Put everything right, and look at everything, keys too."""
        super().rest(for_ms)
        self.keys.type_where_not_heard()
        self.world.run(self.world.now + HOUR)
        self._watch.at_the_end()

    def _node(self, name: str) -> Node:
        return self.federation.nodes[name]

    def version(self, group: str) -> int:
        """Give the version of a group's entry, as the hub has decided it."""
        version: int = self.federation.hub.house.directory[group].entry.version
        return version

    def renewal(self, group: str) -> str:
        """Say what became of the newest keys that a group asked for."""
        rows: list[Any] = list(self._node(group).database.table("renewal").values())
        state: str = rows[-1]["state"]
        return state

    def are_heard(self, group: str) -> bool:
        """Say whether a node and the hub hear each other in their present lives."""
        node, hub = self._node(group), self.federation.hub
        assert node.clerk is not None and hub.clerk is not None
        return (
            hub.clerk.links[group].peer_life == node.clerk.life
            and node.clerk.links["hub"].peer_life == hub.clerk.life
        )

    def _renews(self, group: str, *_its_keys: str) -> None:
        """``oostende renews its keys``."""
        self.keys.change(self._node(group))

    def _burns(self, group: str) -> None:
        """``oostende burns``: its key files are gone; the sheet is typed."""
        self.keys.lose(self._node(group), tries=0)

    def _types(self, group: str, *_sheet: str) -> None:
        """``oostende types the sheet``."""
        self.keys.recover(self._node(group))

    def _forges(self, _thief: str, _group: str) -> None:
        """``thief forges oostende``: the next envelope-less request of anybody."""
        self.federation.hub.tamper = self.keys.tamper

    def _backs(self, server: str, *up: str) -> None:
        super()._backs(server, *up)
        self._files[server] = self._server(server).keys

    def _restores(self, server: str, *how: str) -> None:
        """``oostende restores [unnoticed] [with its files]``: key files, too."""
        super()._restores(server, *how)
        if "files" in how:
            self._server(server).keys = self._files[server]
