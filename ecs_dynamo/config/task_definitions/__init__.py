"""Reading and preparing the user's task definition files."""
