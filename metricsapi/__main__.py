"""`python -m metricsapi`."""

import sys

from metricsapi.cli import main

if __name__ == "__main__":
    sys.exit(main())
