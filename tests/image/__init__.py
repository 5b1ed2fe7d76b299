"""Tests of hfmoe.image."""
