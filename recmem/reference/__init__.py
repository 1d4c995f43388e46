"""What a bundle remembers of the rows that it was measured on, and how far other rows are from them."""
