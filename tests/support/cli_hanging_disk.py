"""Command line in a process whose disk hangs: ``python -m tests.support.cli_hanging_disk``.

The first argument says when: ``start`` (the state file cannot be opened), ``running`` (the third
commit does not return) or ``closing`` (the file does not close). The second is for how many
seconds, the others are the command line's.
"""

import sqlite3
import sys
import time
from typing import Any

from exporter.kernel.override import override

WHEN = sys.argv[1] if len(sys.argv) > 1 else ""
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0


class Stalling(sqlite3.Connection):
    """A connection to a file on such a disk."""

    commits = 0

    @override
    def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            Stalling.commits += 1
            if WHEN == "running" and Stalling.commits >= 3:
                time.sleep(SECONDS)
        if WHEN == "start" and "journal_mode" in sql:
            time.sleep(SECONDS)
        return super().execute(sql, *more)

    @override
    def close(self) -> None:
        if WHEN == "closing":
            time.sleep(SECONDS)
        super().close()


if __name__ == "__main__":
    connect = sqlite3.connect

    def stalling(path: str, **more: Any) -> sqlite3.Connection:
        return (
            connect(path, **more) if path == ":memory:" else connect(path, factory=Stalling, **more)
        )

    sqlite3.connect = stalling  # type: ignore[assignment] # before the ledger is imported
    from exporter.cli.main import main

    sys.exit(main(sys.argv[3:]))
