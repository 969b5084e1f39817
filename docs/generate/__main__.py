"""``python -m docs.generate``: write what has changed."""

import sys

from docs.generate import FOLDER, pages

for name, text in pages().items():
    path = FOLDER / name
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
        sys.stdout.write(f"docs/{name}\n")
