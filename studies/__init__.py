"""What was found out once and can be found out again: one command each, results in docs/."""
