"""Pure numbers on preallocated state: no rings, no I/O."""
