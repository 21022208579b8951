"""What an image costs: bare work, batchgen, and the other ways to call Bedrock, side by side."""
