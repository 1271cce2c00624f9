"""What is to be gone: old versions, customers who are to be forgotten, whole segmentations."""
