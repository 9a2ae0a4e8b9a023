"""Images from public data sets, from scikit-learn, drawn by formulas, or from a user's files."""
