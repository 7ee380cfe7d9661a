"""Records out: one small module per destination."""
