"""Commands that train or evaluate; `recmem` finds them through the entry point group `recmem.commands`."""
