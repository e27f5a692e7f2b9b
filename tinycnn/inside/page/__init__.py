"""A page in which every number of one image's pass can be clicked through: data here, its drawing in the browser."""

from tinycnn.inside.page.write import write_inside_page

__all__ = ["write_inside_page"]
