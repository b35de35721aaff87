"""The model families that are trained here: where the vision tower is, what it gives, how a plan sees it."""

from rl.families.family import Family, Features, family_of

__all__ = ["Family", "Features", "family_of"]
