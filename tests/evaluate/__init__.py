"""Tests of hfmoe.evaluate."""
