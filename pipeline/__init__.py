"""Which processes, on which cores, joined by which rings: config, plan, launch, command line."""
