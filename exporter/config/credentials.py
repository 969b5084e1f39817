"""Secrets of targets: where they are, how they are read, which authentication they suffice for.

A credential of a definition is written as ``NAME`` (the secret itself), ``NAME_file`` or
``NAME_env``. Nothing in a message comes out of a secret's file or variable but its place; even the
path or the name of a variable is hidden where it may be the secret, written in the wrong place.
Secrets are read again at each use, so that renewed ones are seen.
"""

import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, assert_never

from exporter.config import files
from exporter.config.connection import origin
from exporter.config.settings import TargetText
from exporter.kernel.problems import ErrorLocation, did_you_mean
from exporter.kernel.secrets import Secret, looks_secret
from exporter.model.definition.auth import Auth
from exporter.model.definition.provider import Definition
from exporter.model.definition.ratelimit import BudgetScope
from exporter.model.target import (
    EnvSecret,
    FileSecret,
    LiteralSecret,
    SecretSource,
    Target,
)

_LARGEST_SECRET: Final = 64 * 1024  # bytes; a private key has 4 kB
_VARIABLE: Final = re.compile(r"[A-Z]{1,12}[0-9]{0,2}(?:_[A-Z]{0,12}[0-9]{0,2}){0,7}")
_BLANKS: Final = " \t\r\n"
_QUOTES: Final = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019")


class SecretUnavailable(Exception):  # noqa: N818 - a state of the world, not a mistake of ours
    """A secret is not there or cannot be used. The message never holds the secret."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class SecretReader:
    """Reads secrets where they are.

    `directory` is the configuration's folder, where it is known. A file that is missing in another
    folder, which is there, is named in messages, and so is one that was read before; the path of
    any other may be the secret itself.
    """

    __slots__ = ("_directory", "_environ", "_known")

    def __init__(self, environ: Mapping[str, str], directory: str = "") -> None:
        self._environ = environ
        self._directory = directory
        self._known: set[str] = set()

    def read(self, source: SecretSource) -> Secret:
        """Return the secret; raises `SecretUnavailable`."""
        match source:
            case LiteralSecret():
                return _checked(source.value.reveal(), "The secret")
            case FileSecret():
                text = self._content(source.path).strip(_BLANKS)
                return _checked(text, f'The secret in "{source.path}"')
            case EnvSecret(variable=variable):
                value = self._environ.get(variable)
                if value is None:
                    raise SecretUnavailable(
                        f"{_shown_variable(variable)} is not set. Set it for the exporter."
                    )
                return _checked(value.strip(_BLANKS), _shown_variable(variable))
            case _:
                assert_never(source)

    def _content(self, path: str) -> str:
        try:
            kind = Path(path).stat().st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a FIFO would hold its reader
                raise SecretUnavailable(
                    f'"{path}" is not a regular file. Write the secret into one.'
                )
            data = files.read_bytes(path, _LARGEST_SECRET)
            self._known.add(path)
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:  # its text would show what was read
            raise SecretUnavailable(
                f'"{path}" is not UTF-8 text. Write the secret alone.'
            ) from None
        except (OSError, ValueError) as error:
            folder = str(next(parent for parent in Path(path).parents if parent.is_dir()))
            is_path = self._directory and folder not in (self._directory, "/")
            if (
                path in self._known
                or files.is_there(path)
                or (is_path and folder == str(Path(path).parent))
            ):
                raise SecretUnavailable(f'"{path}" {files.reason(error)}') from error
            raise SecretUnavailable(
                f'The folder "{folder}" holds no such file (its name is not shown, it may be the '
                "secret itself). Write the path of a file that holds the secret."
            ) from None


def _checked(text: str, what: str) -> Secret:
    """Strip one newline at the end; refuse what no header could carry."""
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretUnavailable(f"{what} is empty. Write the secret there.")
    if not text.isprintable() and any(
        ord(letter) < ord(" ") or letter == "\x7f" for letter in text
    ):
        raise SecretUnavailable(
            f"{what} holds a line break or another control character. Write the secret alone, "
            "in one line."
        )
    return Secret(text)


def _is_variable(text: str) -> bool:
    """Tell whether a text is surely the name of a variable, and not a secret in its place.

    Keys in capitals ("AKIA…", base32) have longer words, or digits within them.
    """
    return _VARIABLE.fullmatch(text) is not None


def _shown_variable(variable: str) -> str:
    """Name a variable, unless the secret itself may have been written in the place of its name."""
    if _is_variable(variable):
        return f'The environment variable "{variable}"'
    if not variable.isupper():
        return "This environment variable (small letters are not shown)"
    return "This environment variable (its name is not shown, it may be the secret itself)"


def may_be_shown(key: str, value: object, directory: str) -> bool:
    """Tell whether a credential's value is surely the place of a secret, not the secret itself."""
    if not isinstance(value, str):
        return False
    if key.endswith(FileSecret.suffix):
        return not looks_secret(value) and files.is_there(files.absolute(value, directory))
    return key.endswith(EnvSecret.suffix) and _is_variable(value)


