"""What time and use do to print and to what carries it."""
