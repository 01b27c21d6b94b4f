"""Many requests from a file, under the rules of the service that answers them."""
