"""Images: where they are, what they are, which are outliers, and who may see which."""
