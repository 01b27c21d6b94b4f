"""`nomyo keys`: makes, shows, rotates and checks the key pair of a client."""
