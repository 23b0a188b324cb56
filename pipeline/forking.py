"""A process that has something slow or global loaded, and forks a child for each piece of work.

The server's side is `pipeline.trunk`; this is the worker's, free of imports that cost time.

    server ──control socket──▶ trunk process       loaded once
       │                          └─ fork (ms)
       └──────one socket────────▶ child            does one piece of work, then ends

A crash costs one piece of work. Every process ends when the server closes its socket, or dies.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import NoReturn

READY = b"ready"
FRAME = struct.Struct("!cI")  # kind and payload's length, in front of each payload


def serve(work: Callable[[socket.socket], None]) -> None:
    """Says that it is ready, then forks a child that runs `work` for each socket that arrives.

    Call it when all is loaded. The control socket's descriptor is the first argument on the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle: it closes the socket
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    control = socket.socket(fileno=int(sys.argv[1]))
    control.send(READY)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        for descriptor in descriptors:
            if os.fork() == 0:
                control.close()
                live_once(work, socket.socket(fileno=descriptor))
            os.close(descriptor)


def live_once(work: Callable[[socket.socket], None], server: socket.socket) -> NoReturn:
    """A forked child's whole life: it must never return into its parent's code."""
    status = 1
    try:
        work(server)
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        status = 0  # the server has lost interest
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)
