"""CPU for an image, calls in flight and memory of a run, against a server that answers at once."""
