"""Everything that is fitted to the log: the match module, the linear blend, the trees, the calibration."""
