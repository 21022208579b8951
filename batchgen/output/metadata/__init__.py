"""What an image file says of itself: written beside its coded pixels, and read from any file."""
