"""One module for each subcommand: it prints, and it returns an exit code."""
