"""What the studies' tests share with those of the rooms that they study."""

from tests.degradations.conftest import make_page, page
from tests.rl.conftest import small

__all__ = ["make_page", "page", "small"]
