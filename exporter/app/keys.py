"""Secrets at run time: read when a poll needs them, watched where a target waits for a new one."""

from collections.abc import Callable, Iterable

from exporter.config.files import SecretReader, SecretUnavailable
from exporter.kernel.secrets import Secret
from exporter.model.outcome import Reason
from exporter.model.target import SecretSource, Target
from exporter.observe.redact import Redactor
from exporter.schedule.view import JobStatus


class Keys:
    """Reads secrets, tells the redactor of each, and notices when a refused one has changed."""

    def __init__(self, reader: SecretReader, redactor: Redactor) -> None:
        self._reader = reader
        self._redactor = redactor
        self._refused: dict[str, tuple[str, ...]] = {}

    def read(self, source: SecretSource) -> Secret:
        """Return the present value. Raises SecretUnavailable with a text without the secret."""
        secret = self._reader.read(source)
        self._redactor.register(secret)
        return secret

    def renewed(
        self, targets: Iterable[Target], statuses: Callable[[str], Iterable[JobStatus]]
    ) -> list[str]:
        """Return the targets in an auth pause whose secrets differ from the last look's.

        The first look at a paused target only remembers: the refused secret is the one in force.
        """
        paused = {
            target.name: target
            for target in targets
            if any(status.reason is Reason.AUTH for status in statuses(target.name))
        }
        for name in self._refused.keys() - paused.keys():
            del self._refused[name]
        changed = []
        for name, target in paused.items():
            present = self._digests(target)
            if self._refused.setdefault(name, present) != present:
                self._refused[name] = present
                changed.append(name)
        return changed

    def _digests(self, target: Target) -> tuple[str, ...]:
        return tuple(self._digest(source) for source in target.credentials.values())

    def _digest(self, source: SecretSource) -> str:
        try:
            return self.read(source).digest()
        except SecretUnavailable:
            return ""
