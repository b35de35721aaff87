"""What the studies' tests share with those of the rooms that they study."""

from tests.degradations.conftest import make_page, page

__all__ = ["make_page", "page"]
