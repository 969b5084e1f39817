"""What imports do that nobody needs is switched off while the parts are imported.

aiohttp reads the system's certificate authorities when it is imported, twice: 40 ms and 3 MB. The
transport makes its own TLS contexts, in a thread, when the first poll needs one. frozenlist's
compiled part brings the C++ runtime: 1 MB for lists that are read once a connection.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_MEANWHILE = {
    "SSL_CERT_FILE": os.devnull,
    "SSL_CERT_DIR": os.devnull,
    "FROZENLIST_NO_EXTENSIONS": "1",
}


@contextmanager
def lean_imports() -> Iterator[None]:
    """Import aiohttp inside of this, in a process that makes its own TLS contexts."""
    before = {name: os.environ.get(name) for name in _MEANWHILE}
    os.environ.update(_MEANWHILE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
