"""`python -m pipeline` is `corelane`."""

from pipeline.cli import main

main()
