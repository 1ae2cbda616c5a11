"""Entry point: `python -m quartet_users api|worker|migrate`."""

import sys

from quartet_common.runtime.process import main
from quartet_users.app import SERVICE

if __name__ == "__main__":
    main(SERVICE, sys.argv[1:])
