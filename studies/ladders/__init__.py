"""What severity means: the share of slots that each operator takes out of ``clear`` at each of its rungs."""
