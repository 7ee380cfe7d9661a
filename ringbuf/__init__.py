"""How records travel: shared memory, rings, boards, counters, histograms. Knows no finance."""
