"""What every room uses: errors, atomic files, random numbers, devices, checkpoints, the attribute schema."""
