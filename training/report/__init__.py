"""What people read about a run: the HTML report with its plots and glossary, and the tables on the terminal."""
