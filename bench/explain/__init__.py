"""What two trained arms say about the same images, and where in an image a network looks."""
