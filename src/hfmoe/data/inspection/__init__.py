"""Training data inspected before a run: pure measures, rules, and a scan that a bad file never stops."""
