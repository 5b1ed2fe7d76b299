"""Pages, tables, plots and pictures of values that are given: knows no run, study or model."""
