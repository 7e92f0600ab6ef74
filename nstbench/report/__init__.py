"""The report: HTML pages, files and figures."""
