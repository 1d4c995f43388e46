"""Pictures of pages for docs/, made by a headless Chromium."""
