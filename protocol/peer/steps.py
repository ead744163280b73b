"""Kill this process at a durable step, when a trial asks for it.

The names are in ``protocol.steps``. The setting ``test.kill_at`` is empty in every
real server, and then ``reach`` does nothing.
"""

import os
import signal
from typing import Literal

from protocol.peer.settings import SettingsError
from protocol.steps import Step

When = Literal["before", "after"]


class KillSwitch:
    """The place, if any, where this process shall die.

    Args:
        setting: empty, or a step's name with ``:before`` or ``:after``.

    Raises:
        SettingsError: no such step or place.
    """

    def __init__(self, setting: str) -> None:
        places = {f"{step}:{when}" for step in Step for when in ("before", "after")}
        if setting and setting not in places:
            raise SettingsError(
                f"test.kill_at is {setting!r}; expected NAME:before or NAME:after,"
                f" with a NAME of {', '.join(Step)}."
            )
        self._place = setting

    def reach(self, step: Step, when: When) -> None:
        """Die here without any farewell if this is the place, else do nothing."""
        if self._place and self._place == f"{step}:{when}":
            # SIGKILL and no exit: no handler, no flush, as when power fails.
            os.kill(os.getpid(), signal.SIGKILL)
