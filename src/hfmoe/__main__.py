"""`python -m hfmoe`: the same as the command `hfmoe`."""

from hfmoe.cli.app import main

main()
