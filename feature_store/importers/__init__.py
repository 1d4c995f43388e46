"""Public data sets, read in the form in which they are published and written as recmem's tables; a module per form."""
