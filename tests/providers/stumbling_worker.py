"""A process for `pipeline.trunk` that gets ready only where the file named on its command line is."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.forking import serve

if __name__ == "__main__":
    if not Path(sys.argv[2]).exists():
        sys.exit(1)
    serve(lambda server: server.sendall(b"here"))
