"""Why the web side does not start. Apart, so that to catch them nothing of aiohttp is needed."""

from collections.abc import Iterable

from exporter.kernel.override import override
from exporter.kernel.problems import Problem


class CannotListen(Exception):  # noqa: N818 - the name of the fact, and of exit code 4
    """An address cannot be listened on; `instead` says what would help."""

    def __init__(self, address: str, why: str, instead: str) -> None:
        super().__init__(address, why, instead)
        self.address = address
        self.why = why
        self.instead = instead

    @override
    def __str__(self) -> str:
        return (
            f'--web.listen-address: cannot listen on "{self.address}": {self.why}. {self.instead}'
        )


class BadWebConfig(ValueError):  # noqa: N818 - the name of the fact
    """The file cannot be used: every problem, sorted."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))
