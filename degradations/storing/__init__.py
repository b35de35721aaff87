"""A dataset directory while it is written and when it is whole: the same bytes for any workers, shards and kills."""
