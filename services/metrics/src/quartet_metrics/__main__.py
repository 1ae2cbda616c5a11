"""Start: `python -m quartet_metrics api|worker|migrate`."""

import sys

from quartet_common.runtime.process import main
from quartet_metrics.app import SERVICE

main(SERVICE, sys.argv[1:])
