"""Measurements; each prints its figures as ratios within one run."""
