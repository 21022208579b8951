"""The pictures that the simulator answers with: painted from the request, marked as simulated."""
