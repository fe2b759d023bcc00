"""Reports: text, JSON, SARIF and one HTML page."""
