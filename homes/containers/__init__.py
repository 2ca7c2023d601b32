"""Builds the images of docker/ and runs their stack, in a Docker engine of its own."""
