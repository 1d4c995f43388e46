"""Match features of past rows, cross-fitted by time: each from a match module that has not seen the row's time."""
