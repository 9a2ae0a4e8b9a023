"""Images: of public data sets, of two that come with scikit-learn, and of a user's own."""
