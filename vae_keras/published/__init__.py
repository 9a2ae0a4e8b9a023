"""Files that the project publishes with its code: trained models, and the judges of samples."""
