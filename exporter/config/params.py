"""The parameters and the fan-out accounts of a target."""

from collections.abc import Iterable, Mapping

from exporter.config.findings import Place
from exporter.config.settings import ParamValue, TargetText
from exporter.config.shape import describe, yaml_word
from exporter.kernel.problems import did_you_mean
from exporter.kernel.templates import Template, compile_template
from exporter.kernel.units import minor_factor
from exporter.model.definition import Definition, Param

_LAST_DAY = 31


def params(place: Place, text: TargetText, definition: Definition) -> dict[str, tuple[str, ...]]:
    """Return what a target sets, as texts. A single "" leaves a parameter out of requests."""
    given: dict[str, tuple[str, ...]] = {}
    for name, value in text.params.items():
        param = definition.params.get(name)
        if param is None:
            hint = did_you_mean(name, definition.params) or " It has none."
            (place / "params" / name).key_error(
                f'{definition.name} has no parameter "{name}".{hint}'
            )
            continue
        given[name] = _values(place / "params" / name, value, param)
    for name, param in definition.params.items():
        if param.required and name not in text.params and place.whole:
            at = place / "params" if text.params else place
            at.error(f'The parameter "{name}" is missing. {param.description}'.rstrip())
        elif name not in given and any(given.get(other, ("",)) != ("",) for other in param.unless):
            given[name] = ("",)
    if given:
        _check_currencies(place / "params", given, definition)
        _check_anchor_days(place / "params", given, definition)
    return given


def _check_currencies(
    place: Place, given: Mapping[str, tuple[str, ...]], definition: Definition
) -> None:
    """Tell now what each poll would fail of: money in what is no currency."""
    codes = [cost.fixed_currency for cost in definition.costs]
    codes += [item.fixed_currency for item in definition.items]
    for name in _named(given, codes):
        for code in _fitting(given[name], definition.params[name]):
            try:
                minor_factor(code)
            except ValueError as error:
                (place / name).error(str(error))


def _check_anchor_days(
    place: Place, given: Mapping[str, tuple[str, ...]], definition: Definition
) -> None:
    periods = [definition.period, *(resource.period for resource in definition.resources)]
    periods += [cost.period for cost in definition.costs]
    for name in _named(given, (period.anchor_day for period in periods if period is not None)):
        for day in _fitting(given[name], definition.params[name]):
            if not (day.isascii() and day.isdigit() and 1 <= int(day) <= _LAST_DAY):
                (place / name).error(f"{describe(day)} is not a day of the month. Write 1 to 31.")


def _named(
    given: Mapping[str, tuple[str, ...]], templates: Iterable[Template | None]
) -> frozenset[str]:
    """Return the parameters that are the whole of a template, and that the target sets."""
    texts = {template.text for template in templates if template is not None}
    return frozenset(name for name in given if f"{{params.{name}}}" in texts)


def _fitting(texts: tuple[str, ...], param: Param) -> list[str]:
    """Return those of a parameter's texts that nothing was said about yet."""
    pattern = param.pattern
    return [text for text in texts if text and (pattern is None or pattern.fullmatch(text))]


def _values(place: Place, value: ParamValue | list[ParamValue], param: Param) -> tuple[str, ...]:
    if not isinstance(value, list):
        _check(place, value, param)
        return (yaml_word(value),)
    if not param.multiple:
        place.error(f'"{param.name}" takes one value, not a list.')
    for index, one in enumerate(value):
        _check(place / index, one, param)
    return tuple(yaml_word(one) for one in value)


def _check(place: Place, value: ParamValue, param: Param) -> None:
    text = yaml_word(value)
    if not text:
        if param.required:
            place.error(f'"{param.name}" is empty. {param.description}'.rstrip())
        return
    if param.choices and text not in param.choices:
        place.error(f"{describe(value)} is not possible here.{did_you_mean(text, param.choices)}")
    if param.pattern is not None and not param.pattern.fullmatch(text):
        place.error(
            f"{describe(value)} does not match {param.pattern.pattern}. "
            f"{param.description}".rstrip()
        )
    elif "{" in text:
        _warn_of_template(place, text)


def _warn_of_template(place: Place, text: str) -> None:
    """Warn of "{month.start:date}", as a definition writes it: here it is a text like another."""
    try:
        compile_template(text)
    except ValueError:
        return
    place.warn(
        f"{describe(text)} goes to the vendor as it is: only definitions are filled with dates. "
        "Write the value, or leave the parameter out for its default."
    )


def accounts(place: Place, text: TargetText, definition: Definition) -> tuple[str, ...]:
    """Return the ids of the accounts to ask for; none: all that are found."""
    ids = tuple(str(one) for one in text.accounts)
    if ids and definition.accounts is None:
        (place / "accounts").key_error(
            f"{definition.name} does not ask account by account. Delete it."
        )
    for index, one in enumerate(ids):
        if not one or one in ids[:index]:
            what = "is empty" if not one else f'"{one}" is listed twice'
            (place / "accounts" / index).error(f"This account {what}. Delete it.")
    return ids
