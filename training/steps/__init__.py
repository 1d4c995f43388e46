"""The steps of a run, a module each: what they compute, and which files they leave for later steps."""
