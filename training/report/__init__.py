"""What a training run shows a person: the HTML report, its plots, the tables on the terminal."""
