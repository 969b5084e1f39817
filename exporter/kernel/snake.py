"""Vendors' names in the spelling of Prometheus: ``apiCalls`` becomes ``api_calls``."""

import re
import unicodedata

# Before a capital that follows a small letter or digit (api|Calls, gpt4|Turbo), and before
# the last capital of a run that starts a word (GB|Hours), but not inside a plural (CPUs).
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z](?!s(?![a-z]))[a-z])")
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")


def snake(text: str) -> str:
    """Return `text` in snake_case, of ``[a-z0-9_]`` alone and fit for a label or metric name.

    Accents go (``Crédits`` is ``credits``); a leading digit gets an underscore; a text without
    a letter or digit of ASCII is ``_``.
    """
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", text)
        if not unicodedata.combining(letter)
    )
    words = _NOT_A_WORD.sub("_", _WORD_START.sub("_", plain).lower()).strip("_")
    return f"_{words}" if not words or words[0].isdigit() else words
