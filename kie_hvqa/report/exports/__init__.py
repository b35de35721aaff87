"""What leaves a report for texts and spreadsheets: comparisons as Markdown and CSV, answers as CSV."""
