"""The frozen vision tower: its attention, and what it said about each image."""
