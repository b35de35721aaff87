"""What watches a run beside its steps: phases, stalls, evaluation, rewards, completions to look at."""
