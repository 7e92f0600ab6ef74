"""From statements to pages, files and figures."""
