"""Say what was seen to happen, or fail in words that say what was seen instead.

For ``story`` and ``month``, with the standard library only.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from servers import DemoError


def verify(raw: str, federation: str) -> subprocess.CompletedProcess:
    """Check a receipt as a stranger would, away from every server's files."""
    with tempfile.TemporaryDirectory() as empty:
        file = Path(empty) / "receipt.json"
        file.write_text(raw, encoding="utf-8")
        return subprocess.run(
            [sys.executable, "-m", "protocol", file, "--federation", federation],
            cwd=empty,
            capture_output=True,
            text=True,
            check=False,
        )


def expect(answer: tuple[int, dict], status: int, **fields) -> None:
    """Compare an answer with what the story says; fails in words."""
    found_status, found = answer
    wrong = {
        name: found.get(name) for name in fields if found.get(name) != fields[name]
    }
    if found_status != status or wrong:
        raise DemoError(f"expected {status} {fields}, found {found_status} {found}")


def say(text: str) -> None:
    """Tell one thing that was seen to happen."""
    print(f"  {text}", flush=True)
