"""Which secrets a vendor refused: to notice when there is another one to be tried."""

from collections.abc import Callable, Iterable, Mapping

from exporter.config.files import SecretUnavailable
from exporter.kernel.secrets import Secret
from exporter.model.outcome import Reason
from exporter.model.target import SecretSource, Target
from exporter.schedule.budget import Why
from exporter.schedule.view import JobStatus

REFUSALS = frozenset({Reason.AUTH, Reason.FORBIDDEN})


class Refused:
    """Remembers the digests of refused secrets by target, never a secret.

    ``read`` gives the present value of a secret. What is remembered outlives the process: whoever
    puts a new secret in place and restarts the exporter must not wait for the old one's pause.
    """

    def __init__(self, read: Callable[[SecretSource], Secret]) -> None:
        self._read = read
        self._digests: dict[str, str] = {}

    def note(self, target: Target) -> str:
        """Remember that the present secrets of a target were refused; return their digest."""
        digest = self._digests[target.name] = self._digest(target)
        return digest

    def recall(self, name: str, digest: str) -> None:
        """Take over what an earlier process, or another target with the same secrets, learned."""
        self._digests[name] = digest

    def of(self, name: str) -> dict[str, str]:
        """Return what is remembered of a target: its name and the digest, or nothing."""
        return {name: self._digests[name]} if name in self._digests else {}

    def renewed(
        self, targets: Mapping[str, Target], statuses: Callable[[str], Iterable[JobStatus]]
    ) -> list[str]:
        """Return the targets that wait after a refusal and have other secrets since.

        Each change is told once. Targets that are gone or well again are forgotten.
        """
        changed = []
        for name, refused in list(self._digests.items()):
            target = targets.get(name)
            if target is None or not any(_is_refused(one) for one in statuses(name)):
                del self._digests[name]
                continue
            present = self._digest(target)
            if present != refused:
                self._digests[name] = present
                changed.append(name)
        return changed

    def _digest(self, target: Target) -> str:
        return " ".join(self._digest_of(source) for source in target.credentials.values())

    def _digest_of(self, source: SecretSource) -> str:
        try:
            return self._read(source).digest()
        except SecretUnavailable:
            return "-"


def _is_refused(status: JobStatus) -> bool:
    """Tell whether a job waits after a refusal: its own, or that of the key that it shares."""
    return status.reason in REFUSALS or status.budget.why == Why.REFUSED
