"""One clear line for what a user can mend, and a non-zero exit."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something outside the code is wrong; the message names the cause and the mend."""


def run(main: Callable[[], None]) -> None:
    """Run a stage's entry point; turn what a user can mend into one line and exit status 2.

    Ctrl-C exits with 130, as a shell expects. Anything else keeps its traceback: it is a bug.
    """
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        mend = _MENDS.get(error.errno or 0)
        if mend is None:
            raise
        print(f"error: {error.strerror}: {error.filename or 'while writing'}; {mend}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: run the same command again, it goes on from its last checkpoint", file=sys.stderr)
        sys.exit(130)


_MENDS = {
    errno.ENOSPC: "free some disk space and run the same command again, what was finished is kept",
    errno.EDQUOT: "free some of your quota and run the same command again, what was finished is kept",
    errno.EFBIG: "a limit on the size of files is in the way: raise it (ulimit -f) and run the same command again",
    errno.EACCES: "make the folder writable for this user and run the same command again",
    errno.EPERM: "make the folder writable for this user and run the same command again",
    errno.EEXIST: "a file stands where a folder belongs: move it away and run the same command again",
    errno.ENOTDIR: "a file stands where a folder belongs: move it away and run the same command again",
    errno.EROFS: "the file system is read-only: work in a folder that can be written",
}