def secret_sources(
    place: ErrorLocation, text: TargetText, definition: Definition, directory: str
) -> dict[str, SecretSource]:
    """Return where each credential comes from. What is unknown is never shown: it may be one."""
    known = definition.credentials
    found: dict[str, SecretSource] = {}
    for key, value in text.credentials.items():
        name = key
        source: SecretSource
        if key in known:
            source = LiteralSecret(value=Secret(value))
        elif (name := key.removesuffix(FileSecret.suffix)) != key and name in known:
            source = FileSecret(path=files.absolute(value, directory))
        elif (name := key.removesuffix(EnvSecret.suffix)) != key and name in known:
            source = EnvSecret(variable=value)
        else:
            keys = [
                f"{one}{suffix}"
                for one in known
                for suffix in ("", FileSecret.suffix, EnvSecret.suffix)
            ]
            place.leave_out(key)
            place.without_name(key).key_error(
                f"{definition.name} has no credential of this name."
                f"{did_you_mean(key, keys) or ' It has none.'}"
            )
            continue
        if name in found:
            ways = f"{name}{FileSecret.suffix} and {name}{EnvSecret.suffix}"
            (place / key).key_error(f'"{name}" is given twice. Keep one of {name}, {ways}.')
        found.setdefault(name, source)
    return found


def choose_auth(
    target: ErrorLocation, definition: Definition, found: Mapping[str, SecretSource]
) -> Auth | None:
    """Return the first way to authenticate for which all credentials are there."""
    place = target / "credentials"
    chosen = next((auth for auth in definition.auth if auth.needs <= found.keys()), None)
    if chosen is None and not target.whole:
        return None  # the missing one was told to be wrong
    if chosen is None:
        wanted = "; or ".join(_in_words(auth.needs) for auth in definition.auth)
        what = "These do not suffice" if found else "There are none"
        ways = f"NAME{FileSecret.suffix} or NAME{EnvSecret.suffix}"
        place.error(f"{what}. {definition.name} needs {wanted}: each as NAME, {ways}.")
        return None
    for name in sorted(found.keys() - chosen.needs):
        place.warn(f'"{name}" is not used: {_in_words(chosen.needs)} comes first. Delete it.')
    return chosen


def _in_words(names: frozenset[str]) -> str:
    return " and ".join(sorted(names)) or "none"


def secret_digests(
    place: ErrorLocation, found: Mapping[str, SecretSource], reader: SecretReader, *, required: bool
) -> tuple[dict[str, str], bool]:
    """Read each secret once, to see that it is there; return what tells them apart.

    Also returned is whether all are there. One that is not is an error where it is `required`, or
    stands in the configuration itself; else the target's polls fail until it is there.
    """
    digests = {}
    complete = True
    for name, source in found.items():
        here = place / f"{name}{source.suffix}"
        try:
            secret = reader.read(source)
        except SecretUnavailable as error:
            if required or not source.suffix:
                here.error(error.detail)
            else:
                here.warn(
                    f"{error.detail} Until it can be read, the polls of this target fail (auth)."
                )
            digests[name] = Secret(repr(source)).digest()
            complete = False
            continue
        digests[name] = secret.digest()
        text = secret.reveal()
        if len(text) > 1 and text[0] + text[-1] in _QUOTES:
            here.warn("The secret stands in quotes, which are sent with it. Write it without them.")
        elif text != text.strip(_BLANKS):
            here.warn("The secret begins or ends with a blank, which is sent with it. Delete it.")
    return digests, complete


def budget_key(
    target: str, url: str, scope: BudgetScope, auth: Auth, digests: Mapping[str, str]
) -> str:
    """Return the key of the throttling state: the host, and by scope a digest of who asks."""
    used = [digests[name] for name in sorted(auth.needs)]
    return scope.key(origin(url), target, Secret(" ".join(used)).digest() if used else "")


def present_budget(target: Target, read: Callable[[SecretSource], Secret]) -> str:
    """Return what `target.budget` would be if the configuration were read now.

    It is another one when a secret was renewed meanwhile. Raises SecretUnavailable.
    """
    needs = target.auth.needs
    digests = {n: read(source).digest() for n, source in target.credentials.items() if n in needs}
    scope = target.definition.throttling.scope
    return budget_key(target.name, target.base_url, scope, target.auth, digests)
