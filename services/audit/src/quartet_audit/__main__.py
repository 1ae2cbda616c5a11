"""Start: `python -m quartet_audit api|worker|migrate`."""

import sys

from quartet_audit.app import SERVICE
from quartet_common.runtime.process import main

main(SERVICE, sys.argv[1:])
