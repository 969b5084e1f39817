"""The accounts of a fan-out, read from the pages of their discovery."""

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from exporter.fetch.finding import FindError, find
from exporter.kernel.secrets import clip
from exporter.model.definition import Accounts, Rows
from exporter.model.outcome import Page

_LONGEST = 128  # characters of a label


class Account(msgspec.Struct, frozen=True):
    """One account: ``id`` goes into the requests, ``label`` is told to people."""

    id: str
    label: str


class AccountsError(ValueError):
    """The discovery's answer does not hold what the definition says."""


def find_accounts(rules: Accounts, pages: tuple[Page, ...]) -> tuple[Account, ...]:
    """Return the accounts on `pages`, each once; none is an answer, too.

    An account without a label, or with one that is another's label or id as well, is told by its
    id. Raises AccountsError where rows or ids are missing.
    """
    found: dict[str, str] = {}
    try:
        for page in pages:
            for row in _rows(rules.rows, page.document):
                identity = _text(find(rules.id, row))
                if not identity:
                    raise AccountsError(f'an account has no id at "{rules.id.text}"')
                label = _text(find(rules.label, row)) if rules.label else ""
                found[identity] = clip(label, _LONGEST)
    except FindError as error:
        raise AccountsError(str(error)) from error
    times = Counter(found.values())
    labels = {
        identity: label if label and times[label] == 1 and label not in found else identity
        for identity, label in found.items()
    }
    return tuple(Account(identity, label) for identity, label in labels.items())


def _text(value: object) -> str:
    known = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value).strip() if known else ""


def _rows(rows: Rows, document: object) -> Iterator[object]:
    """Iterate as the mapping does: the row itself where no step is named, else the scope."""
    named = any(step.name for step in rows.steps)
    for scope in _scopes(rows, 0, {"root": document, "row": document}, named=named):
        seen = scope if named else scope["row"]
        if rows.where is None or find(rows.where, seen):
            yield seen


def _scopes(
    rows: Rows, depth: int, scope: dict[str, object], *, named: bool
) -> Iterator[dict[str, object]]:
    if depth == len(rows.steps):
        yield scope
        return
    step = rows.steps[depth]
    found = find(step.path, scope if named and depth else scope["row"])
    if isinstance(found, Mapping):
        found = [{"key": key, "value": value} for key, value in found.items()]
    if not isinstance(found, list):
        if found is None and step.optional:
            return
        raise AccountsError(f'"{step.path.text}" is no list')
    for row in found:
        more = {step.name: row} if step.name else {}
        yield from _scopes(rows, depth + 1, {**scope, **more, "row": row}, named=named)
