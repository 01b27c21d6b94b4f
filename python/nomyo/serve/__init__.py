"""What listens: the router, the server side of the protocol. Needs the extra `serve`."""
