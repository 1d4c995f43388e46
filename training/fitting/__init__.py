"""What learns from the log: the match module, the ranker, the calibration."""
