"""What does not fit: the one exception inside this stage, and how a found value is told."""

from exporter.kernel.override import override
from exporter.kernel.secrets import clip

_SHOWN = 60  # characters of a found text; enough to know it again


class Misfit(Exception):  # noqa: N818 - it is the answer that is at fault, not the program
    """The answer does not fit the definition. `read` turns it into a failure of the poll.

    `path` is the place in the answer, "" where it has none. `place` is the rule and the role,
    added by whoever knows them.
    """

    def __init__(self, path: str, what: str) -> None:
        super().__init__(what)
        self.path = path
        self.what = what
        self.place = ""

    def at(self, place: str) -> "Misfit":
        """Put `place` in front of what is known of the place already."""
        self.place = f"{place}.{self.place}" if self.place else place
        return self

    @override
    def __str__(self) -> str:
        path = f'path "{clip(self.path, 120)}"' if self.path else ""
        return ": ".join(part for part in (self.place, path, self.what) if part)


def told(value: object) -> str:
    """Say what was found: its type, and as much of it as helps to find it again."""
    match value:
        case None | bool():
            return str(value).lower() if value is not None else "null"
        case str():
            return f'the text "{clip(value, _SHOWN)}"'
        case int() | float():
            return f"the number {clip(number_text(value), _SHOWN)}"
        case dict():
            return f"a map of {len(value)} key(s)"
        case list():
            return f"a list of {len(value)}"
        case _:
            return f"a {type(value).__name__}"


def number_text(number: float) -> str:
    """Write a number as an answer would; 2067.0 is 2067. Never raises on a huge integer."""
    if isinstance(number, int):
        return str(number) if number.bit_length() < 2**13 else "of thousands of digits"
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
