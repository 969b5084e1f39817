"""A value made of files, made again when one of them changes."""

import os
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeAlias, TypeVar

_T = TypeVar("_T")

_CHECKED_EVERY: Final = 1.0  # seconds; a look at three files takes 10 µs

Signature: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class Fresh(Generic[_T]):
    """Holds what `make` made of files, until they change.

    `make` gives the value and the files that it came from, and raises OSError or ValueError when
    they are no good. The first time that is the caller's; later the old value stays, `complain`
    is told once, and the next change is tried again: certificates are renewed file by file, and
    Kubernetes swaps a whole folder. `clock` gives seconds that never go back.
    """

    def __init__(
        self,
        make: Callable[[], tuple[_T, Iterable[str]]],
        *,
        clock: Callable[[], float],
        complain: Callable[[str], None],
    ) -> None:
        self._make = make
        self._clock = clock
        self._complain = complain
        self._looked = clock()
        self._value, files = make()
        self._files = tuple(files)
        self._signature = _sign(self._files)

    def get(self) -> _T:
        """Return the value. Looks at the files at most once a second."""
        now = self._clock()
        if now - self._looked >= _CHECKED_EVERY:
            self._looked = now
            signature = _sign(self._files)
            if signature != self._signature:
                self._signature = signature
                self._remake()
        return self._value

    def _remake(self) -> None:
        try:
            self._value, files = self._make()
        except (OSError, ValueError) as error:
            self._complain(str(error))
            return
        if self._files != tuple(files):  # else the look before the reading is the one to keep
            self._files = tuple(files)
            self._signature = _sign(self._files)


def _sign(files: Iterable[str]) -> Signature:
    return tuple(map(_look, files))


def _look(path: str) -> tuple[int, int, int] | None:
    try:
        seen = os.stat(path)  # noqa: PTH116 - this is asked on each request: half of Path's cost
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino
