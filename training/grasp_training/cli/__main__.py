"""`python -m grasp_training.cli …`: what torchrun starts."""

import sys

from grasp_training.cli import main

if __name__ == "__main__":
    sys.exit(main())
