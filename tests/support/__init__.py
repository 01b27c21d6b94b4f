"""What tests share: the other side of the wire, routers that fail, programs that are run and searched."""
