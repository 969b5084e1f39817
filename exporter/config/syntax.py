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


def in_plain_words(said: str, *, letter: str, opened: int) -> str:
    """Return what is wrong, never what stands there: that may be a secret.

    `said` is the parser's context and problem, `letter` the character at the problem, `opened`
    the line in which the thing began that it was reading. The parser's words change from version
    to version: they are recognized, and never passed on.
    """
    if "cannot start any token" in said:
        if letter == "\t":
            return "a tab stands at the beginning of the line. Indent with blanks."
        return f'a text cannot begin with "{letter}". Put it in quotes.'
    for part, plain in _PLAIN_WORDS.items():
        if part in said:
            return plain.format(line=opened)
    if re.search("block (?:collection|mapping|sequence|end)", said):
        return (
            f"this fits neither the list nor the map that began in line {opened}."
            " Does the indentation fit the lines above?"
        )
    return (
        "this cannot stand here. Does the indentation fit the lines above, and is every bracket"
        " and quotation mark closed?"
    )
