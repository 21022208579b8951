"""How soon a run with a million finished tasks makes its first call, and in how much memory."""
