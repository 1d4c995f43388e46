"""What each kind of memory and of text features is worth on a log, and which a training goes on with."""
