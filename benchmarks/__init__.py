"""What is measured, and how to measure it again. See README.md in this folder."""
