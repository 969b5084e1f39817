"""Command line in a process whose DNS hangs: ``python -m tests.support.cli_hanging_dns``.

Names that end in ``.deaf`` block a thread for an hour; the others are looked up as ever.
"""

import os
import socket
import sys
import time
from typing import Any

if __name__ == "__main__":
    usual = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
        if os.fsdecode(host or "").endswith(".deaf"):
            time.sleep(3600)
        return usual(host, *args, **more)

    socket.getaddrinfo = getaddrinfo
    from exporter.cli.main import main

    sys.exit(main(sys.argv[1:]))
