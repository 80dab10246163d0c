"""End of a process in which a method left threads or child processes that never end."""

import os
import sys
import threading
import time

WAIT_S = 60.0
"""Seconds for the threads and children of a process to end by themselves."""


def end_soon(code: int) -> None:
    """Let this process end with exit ``code`` `WAIT_S` after its main thread, at the latest.

    Python itself waits without end for threads that are not daemons and for child processes.
    """
    threading.Thread(target=_end, args=(code,), daemon=True).start()


def _end(code: int) -> None:
    threading.main_thread().join()
    time.sleep(WAIT_S)
    from multiprocessing import active_children

    threads = [
        each
        for each in threading.enumerate()
        if not each.daemon and each is not threading.main_thread()
    ]
    children = active_children()
    names = [thread.name for thread in threads] + [child.name for child in children]
    print(
        "pambench: the work has ended, but threads or processes that the method started still run "
        f"{WAIT_S:.0f} s later ({', '.join(names) or 'unknown'}); they are ended now. Next step: "
        "end them in the method, or start threads with daemon=True.",
        file=sys.stderr,
        flush=True,
    )
    for child in children:
        child.kill()
    os._exit(code)
