"""What a YAML parser complains about, in words for people."""

import re
from typing import Final

_PLAIN_WORDS: Final = {  # a part of the parser's words: what to say instead
    "mapping values are not allowed": (
        'a ": " stands where none may be. Put a text that contains it in quotes, and indent the '
        "keys of a map alike."
    ),
    "undefined alias": (
        'the alias (*) has no anchor (&). Put a text that begins with "*" in quotes.'
    ),
    "second occurrence": "an anchor (&) of this name stands further up. Write another name.",
    "another document": 'a second document begins here. Write one: delete the "---".',
    "end of stream": "a quotation mark is not closed, from line {line} on. Close it.",
    "escape": "there is no such escape. Write a backslash twice, or use single quotes.",
    "expected ':'": 'this line has no ": ". A key is written "name: value".',
    "',' or ']'": (
        'the "[" of line {line} is not closed, or a text in it needs quotes: one with [, ], {{, '
        '}} or ",".'
    ),
    "',' or '}'": (
        'the "{{" of line {line} is not closed, or a text in it needs quotes: one with [, ], {{, '
        '}} or ",".'
    ),
}
_SHOWN: Final = re.compile(r"(?:, but )?(?:found|got) ['\"].*|handle ['\"].*")


def in_plain_words(said: str, *, letter: str, opened: int) -> str:
    """Return what is wrong, never what stands there: that may be a secret.

    `said` is the parser's context and problem, `letter` the character at the problem, `opened`
    the line in which the thing began that it was reading.
    """
    if "cannot start any token" in said:
        if letter == "\t":
            return "a tab stands at the beginning of the line. Indent with blanks."
        return f'a text cannot begin with "{letter}". Put it in quotes.'
    for part, plain in _PLAIN_WORDS.items():
        if part in said:
            return plain.format(line=opened)
    return f"{_SHOWN.sub('', said).strip()}. Does the indentation fit the lines above?"
