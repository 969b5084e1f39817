"""The command line as a process of its own."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.support.parsed_exposition import ParsedExposition
from tests.support.vendor import NOW

ROOT = Path(__file__).resolve().parents[2]


class Done(msgspec.Struct, frozen=True):
    """How a process ended."""

    code: int
    out: str
    err: str

    def exposed(self) -> ParsedExposition:
        """Return what it printed, as an exposition."""
        return ParsedExposition(self.out)

    def line(self, *words: str) -> str:
        """Return the one line of stderr that has all the words."""
        found = [line for line in self.err.splitlines() if all(word in line for word in words)]
        assert len(found) == 1, f"{len(found)} lines with {words}:\n{self.err}"
        return found[0]


async def exporter(
    *words: str, at: float | None = None, environ: Mapping[str, str] | None = None
) -> Done:
    """Run a command to its end; `at`: with a wall clock that stands at that instant."""
    module = ("exporter",) if at is None else ("tests.support.cli_fixed_clock", str(at))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *module,
        *words,
        cwd=ROOT,
        env={**os.environ, **(environ or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    return Done(process.returncode or 0, out.decode(), err.decode())


async def once(config: Path, *words: str, at: float | None = NOW) -> Done:
    """Poll every target of a configuration once; the wall clock stands at `NOW`."""
    return await exporter("once", f"--config.file={config}", *words, at=at)
