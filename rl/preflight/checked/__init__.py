"""What a start relies on, each looked at where it lies: the weights, the rows' tokens, the rewards, DeepSpeed's JSON, the disk."""
