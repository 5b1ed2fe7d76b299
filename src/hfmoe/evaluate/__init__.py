"""Evaluation: protocols that degrade and score, reports of a restorer, and statistics of their scores."""
