"""``typing.override`` for Python 3.11, which has none; mypy knows the real one."""

from typing import TYPE_CHECKING

__all__ = ["override"]

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method):
        """Return `method`: the mark is for the type checker alone."""
        return method
