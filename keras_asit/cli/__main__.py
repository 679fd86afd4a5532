"""`python -m keras_asit.cli`, the same as `asit`."""

import sys

from keras_asit.cli import main

if __name__ == "__main__":
    sys.exit(main())
