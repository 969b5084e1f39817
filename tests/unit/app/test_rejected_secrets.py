"""Which refused secrets are noticed to have changed."""

from collections.abc import Callable, Iterable

import msgspec

from exporter.app.engine import RejectedSecrets
from exporter.config.credentials import SecretUnavailable
from exporter.kernel.secrets import Secret
from exporter.model.health import Health
from exporter.model.outcome import Reason
from exporter.model.target import EnvSecret, SecretSource, Target
from exporter.schedule.status import BudgetStatus, JobStatus
from tests.support.fetching import a_target


class Vault:
    """Secrets by the name of their variable; what is not there is unavailable."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = secrets

    def read(self, source: SecretSource) -> Secret:
        assert isinstance(source, EnvSecret)
        if source.variable not in self.secrets:
            raise SecretUnavailable("not set")
        return Secret(self.secrets[source.variable])


def a_caller(name: str = "home", *variables: str) -> Target:
    sources = {variable: EnvSecret(variable=variable) for variable in variables or ("KEY",)}
    return msgspec.structs.replace(a_target(name=name), credentials=sources)


def failing(reason: Reason | None) -> Callable[[str], Iterable[JobStatus]]:
    def statuses(name: str) -> tuple[JobStatus, ...]:
        health = Health.UP if reason is None else reason.health
        budget = BudgetStatus(key="k")
        well = JobStatus(
            target=name,
            provider="acme",
            collector="seats",
            next_poll=0.0,
            interval=300.0,
            budget=budget,
        )
        return (
            well,
            msgspec.structs.replace(well, collector="usage", reason=reason, health=health),
        )

    return statuses


def test_nothing_is_told_while_the_secret_is_the_refused_one() -> None:
    refused, home = RejectedSecrets(Vault(KEY="old").read), a_caller()
    refused.add(home)
    assert refused.replaced({"home": home}, failing(Reason.AUTH)) == []


def test_another_secret_is_told_of_once() -> None:
    vault = Vault(KEY="old")
    refused, home = RejectedSecrets(vault.read), a_caller()
    refused.add(home)
    vault.secrets["KEY"] = "new"
    assert refused.replaced({"home": home}, failing(Reason.FORBIDDEN)) == ["home"]
    assert refused.replaced({"home": home}, failing(Reason.FORBIDDEN)) == []


def test_any_of_several_secrets_counts() -> None:
    vault = Vault(USER="me", PASSWORD="old")  # noqa: S106 - made up
    refused, home = RejectedSecrets(vault.read), a_caller("home", "USER", "PASSWORD")
    refused.add(home)
    vault.secrets["PASSWORD"] = "new"  # noqa: S105 - made up
    assert refused.replaced({"home": home}, failing(Reason.AUTH)) == ["home"]


def test_a_secret_that_comes_back_is_another_one() -> None:
    vault = Vault()
    refused, home = RejectedSecrets(vault.read), a_caller()
    refused.add(home)
    assert refused.replaced({"home": home}, failing(Reason.AUTH)) == []
    vault.secrets["KEY"] = "here again"
    assert refused.replaced({"home": home}, failing(Reason.AUTH)) == ["home"]


def test_who_is_well_again_or_gone_is_forgotten() -> None:
    vault = Vault(KEY="old")
    refused, home, work = RejectedSecrets(vault.read), a_caller("home"), a_caller("work")
    refused.add(home)
    refused.add(work)
    vault.secrets["KEY"] = "new"
    assert refused.replaced({"home": home}, failing(None)) == []
    both = {"home": home, "work": work}
    assert refused.replaced(both, failing(Reason.AUTH)) == []


def test_what_an_earlier_process_saw_counts() -> None:
    vault, home = Vault(KEY="old"), a_caller()
    digest = RejectedSecrets(vault.read).add(home)
    assert "old" not in digest
    later = RejectedSecrets(vault.read)
    later.put("home", digest)
    assert later.replaced({"home": home}, failing(Reason.AUTH)) == []
    vault.secrets["KEY"] = "new"
    assert later.replaced({"home": home}, failing(Reason.AUTH)) == ["home"]
