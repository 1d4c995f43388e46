"""From ids to scores on one device: the numbers of `recmem.ranking`, in torch."""
