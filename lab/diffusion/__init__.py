"""What the diffusion papers share, on top of diffusers: network, noise, guidance, loss, sampling, averaging."""
