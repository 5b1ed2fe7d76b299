"""Tests of hfmoe.metrics."""
