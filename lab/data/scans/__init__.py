"""Brain scans: volumes and their slices, the data sets of them, and drawn heads as their stand-ins."""
