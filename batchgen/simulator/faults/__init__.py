"""Faults on demand: what can go wrong, when it is to, and what then happens to the answer."""
