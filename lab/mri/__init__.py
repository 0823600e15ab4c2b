"""What MR images are to mathematics: k-space, rigid motion in it, and where the head is. Pure torch."""
