"""The parameters and the fan-out accounts of a target."""

from exporter.config.findings import Place
from exporter.config.settings import ParamValue, TargetText
from exporter.config.shape import describe, yaml_word
from exporter.kernel.problems import did_you_mean
from exporter.model.definition import Definition, Param


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
    return given


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
