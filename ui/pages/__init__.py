"""One module per workspace of the window."""
