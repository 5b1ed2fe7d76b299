"""Protocols that degrade and score, and the reports of running a restorer over them."""
