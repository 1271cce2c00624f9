"""One file a command: what it does beyond reading its options, and how its result is printed."""
