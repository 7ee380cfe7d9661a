"""Outside market data in: one small module per source format."""
