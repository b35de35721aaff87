"""What promises of operating points are worth, tried on documents whose truth is known, and where they end."""
