"""What the request asked for: the target's parameters, as templates of the mapping see them."""

from collections.abc import Mapping
from functools import cached_property

from exporter.kernel.cycles import find_zone
from exporter.kernel.templates import Clock, Template
from exporter.mapping.misfit import Misfit
from exporter.model.target import Target

_DAYS = frozenset(str(day) for day in range(1, 32))


class Asked:
    """The variables of one payload's request. They are worked out when a template wants them.

    `at` must be the instant that the request was rendered for: a request sent just before midnight
    asked for the old month, whenever its answer came.
    """

    def __init__(self, target: Target, account: str, at: float) -> None:
        self.target = target
        self.account = account
        self.at = at

    @cached_property
    def values(self) -> Mapping[str, str]:
        """The target's parameters, its definition's defaults where it sets none, the account."""
        target = self.target
        values = {f"params.{name}": given[0] for name, given in target.params.items() if given}
        period = target.definition.period
        anchor = None if period is None else period.anchor_day
        known = {"account.id": self.account} if self.account else {}
        day = self._anchor_day(anchor, values | known) or 1
        clock = Clock(self.at, find_zone(target.definition.zone), day)
        for name, param in target.definition.params.items():
            if param.default is not None and name not in target.params:
                text = param.default.render(values, clock)
                if text is not None:
                    values[f"params.{name}"] = text
        return {key: text for key, text in values.items() if text} | known

    def text(self, template: Template | None, zone: str = "UTC", anchor_day: int = 1) -> str | None:
        """Return what `template` says here; None where it needs what the target does not set."""
        if template is None:
            return None
        if template.variables or "{" in template.text:
            return template.render(self.values, Clock(self.at, find_zone(zone), anchor_day))
        return template.text

    def chose(self, template: Template | None) -> bool:
        """Tell whether the target's own parameters, not defaults or the date, make `template`."""
        names = () if template is None else template.variables
        return any(name.removeprefix("params.") in self.target.params for name in names)

    def anchor_day(self, template: Template | None) -> int | None:
        """Return the billing day, 1 to 31. Raises Misfit for anything else."""
        return None if template is None else self._anchor_day(template, self.values)

    def _anchor_day(self, template: Template | None, values: Mapping[str, str]) -> int | None:
        if template is None:
            return None
        text = template.render(values, Clock(self.at, find_zone("UTC"), 1))
        if text is None:
            return None
        if text.strip() not in _DAYS:
            raise Misfit("", f'the anchor day is "{text}", not a day of the month: 1 to 31.')
        return int(text)
