"""What the templates of a target may use, and how they are rendered with several values."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from exporter.kernel.templates import Clock, Template
from exporter.model.target import Target

Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Arguments of a query or a form: name and text."""


class Values(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What templates may use: texts by name, and those parameters that have several values."""

    texts: Mapping[str, str]
    several: Mapping[str, tuple[str, ...]] = {}

    def with_account(self, account: str) -> "Values":
        """Return the values of one account of a fan-out."""
        texts = {**self.texts, "account.id": account}
        return Values(texts=texts, several=self.several)


def known_values(target: Target, clock: Clock) -> Values:
    """Return the parameters of a target, with their defaults; those that are "" are left out."""
    texts: dict[str, str] = {}
    several: dict[str, tuple[str, ...]] = {}
    for name, param in target.definition.params.items():
        values = target.params.get(name)
        if values is None:
            rendered = None if param.default is None else param.default.render(texts, clock)
            values = () if rendered is None else (rendered,)
        values = tuple(value for value in values if value != "")
        if values:
            texts[f"params.{name}"] = ",".join(values)
        if len(values) > 1:
            several[f"params.{name}"] = values
    return Values(texts=texts, several=several)


def render_all(templates: tuple[Template, ...], values: Values, clock: Clock) -> list[str]:
    """Render each template, once for each value of a parameter that has several.

    A template that lacks a value gives no text.
    """
    texts: list[str] = []
    for template in templates:
        several = next((name for name in values.several if name in template.variables), None)
        for one in values.several[several] if several else (None,):
            known = values.texts if one is None else {**values.texts, str(several): one}
            text = template.render(known, clock)
            if text is not None:
                texts.append(text)
    return texts
