"""What a reader wrote: the answer, its JSON, its alignment with the slots, and what each slot came to."""
