"""Many runs of one experiment: the axes they differ on, the plan, who runs it, and the search that goes by results."""
