"""What the host offers and what we ask of it: cores, nodes, memory. Knows no rings."""
