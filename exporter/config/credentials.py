"""Where a target's secrets are, which authentication they suffice for, whose budget that is."""

from collections.abc import Callable, Mapping
from typing import Final, assert_never

from exporter.config import files
from exporter.config.address import origin
from exporter.config.files import SecretReader, SecretUnavailable
from exporter.config.findings import Place
from exporter.config.settings import TargetText
from exporter.kernel.problems import did_you_mean
from exporter.kernel.secrets import Secret
from exporter.model.definition import Auth, BudgetScope, Definition
from exporter.model.target import EnvSecret, FileSecret, LiteralSecret, SecretSource, Target

FILE: Final = "_file"
VARIABLE: Final = "_env"


def sources(
    place: Place, text: TargetText, definition: Definition, directory: str
) -> dict[str, SecretSource]:
    """Return where each credential comes from. What is unknown is never shown: it may be one."""
    found: dict[str, SecretSource] = {}
    for key, value in text.credentials.items():
        name, source = _source(key, value, definition, directory)
        if source is None:
            place.leave_out(key)
            place.without_name(key).key_error(
                f"{definition.name} has no credential of this name.{_hint(key, definition)}"
            )
        elif name in found:
            (place / key).key_error(
                f'"{name}" is given twice. Keep one of {name}, {name}{FILE} and {name}{VARIABLE}.'
            )
        else:
            found[name] = source
    return found


def _source(
    key: str, value: str, definition: Definition, directory: str
) -> tuple[str, SecretSource | None]:
    if key in definition.credentials:
        return key, LiteralSecret(value=Secret(value))
    name = key.removesuffix(FILE)
    if name != key and name in definition.credentials:
        return name, FileSecret(path=files.absolute(value, directory))
    name = key.removesuffix(VARIABLE)
    if name != key and name in definition.credentials:
        return name, EnvSecret(variable=value)
    return key, None


def _hint(key: str, definition: Definition) -> str:
    names = [
        f"{name}{ending}" for name in definition.credentials for ending in ("", FILE, VARIABLE)
    ]
    return did_you_mean(key, names) or " It has none."


def choose(target: Place, definition: Definition, found: Mapping[str, SecretSource]) -> Auth | None:
    """Return the first way to authenticate for which all credentials are there."""
    place = target / "credentials"
    chosen = next((auth for auth in definition.auth if auth.needs <= found.keys()), None)
    if chosen is None and not target.whole:
        return None  # the missing one was told to be wrong
    if chosen is None:
        wanted = "; or ".join(_in_words(auth.needs) for auth in definition.auth)
        what = "These do not suffice" if found else "There are none"
        place.error(
            f"{what}. {definition.name} needs {wanted}: each as NAME, NAME{FILE} or NAME{VARIABLE}."
        )
        return None
    for name in sorted(found.keys() - chosen.needs):
        place.warn(f'"{name}" is not used: {_in_words(chosen.needs)} comes first. Delete it.')
    return chosen


def _in_words(names: frozenset[str]) -> str:
    return " and ".join(sorted(names)) or "none"


def digest(
    place: Place, found: Mapping[str, SecretSource], reader: SecretReader, *, required: bool
) -> tuple[dict[str, str], bool]:
    """Read each secret once, to see that it is there; return what tells them apart.

    Also returned is whether all are there. One that is not is an error where it is `required`, or
    stands in the configuration itself; else the target's polls fail until it is there.
    """
    digests = {}
    complete = True
    for name, source in found.items():
        here = place / _key(name, source)
        try:
            secret = reader.read(source)
        except SecretUnavailable as error:
            if required or isinstance(source, LiteralSecret):
                here.error(error.detail)
            else:
                here.warn(
                    f"{error.detail} Until it can be read, the polls of this target fail (auth)."
                )
            digests[name] = Secret(repr(source)).digest()
            complete = False
            continue
        digests[name] = secret.digest()
        if files.is_quoted(secret):
            here.warn("The secret stands in quotes, which are sent with it. Write it without them.")
        elif files.is_padded(secret):
            here.warn("The secret begins or ends with a blank, which is sent with it. Delete it.")
    return digests, complete


def _key(name: str, source: SecretSource) -> str:
    match source:
        case FileSecret():
            return f"{name}{FILE}"
        case EnvSecret():
            return f"{name}{VARIABLE}"
        case _:
            return name


def present_budget(target: Target, read: Callable[[SecretSource], Secret]) -> str:
    """Return what `target.budget` would be if the configuration were read now.

    It is another one when a secret was renewed meanwhile. Raises SecretUnavailable.
    """
    needs = target.auth.needs
    digests = {n: read(source).digest() for n, source in target.credentials.items() if n in needs}
    scope = target.definition.throttling.scope
    return budget(target.name, origin(target.base_url), scope, target.auth, digests)


def budget(
    target: str, host: str, scope: BudgetScope, auth: Auth, digests: Mapping[str, str]
) -> str:
    """Return the key of the throttling state: the host, and by scope a digest of who asks."""
    match scope:
        case BudgetScope.HOST:
            return host
        case BudgetScope.TARGET:
            return f"{host} target {target}"
        case BudgetScope.CREDENTIAL:
            used = [digests[name] for name in sorted(auth.needs)]
            return f"{host} {Secret(' '.join(used)).digest()}" if used else host
        case _:
            assert_never(scope)
