"""nnU-Net (Isensee et al. 2021) as a method that learns, in an environment of its own."""
