"""Tensor functions behind the augmentations: no randomness, no state, no reading back from the device."""
