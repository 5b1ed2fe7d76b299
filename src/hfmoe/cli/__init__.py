"""The `hfmoe` command."""
