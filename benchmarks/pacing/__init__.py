"""Pacing algorithms against metered services, in simulated time: figures, no sleeping."""
