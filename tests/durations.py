"""How long the files of a run took: a run must stay short, so whoever adds sees it."""

from collections import Counter
from collections.abc import Iterable

import pytest

_FILES_TOLD = 20
_TOLD_FROM_S = 60


def table(stats: dict[str, list[object]]) -> list[str]:
    """Tell of the slowest files of a long run; nothing of a short one.

    Args:
        stats: pytest's reports, by outcome.
    """
    spent: Counter[str] = Counter()
    for report in _reports(stats.values()):
        spent[report.nodeid.partition("::")[0]] += report.duration
    whole = sum(spent.values())
    if whole < _TOLD_FROM_S:
        return []
    slowest = spent.most_common(_FILES_TOLD)
    rest = whole - sum(duration for _, duration in slowest)
    lines = [f"{duration:7.1f} s  {file}" for file, duration in slowest]
    return [*lines, f"{rest:7.1f} s  all others", f"{whole:7.1f} s  in all"]


def _reports(listed: Iterable[list[object]]) -> Iterable[pytest.TestReport]:
    return (
        one
        for reports in listed
        for one in reports
        if isinstance(one, pytest.TestReport)
    )
