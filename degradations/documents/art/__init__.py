"""What is drawn and not set: security grounds, decoration, portraits."""
